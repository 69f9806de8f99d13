"""What the benchmarks share: command lines, images, timing, processes and tables."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import scale_to
from faststyle.image.files import find_images, open_image
from faststyle.inference.engines.kinds import available_engines
from faststyle.inference.stylizer import Stylizer

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]  # of the repository


class Finished(NamedTuple):
    """A command that ended.

    Attributes:
        status: Exit status; negative for the signal that ended the command.
        printed: What the command wrote to stdout and stderr.
        seconds: From its start to its end.
        peak_memory: Bytes of resident memory at the maximum.
    """

    status: int
    printed: str
    seconds: float
    peak_memory: int


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser that prints the description, a module's docstring, line by line."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def find_photos(folder: Path, count: int | None = None) -> list[Path]:
    """List the first ``count`` image files below a folder; end the command where there are none."""
    return find_images(folder)[:count] or sys.exit(f"error: there are no images in {folder}")


def open_rgb(path: Path, size: int | None = None) -> Image.Image:
    """Read an image in RGB, resized to ``size`` pixels of the longer side."""
    image = open_image(path).convert("RGB")
    return image if size is None else scale_to(image, size)


def time_call(call: Callable[[], object], device: torch.device | None = None) -> float:
    """Return the seconds of a call, until the device is done."""
    synchronize(device)
    begin = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - begin


def synchronize(device: torch.device | None) -> None:
    """Wait until a device other than the CPU has done what was asked of it."""
    if device is not None and device.type != "cpu":
        import torch

        torch.accelerator.synchronize(device)


def infer_command(*arguments: object) -> list[str]:
    """Return the command line of infer.py with these arguments."""
    return [sys.executable, str(ROOT / "infer.py"), *map(str, arguments)]


def run_measured(
    command: Sequence[str | Path], folder: Path | None = None, environment: dict[str, str] | None = None
) -> Finished:
    """Run a command in a folder, and measure its time and memory."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=folder, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        file.seek(0)
        return Finished(process.returncode, file.read(), seconds, 1024 * usage.ru_maxrss)


def child_processes(pid: int) -> list[int]:
    """List a process's children by /proc; none where the process has ended."""
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(child) for file in files for child in file.read_text().split()]
    except OSError:
        return []


def print_head(*columns: str) -> None:
    """Print the first two lines of a Markdown table."""
    print_row(*columns)
    print("|" + " --- |" * len(columns))


def print_row(*cells: Any) -> None:
    """Print a row of a Markdown table at once, although stdout may be a file."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def load_engines(
    model: str, device: torch.device, wanted: Callable[[str], bool] = lambda engine: True
) -> dict[str, Stylizer]:
    """Load a model into each engine that can run here, and print a line for each that refuses it.

    Args:
        model: Name or file of the model.
        device: Device to compute on.
        wanted: Returns True for an engine to load.
    """
    found = {}
    for engine in available_engines(str(device)):
        if wanted(engine):
            try:
                found[engine] = Stylizer.load(model, device=str(device), engine=engine)
            except InputError as error:
                print(f"Without the engine {engine}: {error}\n")
    return found
