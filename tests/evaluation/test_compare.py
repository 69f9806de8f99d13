"""Comparisons of a model with the per-image baseline."""

import csv
import hashlib
import re
from dataclasses import replace

import pytest
import torch

from faststyle.errors import InputError
from faststyle.evaluation import compare as module
from faststyle.evaluation.compare import compare
from faststyle.image import mosaic
from faststyle.image.convert import scale_to, to_tensor
from faststyle.image.files import open_image
from faststyle.inference.stylizer import Stylizer
from faststyle.losses import vgg
from faststyle.losses.objective import Objective
from faststyle.losses.vgg import VGG
from faststyle.models.card import ObjectiveSettings, StyleImage, TrainingSettings
from faststyle.models.checkpoint import save_model
from tests.support.cards import make_card
from tests.support.images import draw_image
from tests.support.networks import grams_of

WEIGHTS = {"content_weight": 2.0, "style_weight": 3.0, "tv_weight": 0.5}
LAYERS = {"content_layers": {"relu2_2": 1.0}, "style_layers": {"relu1_2": 0.5, "relu3_1": 0.5}}


@pytest.fixture
def trained(tmp_path, network, random_vgg, painting):
    """A model whose card names the random VGG and this painting."""
    path = tmp_path / "trained.safetensors"
    digest = hashlib.sha256(painting.read_bytes()).hexdigest()
    training = TrainingSettings(56, random_vgg, "avg", ObjectiveSettings(**WEIGHTS, **LAYERS))
    save_model(path, network, make_card(style=(StyleImage("painting", digest),), training=training))
    return path


@pytest.fixture
def run(trained, painting, photos, tmp_path, monkeypatch):
    """Return a function that compares at the smallest cost; its arguments override the defaults."""
    monkeypatch.setattr(module, "TIMED_SIZES", (32,))

    def run(**more):
        settings = {
            "photos": [photos / "beach.jpg"],
            "checkpoint": trained,
            "style": painting,
            "folder": tmp_path / "out",
            "sizes": (48,),
            "steps": 3,
            "device": "cpu",
            "precision": "fp32",
        }
        return compare(**settings | more)

    return run


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_report_and_tables_have_each_photo_and_size(run, photos, tmp_path):
    report = run(photos=[photos / "beach.jpg", photos / "cat.png"], sizes=(48, 64))
    assert report.skipped == [] and report.notes == []
    figures, curves = rows(tmp_path / "out" / "figures.csv"), rows(tmp_path / "out" / "curves.csv")
    assert [(row["photo"], row["size"]) for row in figures] == [
        ("beach.jpg", "48"),
        ("beach.jpg", "64"),
        ("cat.png", "48"),
        ("cat.png", "64"),
    ]
    assert (figures[2]["width"], figures[2]["height"]) == ("31", "48")
    assert len(curves) == 4 * 2 * 4  # pairs, starts, evaluations
    assert list(curves[0]) == [
        "photo",
        "size",
        "start",
        "evaluation",
        "total",
        "content",
        "style",
        "variation",
    ]
    assert [row["evaluation"] for row in curves[:4]] == ["1", "2", "3", "4"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "curves.csv",
        "figures.csv",
        "report.html",
    ]


def test_fast_model_is_measured_by_its_own_objective(run, trained, painting, photos):
    report = run()
    photo = to_tensor(scale_to(open_image(photos / "beach.jpg"), 48))[None]
    style = to_tensor(scale_to(open_image(painting), 56))[None]
    objective, features = Objective(**WEIGHTS, **LAYERS), VGG("vgg19", "avg")
    with torch.no_grad():
        objective.set_style([features(style, objective.style_layers)])
        fast = Stylizer.load(trained, "cpu", "fp32")(photo)
        terms = objective(fast, features(fast, objective.layers), features(photo, objective.content_layers))
        start = objective(photo, features(photo, objective.layers), features(photo, objective.content_layers))
    (found,) = report.comparisons
    for name, value in terms.items():
        assert found.fast[name] == pytest.approx(value.item(), rel=1e-4)
    assert found.curves["photo"][0]["total"] == pytest.approx(start["total"].item(), rel=1e-4)
    assert found.curves["photo"][0]["content"] == 0


def test_baseline_is_reproducible_and_lowers_the_objective(run):
    first, second = run().comparisons[0], run().comparisons[0]
    for start in ("noise", "photo"):
        totals = first.totals(start)
        assert totals == pytest.approx(second.totals(start))
        assert len(totals) == 4 and min(totals) < totals[0]


def test_distances_leave_out_layers_of_the_objective(run):
    distances = run().comparisons[0].distances
    layers = [
        "relu1_1",
        "relu2_1",
        "relu4_1",
        "relu5_1",
        "relu4_2",
        "half",
        "quarter",
        "tiles",
        "ssim",
    ]  # relu3_1 is the objective's
    assert all(list(row) == layers for row in distances.values())
    assert distances["photo"]["ssim"] == pytest.approx(1) and distances["photo"]["relu4_2"] == 0
    assert distances["fast"]["ssim"] < 1 and distances["fast"]["relu4_2"] > 0


def test_images_are_shown_after_some_steps_and_after_the_last(run, monkeypatch):
    monkeypatch.setattr(module, "SHOWN_STEPS", (2, 50))
    found = run().comparisons[0]
    slow = ["noise_2", "noise_3", "photo_2", "photo_3"]
    assert list(found.images) == ["photo", "style", "fast", "refined", *slow]
    assert list(found.distances) == ["photo", "fast", "refined", *slow]


def test_times_are_of_the_first_photo_at_every_size(run, photos, monkeypatch):
    monkeypatch.setattr(module, "TIMED_SIZES", (64, 32))
    report = run(photos=[photos / "cat.png", photos / "beach.jpg"])
    assert [(one.size, one.width) for one in report.timings] == [(32, 20), (48, 31), (64, 41)]
    assert all(one.fast > 0 and one.slow > 0 for one in report.timings)


def test_report_states_the_sizes_and_the_objective(run, tmp_path):
    run(sizes=(48, 64))
    text = re.sub(r"\s+", " ", (tmp_path / "out" / "report.html").read_text())
    assert "the photo's longer side brought to 48 and 64 pixels" in text.replace("&#39;", "'")
    assert "its longer side at 56 pixels" in text
    assert "vgg19, avg pooling" in text and "3 × style (relu1_2 0.5, relu3_1 0.5)" in text


def test_model_without_a_card_is_judged_by_the_default_objective(run, model, random_vgg, monkeypatch):
    monkeypatch.setitem(vgg.NETWORKS, "vgg19-caffe", vgg.NETWORKS[random_vgg])
    report = run(checkpoint=model)
    assert "does not say how it was trained" in report.notes[0]
    assert "1 × content (relu4_1 1, relu2_1 0.1)" in report.settings[0]
    assert "512 pixels" in report.settings[1]


def test_other_style_than_the_models_is_noted(run, tmp_path):
    other = tmp_path / "other.png"
    draw_image(60, 60, seed=5).save(other)
    report = run(style=other)
    assert report.notes == ["The style image is not the file that the model was trained on (painting)."]
    assert report.notes[0] in (tmp_path / "out" / "report.html").read_text()


def test_other_painting_than_the_models_is_refused_before_the_work(run, painting, tmp_path):
    for style in (painting, "mosaic"):
        with pytest.raises(InputError, match="not the painting that starry_night was trained on") as caught:
            run(checkpoint="starry_night", style=style)
        assert caught.value.parameters == ["style"]
    assert not (tmp_path / "out").exists()


def test_another_file_of_the_models_painting_is_accepted(
    run, trained, network, painting, random_vgg, tmp_path
):
    smaller = tmp_path / "smaller.jpg"
    image = open_image(painting)
    image.resize((image.width * 9 // 10, image.height * 9 // 10)).save(smaller)
    card = Stylizer.load(trained, "cpu").card
    save_model(trained, network, card, grams_of(scale_to(image, 56), "vgg19-caffe"))
    (note,) = run(style=smaller).notes
    assert "not the file" in note


def test_model_of_several_paintings_is_compared_with_one_of_them(run, trained, network, painting):
    card = make_card(training=Stylizer.load(trained, "cpu").card.training)
    save_model(trained, network, card, grams_of(draw_image(60, 60, seed=5), "vgg19-caffe"))
    assert any("a blend of 2 styles" in note for note in run(style=painting).notes)


def test_notes_are_printed_before_the_measurements(run, tmp_path, capsys, monkeypatch):
    draw_image(60, 60, seed=5).save(tmp_path / "other.png")
    monkeypatch.setattr(module.Comparer, "compare_photo", lambda *_: print("measuring"))
    run(style=tmp_path / "other.png")
    printed = capsys.readouterr()
    assert "warning: The style image is not the file" in printed.err and printed.out == "measuring\n"


def test_mosaic_is_known_by_its_name(run, trained, network, monkeypatch):
    monkeypatch.setattr(mosaic, "draw_mosaic", lambda: draw_image(60, 60))
    assert len(run(style="mosaic").notes) == 1  # not what it was trained on
    card = replace(Stylizer.load(trained, "cpu").card, style=(StyleImage("mosaic"),))
    save_model(trained, network, card)
    assert run(style="mosaic").notes == []


def test_bad_photo_among_good_ones_is_skipped(run, photos, tmp_path, capsys):
    bad = photos / "bad.jpg"
    bad.write_text("no image")
    report = run(photos=[bad, photos / "beach.jpg", photos / "missing.jpg"])
    assert [one.photo for one in report.comparisons] == ["beach.jpg"]
    assert len(report.skipped) == 2 and report.timings
    # The progress bar may stand before an error on its line.
    errors = re.findall("error: .*", capsys.readouterr().err)
    assert len(errors) == 2 and "bad.jpg" in errors[0] and "missing.jpg" in errors[1]
    text = (tmp_path / "out" / "report.html").read_text()
    assert "missing.jpg" in text and "1 of 3 pairs" in text


def test_photo_too_narrow_for_vgg_is_skipped(run, photos):
    draw_image(300, 30).save(photos / "strip.png")
    report = run(photos=[photos / "strip.png", photos / "beach.jpg"])
    assert [one.photo for one in report.comparisons] == ["beach.jpg"]
    assert len(report.skipped) == 1 and "strip.png at 48 pixels" in report.skipped[0]


def test_nothing_measured_writes_nothing(run, photos, tmp_path):
    report = run(photos=[photos / "missing.jpg"])
    assert report.comparisons == [] and len(report.skipped) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_photos_with_the_same_name_are_named_by_their_path(run, photos, tmp_path):
    other = tmp_path / "elsewhere" / "beach.jpg"
    other.parent.mkdir()
    draw_image(50, 60).save(other)
    report = run(photos=[photos / "beach.jpg", other, other])
    assert [one.photo for one in report.comparisons] == [str(photos / "beach.jpg"), str(other)]


def test_interrupted_run_keeps_its_measurements(run, photos, tmp_path, monkeypatch):
    measure = module.Comparer.measure

    def interrupted(self, photo, name, size):
        if name == "cat.png":
            raise KeyboardInterrupt
        return measure(self, photo, name, size)

    monkeypatch.setattr(module.Comparer, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(photos=[photos / "beach.jpg", photos / "cat.png"])
    folder = tmp_path / "out"
    assert [row["photo"] for row in rows(folder / "figures.csv")] == ["beach.jpg"]
    assert len(rows(folder / "curves.csv")) == 8
    text = (folder / "report.html").read_text()
    assert text.rstrip().endswith("</html>") and "1 of 2 pairs" in text
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"photos": []}, "at least one photo"),
        ({"sizes": ()}, "one size"),
        ({"sizes": (8,)}, "`sizes` must be at least 16"),
        ({"steps": 0}, "`steps` must be at least 1"),
        ({"style": "nowhere.png"}, "nowhere"),
        ({"checkpoint": "nowhere.safetensors"}, "nowhere"),
    ],
)
def test_unusable_arguments_are_refused_before_anything_is_written(run, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        run(**given)
    assert not (tmp_path / "out").exists()
