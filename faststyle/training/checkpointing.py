"""Save a run's state and its model, regularly and on signals."""

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

# SLURM sends SIGUSR1 before a job's time is up (--signal=SIGUSR1@90).
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
]
STEPS_BETWEEN_SAVES = 100  # a killed run loses at most these, or more after steps that were skipped


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint writer that leaves the old or the new file if the process is killed, never a part of one.

    Lightning's own writer is not atomic if the system's folder for temporary files is on another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class InferenceFile(pl.Callback):
    """Callback that holds what the model's file needs; ``Checkpoints`` writes the file with each state.

    Args:
        path: Path of the model's file.
        command: Command that started the run, for the model card.
    """

    def __init__(self, path: Path, command: str):
        self.path, self.command = path, command
        self.seconds = 0.0  # training time of earlier starts
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
    """Callback that saves the run's state and then its model, regularly and when the run is stopped.

    It saves only between two steps, when weights, optimizer and schedule match, so that a resumed run ends
    with the weights of one that never stopped. A signal therefore stops the run at the end of the step; a
    second signal stops it at once. After a skipped step nothing is saved, because the weights may be corrupt.

    Args:
        path: Path of the state.
        model: Writer of the model's file.
        guard: Counter of the skipped steps.
        every_n_steps: Number of steps between two saves.
    """

    def __init__(self, path: Path, model: InferenceFile, guard: NotANumberGuard, every_n_steps: int):
        self.path, self.model, self.guard, self.every_n_steps = path, model, guard, every_n_steps
        self.step = 0  # last step that ended
        self.steps_made = 0  # since this start
        self.save_step = 0  # last step at which a save was tried
        self.between_steps = False
        self.signal = 0  # number of the signal received
        self.process = os.getpid()
        self.prints = False  # True in the main rank

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.step = self.save_step = trainer.global_step
        self.between_steps = True
        self.prints = trainer.is_global_zero
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Keep ignored signals ignored, as under nohup. Lightning restores the handlers at the end.
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self.handle_signal)
            if hasattr(signal, "SIGCHLD"):
                # PyTorch's handler would raise the error of a dead worker within a step. Without it, the
                # error comes at the next batch.
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def handle_signal(self, number: int, frame: Any) -> None:
        if os.getpid() != self.process:
            return  # this is a forked worker, which ends with the run
        if self.signal:
            raise SystemExit(128 + number)
        self.signal = number
        if self.prints:
            with suppress(OSError):  # the terminal may be gone, as after SIGHUP
                # print is not reentrant, and the signal may have interrupted one.
                os.write(2, b"\nstopping at the end of this step; a second signal stops at once\n")

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.between_steps = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.between_steps = trainer.global_step > self.step  # False between the batches of one step
        if not self.between_steps:
            return
        self.step = trainer.global_step
        self.steps_made += 1
        due = self.step // self.every_n_steps > self.save_step // self.every_n_steps
        if due and self.can_save(trainer):
            self.save(trainer)
        self.stop_if_signalled(trainer)

    def stop_if_signalled(self, trainer: pl.Trainer) -> None:
        """Save the state and exit if any rank received a signal.

        Raises:
            SystemExit: A rank received a signal; the status is 128 plus its number.
        """
        if trainer.strategy.reduce_boolean_decision(bool(self.signal), all=False):
            if self.save_step != trainer.global_step and self.can_save(trainer):
                self.save(trainer)
            raise SystemExit(128 + (self.signal or signal.SIGTERM))  # SIGTERM if another rank received it

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        if trainer.world_size > 1:
            return  # one rank cannot save without the others
        if self.between_steps and self.save_step != trainer.global_step and self.can_save(trainer):
            self.save(trainer)

    def can_save(self, trainer: pl.Trainer) -> bool:
        """Return True, in all ranks alike, if the last step was not skipped and all weights are finite."""
        weights = trainer.lightning_module.parameters()
        return self.guard.consecutive == 0 and all(weight.isfinite().all() for weight in weights)

    def save(self, trainer: pl.Trainer) -> None:
        self.save_step = trainer.global_step  # set first, so that a failed save is not tried again
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero:
            self.model.write(trainer, self.guard.skipped)
