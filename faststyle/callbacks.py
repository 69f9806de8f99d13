"""What happens beside the training steps: previews, what is saved and when, signals, and a guard."""

import datetime
import io
import logging
import os
import platform
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torchvision
from lightning_fabric.plugins import TorchCheckpointIO

import faststyle
from faststyle.checkpoint import save_model
from faststyle.device import describe_device
from faststyle.errors import InputError
from faststyle.images import replacing, save_image, to_image
from faststyle.module import StyleTransfer
from faststyle.transformer import MARGIN

log = logging.getLogger(__name__)

MOST_SKIPPED = 10  # steps in a row, after which a run ends
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a state whole or not at all: killed at any moment, the old file is there or the new one.

    Lightning's own goes through the system's folder for temporary files, and is copied from there where
    that is another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class InferenceFile(pl.Callback):
    """Writes the small file for inference, whenever ``Checkpoints`` has saved the run's state.

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

    def write(self, trainer: pl.Trainer, skipped_steps: int) -> None:
        module = trainer.lightning_module
        assert isinstance(module, StyleTransfer)
        card = {
            "name": self.path.stem,
            **module.card(),
            "skipped_steps": skipped_steps,
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
    """Skips steps whose gradients are not numbers, and ends a run that has ten of them in a row.

    What counts is the gradient of the whole step, which all ranks share and accumulated batches sum up
    to: so ranks agree without asking each other. A loss that is not a number but has finite gradients
    does the weights no harm.
    """

    def __init__(self) -> None:
        self.skipped = 0  # in the whole run
        self.row = 0  # without a good step between

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.skipped = state["skipped"]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        if torch.nn.utils.get_total_norm(gradients).isfinite():
            self.row = 0
            return
        scaler = trainer.scaler
        if scaler is not None and scaler.get_scale() > 1:
            return  # float16's scaler finds its scale by such steps, and skips them itself
        self.row += 1
        if self.row == MOST_SKIPPED:
            raise InputError(
                f"the gradients were not numbers in {MOST_SKIPPED} steps in a row, the last at step "
                f"{trainer.global_step}: lower --model.learning_rate or --model.style_weight, or take "
                "--trainer.precision 32"
            )
        if self.skipped == 0 and trainer.is_global_zero:
            log.warning("skipped: step %d, whose gradients are not numbers", trainer.global_step)
        self.skipped += 1
        # Not zeroed: momentum would move the weights on without a gradient.
        optimizer.zero_grad(set_to_none=True)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.skipped and trainer.is_global_zero:
            log.warning("skipped: %d of %d steps in all", self.skipped, trainer.global_step)


class Checkpoints(pl.callbacks.Checkpoint):
    """Saves the run's state, then its model: every so many steps, and when the run is stopped.

    Both only between two steps, when weights, optimizer and schedule belong together, so that a run
    that resumes ends with the weights of one that never stopped. Ctrl-C, SIGTERM and SIGHUP therefore
    wait for the end of the step; a second one does not. After a skipped step nothing is saved, since
    the weights themselves may be the reason.

    Args:
        path: of the state.
        model: writes the model.
        guard: counts the skipped steps.
        every_n_steps: how often.
    """

    def __init__(self, path: Path, model: InferenceFile, guard: NotANumberGuard, every_n_steps: int):
        self.path, self.model, self.guard, self.every_n_steps = path, model, guard, every_n_steps
        self.step = 0  # the last that ended
        self.made = 0  # steps in this start
        self.tried = 0  # the last step at which its state was to be saved
        self.whole = False  # whether the trainer stands between two steps
        self.signal = 0
        self.process = os.getpid()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.step = self.tried = trainer.global_step
        self.whole = True
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Under nohup, say, one is ignored. Lightning puts the handlers back at the end.
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self.receive)
            if hasattr(signal, "SIGCHLD"):
                # Of a dead worker torch would tell in the middle of a step; it does also at the next batch.
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def receive(self, number: int, frame: Any) -> None:
        if os.getpid() != self.process:
            return  # a worker that was forked meanwhile, and ends with the run
        if self.signal:
            raise SystemExit(128 + number)
        self.signal = number
        # Not print, which may be at work already.
        os.write(2, b"\nstopping at the end of this step; once more stops at once\n")

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.whole = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.whole = trainer.global_step > self.step  # and not between the batches of one step
        if not self.whole:
            return
        self.step = trainer.global_step
        self.made += 1
        due = self.step // self.every_n_steps > self.tried // self.every_n_steps
        if due and self.guard.row == 0:
            self.save(trainer)
        if trainer.strategy.reduce_boolean_decision(bool(self.signal), all=False):
            raise SystemExit(128 + (self.signal or signal.SIGTERM))  # another rank's

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        # Of several ranks one alone cannot save: the others would have to join in.
        alone = trainer.world_size > 1 and not isinstance(exception, SystemExit)
        if self.whole and self.guard.row == 0 and self.tried != trainer.global_step and not alone:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        self.tried = trainer.global_step  # once: a full disk does not get emptier
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero:
            self.model.write(trainer, self.guard.skipped)
