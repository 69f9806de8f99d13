"""Callbacks of training: previews, progress for another process, and the guard against NaN gradients."""

import json
import logging
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
import torchvision

from faststyle.errors import InputError
from faststyle.files import atomic_write
from faststyle.image.convert import limit_size, to_image, to_tensor
from faststyle.image.files import open_image, save_image
from faststyle.models.card import MARGIN
from faststyle.options import text, whole

log = logging.getLogger(__name__)

SECONDS_BETWEEN_PREVIEWS = 5
MAX_PREVIEW_SIDE = 640  # pixels, at which the networks are at their best
MAX_CONSECUTIVE_SKIPS = 10  # steps, after which a run ends


class Previews(pl.Callback):
    """Callback that saves a grid of held-out photos above their stylized images, as PNG and in TensorBoard.

    Args:
        every_n_steps: Number of steps between two previews. A run of seconds has one at its start and every
            five seconds.
        photos: Number of photos in the grid, side by side.
        photo: Image file to stylize, at up to 640 pixels, in place of the grid.

    Raises:
        InputError: The photo does not exist or is no image.
    """

    def __init__(
        self,
        every_n_steps: Annotated[int, whole(1)] = 250,
        photos: Annotated[int, whole(1, 100)] = 4,
        photo: Annotated[str, text("an image file")] | None = None,
    ):
        self.every_n_steps, self.photos, self.last = every_n_steps, photos, 0
        self.photo = None
        if photo:
            self.photo = to_tensor(limit_size(open_image(photo).convert("RGB"), MAX_PREVIEW_SIDE))
        self.saved = -math.inf  # when the last preview was saved

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        due = step % self.every_n_steps == 0 or step == trainer.max_steps
        if module.hparams.get("seconds"):
            due = time.monotonic() - self.saved >= SECONDS_BETWEEN_PREVIEWS
        if trainer.is_global_zero and due and step != self.last:  # once for a step of several batches
            self.save_preview(trainer, module)
            self.last, self.saved = step, time.monotonic()

    def save_preview(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.photo is None:
            held_out = trainer.datamodule.held_out  # type: ignore[attr-defined]
            count = min(self.photos, len(held_out))
            photos = torch.stack([held_out[i][0] for i in range(count)]).to(module.device) / 255
        else:
            photos = self.photo[None].to(module.device)
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            stylized = module(photos, MARGIN).float().clamp(0, 1)
        if self.photo is None:
            both = torch.cat([photos, stylized])
            image = torchvision.utils.make_grid(both, nrow=len(photos), padding=4, pad_value=1)
        else:
            image = stylized[0]
        folder = Path(trainer.default_root_dir) / "previews"
        save_image(to_image(image), folder / f"step_{trainer.global_step:06d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, pl.loggers.TensorBoardLogger):
                logger.experiment.add_image("preview", image, trainer.global_step)


class ProgressFile(pl.Callback):
    """Callback that writes the step and the seconds left to a JSON file after each step, for another process.

    The file is first written when the callback is created, after the imports, which take seconds.

    Args:
        path: Path of the JSON file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.write(0, 0.0)
        self.ended = 0.0  # when the last step ended
        self.seconds_per_step: float | None = None  # seconds for a step, a running mean

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.ended = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        took, self.ended = now - self.ended, now
        mean = self.seconds_per_step
        self.seconds_per_step = took if mean is None else 0.9 * mean + 0.1 * took
        left = self.seconds_per_step * (trainer.max_steps - trainer.global_step)
        if length := module.hparams.get("seconds"):
            left = length * (1 - module.done(trainer.global_step))  # type: ignore[operator]
        self.write(trainer.global_step, left)

    def write(self, step: int, seconds_left: float) -> None:
        """Write the file. A full disk does not end the run."""
        with suppress(OSError), atomic_write(self.path, flush=False) as temporary:
            temporary.write_text(json.dumps({"step": step, "seconds_left": seconds_left}))


def not_finite_error(where: str) -> InputError:
    """Return the error of a run with NaN or infinite values; the command to continue is appended to it."""
    return InputError(
        f"{where}: add a lower `learning_rate` or `style_weight`, or `precision` 32, to this command"
    )


class NotANumberGuard(pl.Callback):
    """Callback that skips steps with NaN or infinite gradients, and ends a run after ten of them in a row.

    It checks the gradient of the whole step, summed over accumulated batches and averaged over ranks, so all
    ranks decide alike without communication. A NaN loss with finite gradients does not harm the weights.
    """

    def __init__(self) -> None:
        self.skipped = 0  # steps in the whole run
        self.consecutive = 0  # skipped steps since the last good one

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.skipped = state["skipped"]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        if torch.nn.utils.get_total_norm(gradients).isfinite():
            self.consecutive = 0
            return
        scaler = trainer.scaler
        if scaler is not None and scaler.get_scale() > 1:
            return  # float16's gradient scaler skips such steps itself, and lowers its scale
        self.consecutive += 1
        if self.consecutive == MAX_CONSECUTIVE_SKIPS:
            raise not_finite_error(
                f"the gradients were not numbers in {MAX_CONSECUTIVE_SKIPS} steps in a row, the last at step "
                f"{trainer.global_step}"
            )
        if self.skipped == 0 and trainer.is_global_zero:
            log.warning("skipped: step %d, whose gradients are not numbers", trainer.global_step)
        self.skipped += 1
        # None instead of zero, because momentum would change the weights with a zero gradient.
        optimizer.zero_grad(set_to_none=True)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.skipped and trainer.is_global_zero:
            log.warning("skipped: %d of %d steps in all", self.skipped, trainer.global_step)
