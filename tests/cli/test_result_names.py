import subprocess
import sys
from dataclasses import Field, fields
from pathlib import Path

import pytest

from faststyle.cli import optimize, stylize
from faststyle.files import MAX_NAME_BYTES
from faststyle.inference.settings import StylizeSettings
from faststyle.losses.settings import WeightSettings
from faststyle.options import Settings, name_result
from tests.support.commands import read_folder
from tests.support.images import draw_image

# Options that do not change the result, or that the name says otherwise.
WITHOUT_TAG = {"json", "inputs", "output", "checkpoint", "style", "device", "precision", "engine"}
WITHOUT_TAG |= {"save_every", "animation", "verbose"}


def all_fields(settings: type[Settings]) -> dict[str, Field]:
    """Return the fields of settings and of the groups in them, by name."""
    found = {}
    for one in fields(settings):
        nested = one.metadata.get("group")
        found |= all_fields(nested) if nested else {one.name: one}
    return found


@pytest.mark.parametrize("command", [stylize, optimize])
def test_every_option_that_changes_the_result_has_a_part_of_its_own_in_names(command):
    tags = {name: one.metadata["tag"] for name, one in all_fields(command.Options).items()}
    assert {name for name, tag in tags.items() if tag == ""} <= WITHOUT_TAG
    given = [tag for tag in tags.values() if tag not in (None, "", "{}")]
    assert len(given) == len({*given})


@pytest.mark.parametrize(
    "settings, name",
    [
        (StylizeSettings(), "starry"),
        (StylizeSettings(strength=0.6), "starry_s0.6"),
        (StylizeSettings(strength=0.6, preserve_color=True, stroke_scale=2.0), "starry_s0.6_color_strokes2"),
        (StylizeSettings(max_size=800, tile=256), "starry_max800_tile256"),
        (
            WeightSettings(style_layers=(("relu4_1/4", 0.5), ("relu1_1", 1.0))),
            "starry_style-relu4_1-4=0.5-relu1_1=1",
        ),
    ],
)
def test_name_holds_what_differs_from_the_defaults(settings, name):
    assert name_result("starry", settings) == name


def test_results_in_several_settings_stand_side_by_side(infer, photos):
    photo = photos / "cat.png"
    infer(photo)
    first = (photos / "cat_small.png").read_bytes()
    infer(photo, "--strength=0.6")
    infer(photo, "--strength=0.6", "--preserve-color", "--stroke-scale=2")
    assert (photos / "cat_small.png").read_bytes() == first
    results = [photos / f"cat_small{tags}.png" for tags in ("", "_s0.6", "_s0.6_color_strokes2")]
    assert len({path.read_bytes() for path in results}) == 3


def test_folder_of_results_carries_the_settings(infer, photos):
    infer(photos, "--quality=80")
    assert set(read_folder(photos.with_name("photos_small_q80"))) == {
        "beach.jpg",
        "cat.png",
        "dune.jpg",
        "elm.png",
    }


def test_given_output_is_taken_as_it_is(infer, photos):
    infer(photos / "cat.png", "--strength=0.6", "-o", "out.png")
    assert list(read_folder(Path())) == ["out.png"]


def test_value_with_a_slash_stays_in_the_name():
    options = optimize.Options(
        inputs=(Path("a.jpg"),),
        style=(Path("b.jpg"),),
        mask=("masks/sky.png",),
        init_checkpoint="runs/x.ckpt",
    )
    assert name_result("b", options) == "b_maskmasks-sky.png_from-runs-x.ckpt"


def test_long_name_is_shortened_before_the_work(infer, tmp_path):
    photo = tmp_path / f"{'x' * 240}.png"
    draw_image(40, 40).save(photo)
    infer(photo, "--strength=0.6", "--preserve-color", "--max-size=800")
    (result,) = (path for path in tmp_path.glob("xxx*.png") if path != photo)
    assert len(result.stem) <= MAX_NAME_BYTES + 8


def test_names_need_no_torch():
    code = "import sys, faststyle.options, faststyle.inference.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_summary_says_where_the_folder_of_results_is(infer, photos, capsys):
    infer(photos)
    assert capsys.readouterr().out == f"4 of 4 images stylized: {photos.with_name('photos_small')}\n"


def test_summary_names_the_folders_of_results(infer, photos, capsys):
    others = [photos.with_name(name) for name in ("b", "c", "d", "e")]
    for folder in others:
        folder.mkdir()
        draw_image(40, 40).save(folder / "x.png")
    infer(photos / "cat.png", photos, *others[:1])
    places = f"{photos}, {photos}_small, {others[0]}_small"
    assert capsys.readouterr().out == f"6 of 6 images stylized: {places}\n"
    infer(*others)
    places = ", ".join(f"{folder}_small" for folder in others)
    assert capsys.readouterr().out == f"4 of 4 images stylized: {places}\n"
