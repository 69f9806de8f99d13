"""Carry out a training run in its folder, and report how to resume it if it ends early."""

import platform
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch

from faststyle.device import process_errors
from faststyle.errors import InputError, RankLostError, WorkerDiedError, error_message
from faststyle.files import atomic_write, check_writable, is_temporary_file
from faststyle.training.checkpointing import SIGNALS, Checkpoints
from faststyle.training.datamodule import ContentPhotos
from faststyle.training.learned import has_learned
from faststyle.training.module import StyleTransfer
from faststyle.training.ranks import print_batch_size, report_lost_ranks, stop_other_ranks
from faststyle.training.run_folder import LAST, lock_folder


@dataclass(frozen=True)
class Run:
    """A training run in its folder.

    Args:
        name: Name of the run and its model.
        folder: Folder of the run, which training creates.
        resumes: True if the run continues from ``last``.
        trainer: Lightning's Trainer.
        model: Module to train.
        datamodule: Photos to train on.
        checkpoints: Callback that saves the run's state.
        save_config: Function that writes the settings of the run to a path.
        finish: Function that evaluates and reports the model after the last step.
    """

    name: str
    folder: Path
    resumes: bool
    trainer: pl.Trainer
    model: StyleTransfer
    datamodule: ContentPhotos
    checkpoints: Checkpoints
    save_config: Callable[[Path], None]
    finish: Callable[["Run"], None]

    @property
    def last(self) -> Path:
        """The state that --resume continues from."""
        return self.folder / LAST

    @property
    def model_file(self) -> Path:
        """The file of the trained model."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def sample(self) -> Path:
        """The image that ``finish`` writes last."""
        return self.folder / "sample.jpg"

    def is_finished(self) -> bool:
        """Return True, in all ranks alike, if ``finish`` completed after the last state was saved."""
        done = self.sample.exists() and self.sample.stat().st_mtime >= self.last.stat().st_mtime
        # The times may differ in a copy of the folder on another machine.
        return self.trainer.strategy.broadcast(done)


def prepare_folder(run: Run) -> None:
    for path in (*run.folder.iterdir(), *run.folder.glob("previews/.*")):
        if is_temporary_file(path):
            path.unlink(missing_ok=True)
    if run.resumes and load_saved_step(run) >= run.trainer.max_steps:
        return  # keep the settings of a run that has all its steps
    with atomic_write(run.folder / "config.yaml") as temporary:
        run.save_config(temporary)


def run_training(run: Run) -> None:
    """Lock and prepare the run's folder and train, in this process and the ranks that it starts."""
    report_lost_ranks(run.trainer, lambda: rank_lost_message(run))
    try:
        if not run.trainer.is_global_zero:
            train(run)
            return
        check_writable(run.last)
        with lock_folder(run.folder):
            prepare_folder(run)
            print_batch_size(run.trainer, run.datamodule.batch_size, run.model.hparams["learning_rate"])
            train(run)
    except BaseException:
        stop_other_ranks(run.trainer)
        raise


def train(run: Run) -> None:
    """Train to the end. Any signal or error that stops training is reported with how to resume.

    Raises:
        SystemExit: A signal stopped training.
        InputError: Training failed, or the disk did; the message ends with how to resume.
    """
    last = run.last if run.resumes else None
    try:
        with exit_on_signals(), hide_thread_disk_errors(), process_errors():
            run.trainer.fit(run.model, run.datamodule, ckpt_path=last, weights_only=True)
            run.checkpoints.stop_if_signalled(run.trainer)  # a signal may come after the last step
            run.finish(run)
    except SystemExit as ended:
        status: Any = ended.code
        # Outside the steps Lightning exits with 1 on Ctrl-C, and without a status on SIGTERM.
        exit_stopped(run, {1: 130, None: 143}.get(status, status))
    except KeyboardInterrupt:
        exit_stopped(run, 130)
    except RankLostError:
        raise RankLostError(rank_lost_message(run)) from None
    except WorkerDiedError as error:
        if run.checkpoints.signal:  # the signal killed the worker too
            exit_stopped(run, 128 + run.checkpoints.signal)
        print(file=sys.stderr)  # below the progress bar
        raise WorkerDiedError(
            f"a process that decodes photos died ({error}), often because memory ran out: lower `workers`, "
            f"or set it to 0: {resume_hint(run)}"
        ) from None
    except (InputError, OSError) as error:
        print(file=sys.stderr)
        raise InputError(f"{error_message(error)}: {resume_hint(run)}") from None


def rank_lost_message(run: Run) -> str:
    return (
        f"another of the {run.trainer.world_size} processes was killed, or ended with an error of its own "
        f"above: {resume_hint(run)}"
    )


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Exit on other signals too, like on Ctrl-C; within the steps, ``Checkpoints`` handles all of them."""
    numbers = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def hide_thread_disk_errors() -> Iterator[None]:
    """Hide the traceback of TensorBoard's thread on a full disk; the next log call raises the same error."""
    before = threading.excepthook
    threading.excepthook = lambda failed: None if isinstance(failed.exc_value, OSError) else before(failed)
    try:
        yield
    finally:
        threading.excepthook = before


def exit_stopped(run: Run, status: Any) -> NoReturn:
    """Print how to resume, and exit with the status of a signal."""
    if run.trainer.is_global_zero:
        with suppress(OSError):  # the terminal may be gone
            print(f"\nstopped: {resume_hint(run)}{unlearned_warning(run)}", file=sys.stderr, flush=True)
    sys.exit(status)


def unlearned_warning(run: Run) -> str:
    """Return a warning if the saved model of a stopped run has hardly learned the style, otherwise ""."""
    if not run.last.exists() or has_learned(load_saved_step(run), run.model.start is not None):
        return ""
    return ". The model has hardly learned the style yet"


def load_saved_step(run: Run) -> int:
    return torch.load(run.last, map_location="cpu", weights_only=True)["global_step"]


def resume_hint(run: Run) -> str:
    """Return what is saved of a stopped run, and the command that continues it."""
    if not run.trainer.is_global_zero:
        number = f"{run.trainer.global_rank} of {run.trainer.world_size}"
        return f"continue with --resume (process {number}, counted from 0, on {platform.node()})"
    if not run.last.exists():
        return "nothing was saved yet; the same command starts again"
    command = f"python train.py --resume --output {shlex.quote(str(run.folder))}"
    return f"{command} continues from step {load_saved_step(run)}, saved in {run.last}"
