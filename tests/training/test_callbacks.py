import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from faststyle.cli import train as command
from faststyle.image.convert import to_image, to_tensor
from faststyle.models.card import MARGIN
from faststyle.models.checkpoint import load_model
from faststyle.training.callbacks import NotANumberGuard, ProgressFile
from faststyle.training.crops import center_crop
from faststyle.training.module import StyleTransfer
from tests.support.images import draw_image

RUN = Path("runs/painting")


@pytest.fixture
def photos(tmp_path) -> Path:
    """Return a folder of photos, three of them for validation."""
    for part in ("train", "validation"):
        (tmp_path / "photos" / part).mkdir(parents=True)
        for i in range(3):
            draw_image(64, 64, seed=i).save(tmp_path / "photos" / part / f"{i}.png")
    return tmp_path / "photos"


def break_losses(monkeypatch, steps, factor: float = float("nan"), validation: bool = False) -> None:
    """Multiply the losses of some steps, or of the validation after them, by NaN or another factor."""
    losses = StyleTransfer.losses

    def broken(self, photos, *rest, **more):
        terms = losses(self, photos, *rest, **more)
        if self.global_step in steps and self.training != validation:
            terms["total"] = terms["total"] * factor
        return terms

    monkeypatch.setattr(StyleTransfer, "losses", broken)


def stored(name: str = "painting") -> dict[str, torch.Tensor]:
    return torch.load(f"runs/{name}/last.ckpt", weights_only=True)["state_dict"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_step_with_nan_gradients_is_skipped_and_counted(train, monkeypatch, caplog, factor):
    flags = ["--trainer.max_steps=4", "--model.warmup=0"]
    begins = []
    start = StyleTransfer.on_train_batch_start

    def remember(self, *args):
        begins.append({name: value.clone() for name, value in self.network.state_dict().items()})
        return start(self, *args)

    monkeypatch.setattr(StyleTransfer, "on_train_batch_start", remember)
    break_losses(monkeypatch, {1, 2}, factor)
    train(*flags)
    card = load_model(RUN / "painting.safetensors")[1]
    assert card.skipped_steps == 2 and card.steps == 4
    said = [record.getMessage() for record in caplog.records if record.name == "faststyle.training.callbacks"]
    assert said == ["skipped: step 1, whose gradients are not numbers", "skipped: 2 of 4 steps in all"]
    # After the one good step nothing moved the weights, momentum neither, until the next good one.
    assert equal(begins[1], begins[2]) and equal(begins[2], begins[3])
    assert not equal(begins[0], begins[1])
    assert all(value.isfinite().all() for value in stored().values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value")  # in the preview of such weights
@pytest.mark.parametrize("what", ["gradients", "weights", "validation"])
def test_run_that_ends_with_nan_fails_and_keeps_the_good_state(train, monkeypatch, capsys, what):
    monkeypatch.setattr(command, "STEPS_BETWEEN_SAVES", 2)
    with monkeypatch.context() as patch:
        if what == "gradients":
            break_losses(patch, {3})
        elif what == "weights":  # by the last update itself
            optimizer_step = StyleTransfer.optimizer_step

            def breaking(self, epoch, batch_idx, *rest):
                optimizer_step(self, epoch, batch_idx, *rest)
                if batch_idx == 3:
                    next(self.network.parameters()).data.fill_(float("inf"))

            patch.setattr(StyleTransfer, "optimizer_step", breaking)
        else:
            break_losses(patch, {4}, validation=True)
        with pytest.raises(SystemExit) as caught:
            train("--trainer.max_steps=4")
    assert caught.value.code == 2
    (error,) = (line for line in capsys.readouterr().err.splitlines() if "error: " in line)
    step = 4 if what == "validation" else 2
    assert "to this command: python train.py --resume" in error and f"continues from step {step}" in error
    assert all(value.isfinite().all() for value in stored().values())
    assert load_model(RUN / "painting.safetensors")[1].steps == step and not (RUN / "sample.jpg").exists()


def test_step_of_several_batches_is_skipped_whole(train, monkeypatch):
    batches = []
    losses = StyleTransfer.losses

    def broken(self, photos, *rest, **more):
        terms = losses(self, photos, *rest, **more)
        if self.training:
            batches.append(1)
            if len(batches) == 4:  # the second of the second step
                terms["total"] = terms["total"] * float("nan")
        return terms

    monkeypatch.setattr(StyleTransfer, "losses", broken)
    train("--trainer.accumulate_grad_batches=2", "--data.batch_size=1", "--trainer.max_steps=3")
    card = load_model(RUN / "painting.safetensors")[1]
    assert len(batches) == 6 and card.skipped_steps == 1
    assert all(value.isfinite().all() for value in stored().values())


@pytest.mark.slow
def test_ten_such_steps_in_a_row_end_the_run_and_keep_the_good_state(train, monkeypatch, capsys):
    monkeypatch.setattr(command, "STEPS_BETWEEN_SAVES", 2)
    flags = ["--trainer.max_steps=16", "--model.warmup=0"]
    with monkeypatch.context() as patch:
        # Nine in a row, a good one, and ten more.
        break_losses(patch, set(range(2, 11)) | set(range(12, 22)))
        with pytest.raises(SystemExit) as caught:
            train(*flags, "--trainer.max_steps=40")
    assert caught.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    (error,) = errors
    assert "not numbers in 10 steps in a row, the last at step 21" in error
    assert "--model.learning_rate" in error and "continues from step 12" in error
    assert "to this command: python train.py --resume" in error
    card = load_model(RUN / "painting.safetensors")[1]
    assert card.steps == 12 and card.skipped_steps == 9
    assert all(value.isfinite().all() for value in stored().values())
    train(*flags, "--resume")
    card = load_model(RUN / "painting.safetensors")[1]
    assert card.steps == 16 and card.skipped_steps == 9


def test_nan_loss_with_finite_gradients_is_no_reason_to_skip(train, monkeypatch):
    losses = StyleTransfer.losses

    def broken(self, photos, *rest, **more):
        terms = losses(self, photos, *rest, **more)
        return {**terms, "total": terms["total"] + torch.tensor(float("nan") if self.training else 0)}

    train("--name", "whole", "--trainer.max_steps=2")
    monkeypatch.setattr(StyleTransfer, "losses", broken)
    train("--name", "broken", "--trainer.max_steps=2")
    assert equal(stored("whole"), stored("broken"))
    assert load_model("runs/broken/broken.safetensors")[1].skipped_steps == 0


@pytest.mark.parametrize("scale, skipped", [(65536.0, 0), (1.0, 1)])
def test_guard_leaves_float16_steps_to_the_scaler(scale, skipped):
    guard, weight = NotANumberGuard(), torch.nn.Linear(1, 1)
    for parameter in weight.parameters():
        parameter.grad = torch.full_like(parameter, float("inf"))
    scaler = SimpleNamespace(get_scale=lambda: scale)
    trainer = SimpleNamespace(scaler=scaler, global_step=0, is_global_zero=True)
    guard.on_before_optimizer_step(trainer, weight, torch.optim.SGD(weight.parameters(), 0.1))
    assert guard.skipped == guard.consecutive == skipped
    assert (weight.weight.grad is None) == bool(skipped)


def test_previews_show_photos_above_stylized_images(train, photos):
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


def test_preview_of_a_photo_of_the_user(train, tmp_path):
    draw_image(900, 300).save(tmp_path / "mine.png")
    train("--trainer.max_steps=1", f"--previews.photo={tmp_path / 'mine.png'}")
    with Image.open(RUN / "previews" / "step_000001.png") as image:
        assert image.size == (640, 213)


def test_missing_preview_photo_is_an_error(train, capsys):
    with pytest.raises(SystemExit):
        train("--previews.photo=gone.jpg")
    assert "gone.jpg" in capsys.readouterr().err and not RUN.exists()


def test_previews_and_losses_are_in_tensorboard(train):
    train("--trainer.max_steps=2", "--trainer.log_every_n_steps=1")
    log = EventAccumulator(str(RUN / "logs" / "start_0"))
    log.Reload()
    assert [event.step for event in log.Images("preview")] == [2]
    tags = log.Tags()["scalars"]
    assert {"train/total", "train/content", "train/style", "train/variation", "validation/total"} <= set(tags)


def test_progress_is_written_after_each_step_and_never_ends_the_run(tmp_path, monkeypatch):
    seconds = iter([0.0, 2.0, 5.0, 6.0])
    monkeypatch.setattr("faststyle.training.callbacks.time.monotonic", lambda: next(seconds))
    progress = ProgressFile(tmp_path / "progress.json")
    trainer, module = SimpleNamespace(global_step=0, max_steps=10), SimpleNamespace(hparams={})
    assert json.loads(progress.path.read_text()) == {"step": 0, "seconds_left": 0}
    progress.on_train_start(trainer, None)
    for step, left in ((1, 18.0), (2, 16.8)):  # the second step took 3 seconds in place of 2
        trainer.global_step = step
        progress.on_train_batch_end(trainer, module, None, None, step)
        written = json.loads(progress.path.read_text())
        assert written == {"step": step, "seconds_left": pytest.approx(left)}
    progress.path = tmp_path / "progress.json" / "in a file"
    progress.on_train_batch_end(trainer, module, None, None, 3)
