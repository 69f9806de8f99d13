"""A training run from its folder to its end: what is written, what ends it early, and what is said then."""

import platform
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from faststyle.callbacks import SIGNALS
from faststyle.cli import said
from faststyle.cli.training_ranks import hear_of_deaths, is_lost
from faststyle.errors import InputError
from faststyle.images import check_place, is_temporary, replacing, save_image
from faststyle.stylizer import Stylizer

if TYPE_CHECKING:
    from faststyle.cli.train import TrainCLI


def can_start_in(folder: Path) -> bool:
    """Whether there is nothing in a folder, or only what is left of a start that saved no state yet."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not is_temporary(path)}
    if not names <= {"config.yaml", "logs", "previews"}:
        return False
    config = folder / "config.yaml"  # which is written first; its first line tells ours from another's
    return not names or (config.is_file() and config.read_bytes().startswith(b"# pytorch_lightning"))


def prepare_folder(cli: "TrainCLI") -> None:
    check_place(cli.last)
    for path in (*cli.folder.iterdir(), *cli.folder.glob("previews/.*")):
        if is_temporary(path):
            path.unlink(missing_ok=True)
    cli.config.resume = False
    with replacing(cli.folder / "config.yaml") as temporary:
        cli.parser.save(cli.config, temporary, overwrite=True, skip_none=False, multifile=False)


def go(cli: "TrainCLI") -> None:
    """Train to the end; whatever stops it, a line says how to go on."""
    last = cli.last if cli.resumes else None
    hear_of_deaths(lambda: lost(cli))
    try:
        with ended_by_signals(), quiet_threads():
            cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=last, weights_only=True)
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
    except RuntimeError as error:
        worker = re.search(r"DataLoader worker \(pid.*", str(error))
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
        f"another of the {cli.trainer.world_size} processes ended, and said why, or was killed: {way_on(cli)}"
    )


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does; within its steps ``Checkpoints`` sees to all three."""
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
        print(f"\nstopped: {way_on(cli)}", file=sys.stderr)
    sys.exit(status)


def way_on(cli: "TrainCLI") -> str:
    """What is left of a run that was stopped, and what to type."""
    if not cli.trainer.is_global_zero:
        number = f"{cli.trainer.global_rank} of {cli.trainer.world_size}"
        return f"--resume goes on (says process {number}, counted from 0, on {platform.node()})"
    if not cli.last.exists():
        return "nothing was saved yet, and the same command starts again"
    step = torch.load(cli.last, map_location="cpu", weights_only=True)["global_step"]
    again = f"python train.py --resume --output {shlex.quote(str(cli.folder))}"
    return f"{again} goes on from step {step}, which is kept in {cli.last}"


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
    cli.checkpoints.save(cli.trainer)
    (figures,) = cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
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
    if cli.datamodule.skipped:
        print(f"skipped: {len(cli.datamodule.skipped)} pictures that could not be used, each named above")
    if cli.config.push_to_hub is not None:
        print(f"on the Hub: {stylize.push_to_hub(cli.config.push_to_hub, sample)}")
