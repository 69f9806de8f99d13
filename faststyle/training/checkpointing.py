"""A run's state and its model on the disk: how they are written, when, and what signals do to that."""

import datetime
import io
import os
import platform
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from faststyle import __version__
from faststyle.device import describe_device
from faststyle.files import atomic_write
from faststyle.models.checkpoint import save_model
from faststyle.training.callbacks import NotANumberGuard
from faststyle.training.module import StyleTransfer

# SIGUSR1 is what SLURM sends before the time is up (--signal=SIGUSR1@90).
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a state whole or not at all: killed at any moment, the old file is there or the new one.

    Lightning's own goes through the system's folder for temporary files, and is copied from there where
    that is another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with atomic_write(Path(path)) as temporary:
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
        card = replace(
            module.card(),
            name=self.path.stem,
            skipped_steps=skipped_steps,
            data=trainer.datamodule.card(),  # type: ignore[attr-defined]
            command=self.command,
            hardware=describe_device(trainer.strategy.root_device),
            minutes=round(self.state_dict()["seconds"] / 60, 1),
            date=datetime.date.today().isoformat(),
            versions={
                "faststyle": __version__,
                "torch": torch.__version__,
                "pytorch_lightning": pl.__version__,
                "python": platform.python_version(),
            },
        )
        with atomic_write(self.path) as temporary:
            save_model(temporary, module.network, card, module.grams())


class Checkpoints(pl.callbacks.Checkpoint):
    """Saves the run's state, then its model: every so many steps, and when the run is stopped.

    Both only between two steps, when weights, optimizer and schedule belong together, so that a run
    that resumes ends with the weights of one that never stopped. Signals therefore wait for the end of
    the step; a second one does not. What is not sound is not saved: after a skipped step the weights
    themselves may be the reason, and of the last step nothing else would tell.

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
        self.speaks = False

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.step = self.tried = trainer.global_step
        self.whole = True
        self.speaks = trainer.is_global_zero
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
        if self.speaks:
            with suppress(OSError):  # the terminal may be gone, which is what SIGHUP tells
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
        if self.step // self.every_n_steps > self.tried // self.every_n_steps and self.is_sound(trainer):
            self.save(trainer)
        self.heed(trainer)

    def heed(self, trainer: pl.Trainer) -> None:
        """End the run, its state saved, if any of its processes was told to stop."""
        if trainer.strategy.reduce_boolean_decision(bool(self.signal), all=False):
            if self.tried != trainer.global_step and self.is_sound(trainer):
                self.save(trainer)
            raise SystemExit(128 + (self.signal or signal.SIGTERM))  # another rank's

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        if trainer.world_size > 1:
            return  # one rank alone cannot save: the others would have to join in
        if self.whole and self.tried != trainer.global_step and self.is_sound(trainer):
            self.save(trainer)

    def is_sound(self, trainer: pl.Trainer) -> bool:
        """Whether the last step was made, and left weights that are numbers; all ranks say the same."""
        weights = trainer.lightning_module.parameters()
        return self.guard.row == 0 and all(weight.isfinite().all() for weight in weights)

    def save(self, trainer: pl.Trainer) -> None:
        self.tried = trainer.global_step  # once: a full disk does not get emptier
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero:
            self.model.write(trainer, self.guard.skipped)
