"""A training run from its folder to its end: what is written, what ends it early, and what is said then."""

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
from faststyle.training.module import StyleTransfer
from faststyle.training.ranks import end_others, report_lost_ranks, say_batch
from faststyle.training.run_folder import LAST, claimed


@dataclass(frozen=True)
class Run:
    """A training run in its folder.

    Args:
        name: Name of the run and its model.
        folder: Folder of the run; exists once training starts.
        resumes: Whether the run continues from ``last``.
        save_config: Write the settings of the run to a path.
        finish: Called after the last step, to evaluate and report the trained model.
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
        """Return True, in all processes alike, if ``finish`` came to its end after the last state."""
        done = self.sample.exists() and self.sample.stat().st_mtime >= self.last.stat().st_mtime
        # A copy of the folder on another machine has other times.
        return self.trainer.strategy.broadcast(done)


def prepare_folder(run: Run) -> None:
    for path in (*run.folder.iterdir(), *run.folder.glob("previews/.*")):
        if is_temporary_file(path):
            path.unlink(missing_ok=True)
    if run.resumes and saved_step(run) >= run.trainer.max_steps:
        return  # it is trained already, with the settings that are there
    with atomic_write(run.folder / "config.yaml") as temporary:
        run.save_config(temporary)


def go(run: Run) -> None:
    """Train in the run's folder, by this process and those that it starts."""
    report_lost_ranks(run.trainer, lambda: lost(run))
    try:
        if not run.trainer.is_global_zero:
            train(run)
            return
        check_writable(run.last)
        with claimed(run.folder):
            prepare_folder(run)
            say_batch(run.trainer, run.datamodule.batch_size, run.model.hparams["learning_rate"])
            train(run)
    except BaseException:
        end_others(run.trainer)
        raise


def train(run: Run) -> None:
    """Train to the end; whatever stops it, a line says how to go on."""
    last = run.last if run.resumes else None
    try:
        with ended_by_signals(), quiet_threads(), process_errors():
            run.trainer.fit(run.model, run.datamodule, ckpt_path=last, weights_only=True)
            run.checkpoints.heed(run.trainer)  # of a signal after the last step
            run.finish(run)
    except SystemExit as ended:
        status: Any = ended.code
        # Outside the steps Lightning answers Ctrl-C with 1, and SIGTERM with nothing.
        stop(run, {1: 130, None: 143}.get(status, status))
    except KeyboardInterrupt:
        stop(run, 130)
    except RankLostError:
        raise RankLostError(lost(run)) from None
    except WorkerDiedError as error:
        if run.checkpoints.signal:  # which the worker got too
            stop(run, 128 + run.checkpoints.signal)
        print(file=sys.stderr)  # below the progress bar
        raise WorkerDiedError(
            f"a process that decodes photos died ({error}), often for want of memory: lower `workers`, or "
            f"set it to 0: {way_on(run)}"
        ) from None
    except (InputError, OSError) as error:
        print(file=sys.stderr)
        raise InputError(f"{error_message(error)}: {way_on(run)}") from None


def lost(run: Run) -> str:
    return (
        f"another of the {run.trainer.world_size} processes was killed, or ended with an error of its own "
        f"above: {way_on(run)}"
    )


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """The others end the run as Ctrl-C does; within its steps ``Checkpoints`` sees to all of them."""
    numbers = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Without TensorBoard's thread's traceback on a full disk: what is logged next raises the same error."""
    before = threading.excepthook
    threading.excepthook = lambda failed: None if isinstance(failed.exc_value, OSError) else before(failed)
    try:
        yield
    finally:
        threading.excepthook = before


def stop(run: Run, status: Any) -> NoReturn:
    """End as a signal asked for it."""
    if run.trainer.is_global_zero:
        with suppress(OSError):  # the terminal may be gone
            print(f"\nstopped: {way_on(run)}", file=sys.stderr, flush=True)
    sys.exit(status)


def saved_step(run: Run) -> int:
    return torch.load(run.last, map_location="cpu", weights_only=True)["global_step"]


def way_on(run: Run) -> str:
    """What is left of a run that was stopped, and what to type."""
    if not run.trainer.is_global_zero:
        number = f"{run.trainer.global_rank} of {run.trainer.world_size}"
        return f"--resume goes on (says process {number}, counted from 0, on {platform.node()})"
    if not run.last.exists():
        return "nothing was saved yet, and the same command starts again"
    again = f"python train.py --resume --output {shlex.quote(str(run.folder))}"
    return f"{again} goes on from step {saved_step(run)}, which is kept in {run.last}"
