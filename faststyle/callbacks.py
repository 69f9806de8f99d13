"""What happens beside the training steps: previews, the file for inference, and a guard."""

import datetime
import platform
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torchvision
from torch import Tensor

import faststyle
from faststyle.checkpoint import save_model
from faststyle.device import describe_device
from faststyle.errors import InputError
from faststyle.images import replacing, save_image, to_image
from faststyle.module import StyleTransfer
from faststyle.transformer import MARGIN


class Previews(pl.Callback):
    """A grid of held-out photos over what the network makes of them, as PNG and in TensorBoard.

    Args:
        every_n_steps: how often.
        photos: how many photos, side by side.
    """

    def __init__(self, every_n_steps: int = 250, photos: int = 4):
        for name, value in (("every_n_steps", every_n_steps), ("photos", photos)):
            if value < 1:
                raise InputError(f"--previews.{name} must be at least 1, not {value}")
        self.every_n_steps, self.photos, self.last = every_n_steps, photos, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        due = step % self.every_n_steps == 0 or step == trainer.max_steps
        if trainer.is_global_zero and due and step != self.last:  # once a step of several batches
            self.draw(trainer, module)
            self.last = step

    def draw(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        held_out = trainer.datamodule.held_out  # type: ignore[attr-defined]
        count = min(self.photos, len(held_out))
        photos = torch.stack([held_out[i][0] for i in range(count)]).to(module.device) / 255
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            stylized = module(photos, MARGIN).float().clamp(0, 1)
        grid = torchvision.utils.make_grid(torch.cat([photos, stylized]), nrow=count, padding=4, pad_value=1)
        folder = Path(trainer.default_root_dir) / "previews"
        save_image(to_image(grid), folder / f"step_{trainer.global_step:06d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, pl.loggers.TensorBoardLogger):
                logger.experiment.add_image("preview", grid, trainer.global_step)


class InferenceFile(pl.Callback):
    """Writes the small file for inference, whenever a checkpoint is saved.

    Args:
        path: where to.
        command: that began the run, for the model's card.
    """

    def __init__(self, path: Path, command: str):
        self.path, self.command = path, command
        self.seconds = 0.0  # of the starts before this one
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"command": self.command, "seconds": self.seconds + time.monotonic() - self.started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.command, self.seconds = state["command"], state["seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = time.monotonic()

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Any) -> None:
        assert isinstance(module, StyleTransfer)
        if not trainer.is_global_zero:
            return
        card = {
            "name": self.path.stem,
            **module.card(),
            "data": trainer.datamodule.card(),  # type: ignore[attr-defined]
            "command": self.command,
            "hardware": describe_device(module.device),
            "minutes": round(self.state_dict()["seconds"] / 60, 1),
            "date": datetime.date.today().isoformat(),
            "versions": {
                "faststyle": faststyle.__version__,
                "torch": torch.__version__,
                "pytorch_lightning": pl.__version__,
                "python": platform.python_version(),
            },
        }
        with replacing(self.path) as temporary:
            save_model(temporary, module.network, card)


class NotANumberGuard(pl.Callback):
    """Ends the training before a loss that is not a number reaches the weights."""

    def on_before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss was not a number at step {trainer.global_step}: lower --model.learning_rate or "
                "--model.style_weight, or take --trainer.precision 32, then --resume; the last good "
                f"state is in {trainer.default_root_dir}"
            )
