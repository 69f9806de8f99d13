"""Training of the style encoder."""

import random

import pytest
import torch

from faststyle.errors import InputError
from faststyle.training import style_encoder
from faststyle.training.paintings import random_view
from faststyle.training.style_encoder import Options, Training, main
from tests.support.images import draw_image


@pytest.fixture
def options(work, photos, monkeypatch) -> Options:
    paintings = work / "paintings"
    paintings.mkdir()
    for seed in range(3):
        draw_image(120, 90, seed).save(paintings / f"{seed}.png")
    monkeypatch.setattr(style_encoder, "STATISTICS_BATCHES", 1)
    monkeypatch.setattr(style_encoder, "VIEWS", 2)
    return Options(paintings=paintings, content=str(photos), describe_steps=1, steps=2, size=128)


@pytest.mark.slow
def test_both_parts_train_and_a_stopped_run_continues(options):
    training = Training(options)
    before = {name: one.clone() for name, one in training.encoder.state_dict().items()}
    list(training.learn_to_describe())
    next(training.learn_to_paint())
    training.save()
    continued = Training(options)
    assert (continued.described, continued.step) == (1, 1)
    continued.run()
    assert continued.step == 2 and (options.output / "style_encoder.safetensors").exists()
    after = continued.encoder.state_dict()
    changed = {name.split(".")[0] for name, one in before.items() if not torch.equal(one, after[name])}
    assert changed == {"network", "convs", "describe", "predict"}


def test_folder_without_paintings_is_refused(options, capsys):
    (options.paintings.parent / "empty").mkdir()
    with pytest.raises(SystemExit):
        main(["--paintings", "empty"])
    assert "holds no images: give a folder of paintings" in capsys.readouterr().err


def test_views_keep_their_range_and_size():
    for seed in range(8):
        view = random_view(draw_image(90, 60), random.Random(seed))
        assert view.shape[0] == 3 and max(view.shape[1:]) == 384
        assert view.min() >= 0 and view.max() <= 1
        square = random_view(draw_image(90, 60), random.Random(seed), 64)
        assert square.shape == (3, 64, 64)


def test_missing_folder_is_refused(options):
    with pytest.raises(InputError):
        Training(Options(paintings=options.paintings / "none"))
