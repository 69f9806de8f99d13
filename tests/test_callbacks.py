from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_picture
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from faststyle.checkpoint import load_model
from faststyle.data import center_crop
from faststyle.errors import InputError
from faststyle.images import to_image, to_tensor
from faststyle.module import StyleTransfer
from faststyle.transformer import MARGIN

RUN = Path("runs/painting")


@pytest.fixture
def photos(tmp_path) -> Path:
    """Photos with three set apart for validation."""
    for part in ("train", "validation"):
        (tmp_path / "photos" / part).mkdir(parents=True)
        for i in range(3):
            draw_picture(64, 64, seed=i).save(tmp_path / "photos" / part / f"{i}.png")
    return tmp_path / "photos"


def test_loss_that_is_not_a_number_ends_training_before_the_weights_change(train, monkeypatch, capsys):
    losses = StyleTransfer.losses

    def spoiled(self, photos, *rest, **more):
        terms = losses(self, photos, *rest, **more)
        if self.global_step == 2:
            terms["total"] = terms["total"] * float("nan")
        return terms

    def stopped(self, photos, *rest, **more):
        if self.global_step == 2:
            raise InputError("stopped")
        return losses(self, photos, *rest, **more)

    runs = {"spoiled": spoiled, "stopped": stopped}
    for name, function in runs.items():
        monkeypatch.setattr(StyleTransfer, "losses", function)
        with pytest.raises(SystemExit) as caught:
            train("--name", name, "--trainer.max_steps=4")
        assert caught.value.code == 2
        if name == "spoiled":
            message = capsys.readouterr().err.splitlines()[-1]
            assert "not a number at step 2" in message and "--model.learning_rate" in message
    # What was saved are the weights after two good steps.
    weights = [torch.load(f"runs/{name}/last.ckpt", weights_only=True)["state_dict"] for name in runs]
    for key, value in weights[0].items():
        assert value.isfinite().all()
        assert torch.equal(value, weights[1][key])


def test_run_ended_by_the_guard_can_be_resumed(train, monkeypatch):
    losses = StyleTransfer.losses
    monkeypatch.setattr(
        StyleTransfer,
        "losses",
        lambda self, photos, *rest, **more: {
            name: term * (float("inf") if self.global_step == 2 else 1)
            for name, term in losses(self, photos, *rest, **more).items()
        },
    )
    with pytest.raises(SystemExit):
        train("--trainer.max_steps=4")
    monkeypatch.setattr(StyleTransfer, "losses", losses)
    train("--trainer.max_steps=4", "--resume")
    assert load_model(RUN / "painting.safetensors")[1]["steps"] == 4


def test_previews_show_photos_over_pictures(train, photos):
    train("--trainer.max_steps=5", "--previews.every_n_steps=2", "--previews.photos=2")
    names = sorted(path.name for path in (RUN / "previews").iterdir())
    assert names == ["step_000002.png", "step_000004.png", "step_000005.png"]
    with Image.open(RUN / "previews" / "step_000005.png") as grid:
        grid.load()
    # Two columns and two rows of 64 pixels, with 4 between and around them.
    assert grid.size == (2 * (64 + 4) + 4, 2 * (64 + 4) + 4)
    network, _ = load_model(RUN / "painting.safetensors")
    for column in range(2):
        with Image.open(photos / "validation" / f"{column}.png") as photo:
            photo = center_crop(photo, 64)
        left = 4 + 68 * column
        above, below = (np.asarray(grid.crop((left, top, left + 64, top + 64)), int) for top in (4, 72))
        assert np.abs(above - np.asarray(photo, int)).max() <= 1
        expected = to_image(network(to_tensor(photo)[None], MARGIN)[0])
        assert np.abs(below - np.asarray(expected, int)).max() <= 1


def test_no_more_photos_are_shown_than_are_held_out(train):
    train("--trainer.max_steps=1", "--previews.photos=9")
    with Image.open(RUN / "previews" / "step_000001.png") as grid:
        assert grid.size == (3 * (64 + 4) + 4, 2 * (64 + 4) + 4)


def test_previews_and_losses_are_in_tensorboard(train):
    train("--trainer.max_steps=2", "--trainer.log_every_n_steps=1")
    log = EventAccumulator(str(RUN / "logs" / "start_0"))
    log.Reload()
    assert [event.step for event in log.Images("preview")] == [2]
    tags = log.Tags()["scalars"]
    assert {"train/total", "train/content", "train/style", "train/variation", "validation/total"} <= set(tags)


def test_file_for_inference_has_weights_and_card(train):
    train("--trainer.max_steps=2")
    network, card = load_model(RUN / "painting.safetensors")
    stored = torch.load(RUN / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, stored[f"network.{name}"])
    assert card["name"] == "painting"
    assert card["steps"] == 2
    assert card["style"][0]["name"] == "painting"
    assert {"faststyle", "torch", "pytorch_lightning", "python"} <= set(card["versions"])
    assert card["date"][:2] == "20"


def test_nothing_temporary_is_left(train):
    train("--trainer.max_steps=2")
    assert not [path for path in RUN.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]
