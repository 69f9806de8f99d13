"""A training run from its folder to its end: what is written, what ends it early, and what is said then."""

import math
import platform
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from faststyle.callbacks import not_numbers
from faststyle.cli.training_ranks import end_others, hear_of_deaths, is_lost, say_batch
from faststyle.errors import InputError, said
from faststyle.images import check_place, is_temporary, replacing, save_image
from faststyle.saving import SIGNALS
from faststyle.stylizer import Stylizer

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from faststyle.cli.train import TrainCLI

LOCK = ".lock"  # in the run's folder while it is trained in


def can_start_in(folder: Path) -> bool:
    """Whether there is nothing in a folder, or only what is left of a start that saved no state yet."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not is_temporary(path) and path.name != LOCK}
    if not names <= {"config.yaml", "logs", "previews"}:
        return False
    config = folder / "config.yaml"  # which is written first; its first line tells ours from another's
    return not names or (config.is_file() and config.read_bytes().startswith(b"# pytorch_lightning"))


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder for this process alone; the system lets go of it when the process ends, however it ends.

    Raises:
        InputError: another process trains in it.
    """
    path = folder / LOCK
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                # Not flock, which the processes that decode would hold on for a while after a kill -9.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise InputError(
                    f"another process trains in {folder}: wait for its end, or give another --output"
                ) from None
            except OSError:
                pass  # a file system that has no locks
        try:
            yield
        finally:
            with suppress(OSError):  # a folder that has become read-only
                path.unlink(missing_ok=True)


def prepare_folder(cli: "TrainCLI") -> None:
    for path in (*cli.folder.iterdir(), *cli.folder.glob("previews/.*")):
        if is_temporary(path):
            path.unlink(missing_ok=True)
    if cli.resumes and saved_step(cli) >= cli.config.trainer.max_steps:
        return  # it is trained already, with the settings that are there
    cli.config.resume = False
    with replacing(cli.folder / "config.yaml") as temporary:
        cli.parser.save(cli.config, temporary, overwrite=True, skip_none=False, multifile=False)


def go(cli: "TrainCLI") -> None:
    """Train in the run's folder, by this process and those that it starts."""
    try:
        if not cli.trainer.is_global_zero:
            train(cli)
            return
        check_place(cli.last)
        with claimed(cli.folder):
            prepare_folder(cli)
            say_batch(cli.trainer, cli.datamodule.batch_size, cli.model.hparams["learning_rate"])
            train(cli)
    except BaseException:
        end_others(cli.trainer)
        raise


def train(cli: "TrainCLI") -> None:
    """Train to the end; whatever stops it, a line says how to go on."""
    last = cli.last if cli.resumes else None
    hear_of_deaths(lambda: lost(cli))
    try:
        with ended_by_signals(), quiet_threads():
            cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=last, weights_only=True)
            cli.checkpoints.heed(cli.trainer)  # of a signal after the last step
            finish(cli)
    except SystemExit as ended:
        status: Any = ended.code
        # Outside the steps Lightning answers Ctrl-C with 1, and SIGTERM with nothing.
        stop(cli, {1: 130, None: 143}.get(status, status))
    except KeyboardInterrupt:
        stop(cli, 130)
    except (InputError, OSError) as error:
        print(file=sys.stderr)  # below the progress bar
        raise InputError(f"{said(error)}: {way_on(cli)}") from None
    except (RuntimeError, EOFError) as error:
        # A worker that dies while it hands a photo over leaves the latter.
        worker = re.search(r"DataLoader worker \(pid.*", str(error) or "DataLoader worker (pid unknown)")
        if is_lost(error):
            raise InputError(lost(cli)) from None
        if worker is None:
            raise
        if cli.checkpoints.signal:  # which the worker got too
            stop(cli, 128 + cli.checkpoints.signal)
        print(file=sys.stderr)
        raise InputError(
            f"a process that decodes photos died ({worker[0].rstrip('. ')}), often for want of memory: give "
            f"a smaller --data.workers, or 0 for none: {way_on(cli)}"
        ) from None


def lost(cli: "TrainCLI") -> str:
    return (
        f"another of the {cli.trainer.world_size} processes was killed, or ended with an error of its own "
        f"above: {way_on(cli)}"
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


def stop(cli: "TrainCLI", status: Any) -> NoReturn:
    """End as a signal asked for it."""
    if cli.trainer.is_global_zero:
        with suppress(OSError):  # the terminal may be gone
            print(f"\nstopped: {way_on(cli)}", file=sys.stderr, flush=True)
    sys.exit(status)


def saved_step(cli: "TrainCLI") -> int:
    return torch.load(cli.last, map_location="cpu", weights_only=True)["global_step"]


def way_on(cli: "TrainCLI") -> str:
    """What is left of a run that was stopped, and what to type."""
    if not cli.trainer.is_global_zero:
        number = f"{cli.trainer.global_rank} of {cli.trainer.world_size}"
        return f"--resume goes on (says process {number}, counted from 0, on {platform.node()})"
    if not cli.last.exists():
        return "nothing was saved yet, and the same command starts again"
    again = f"python train.py --resume --output {shlex.quote(str(cli.folder))}"
    return f"{again} goes on from step {saved_step(cli)}, which is kept in {cli.last}"


def finish(cli: "TrainCLI") -> None:
    """Save, judge and show the trained model, and say what to type next."""
    model, sample = cli.folder / f"{cli.name}.safetensors", cli.folder / "sample.jpg"
    # The sample is written last, so one that is newer than the state tells that all of this was done.
    done = sample.exists() and sample.stat().st_mtime >= cli.last.stat().st_mtime
    done = cli.trainer.strategy.broadcast(done)  # a copy of the folder on another machine has other times
    if cli.resumes and cli.checkpoints.made == 0 and done and cli.config.push_to_hub is None:
        if cli.trainer.is_global_zero:
            print(
                f"{cli.folder} is trained already, by {cli.trainer.global_step} steps: "
                "--trainer.max_steps N makes it more"
            )
        return
    if not cli.checkpoints.is_sound(cli.trainer):  # nor may it take the place of the last good state
        raise not_numbers("the gradients or weights were not numbers in the last steps")
    cli.checkpoints.save(cli.trainer)
    (figures,) = cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    if not math.isfinite(figures["validation/total"]):
        raise not_numbers("the held-out loss is not a number")
    if not cli.trainer.is_global_zero:
        return
    stylize = Stylizer.load(model, str(cli.trainer.strategy.root_device))
    save_image(stylize(cli.datamodule.held_out.photos[0]), sample)
    print(
        f"\ntrained {cli.name}: {cli.trainer.global_step} steps, "
        f"held-out loss {figures['validation/total']:.3f} "
        f"(content {figures['validation/content']:.3f}, style {figures['validation/style']:.3f})\n"
        f"model:   {model}\n"
        f"sample:  {sample}\n"
        f"next:    python infer.py PHOTO.jpg --checkpoint {shlex.quote(str(model))}"
    )
    skipped = len(cli.datamodule.skipped)
    if skipped:
        print(f"skipped: {skipped} picture{'s' * (skipped > 1)} that could not be used, named when met first")
    if cli.config.push_to_hub is not None:
        print(f"on the Hub: {stylize.push_to_hub(cli.config.push_to_hub, sample)}")
