"""``faststyle stylize -``: one image from standard input, or to standard output."""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from faststyle.cli.inputs import PIPE
from faststyle.cli.stylize_options import Options
from faststyle.errors import InputError

STDIN = "standard input"


def run_in_pipe(options: Options, run: Callable[[Options], int]) -> int:
    """Run the command with temporary files in place of standard input and output.

    Args:
        options: The command's options.
        run: Runs the command on files, and returns the number of inputs that failed.

    Raises:
        InputError: The options are not those of one image, or standard input is no image.
    """
    writes = options.output == PIPE or (options.output is None and options.inputs[0] == PIPE)
    check_pipe(options, writes)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "photo", Path(folder) / "result.png"
        if options.inputs[0] == PIPE:
            source.write_bytes(read_stdin())
            options = replace(options, inputs=(source,))
        if not writes:
            return run(options)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the name of the result
                return run(replace(options, output=target))
        finally:  # also the best image of a refinement that was stopped
            if target.exists():
                sys.stdout.buffer.write(target.read_bytes())
                sys.stdout.buffer.flush()


def check_pipe(options: Options, writes: bool) -> None:
    """Check that the command stylizes one image.

    Args:
        options: The command's options.
        writes: Whether the image goes to standard output.

    Raises:
        InputError: There are several inputs, or other options than of one image.
    """
    from faststyle.video.opening import is_clip

    (source, *others) = options.inputs
    if others or source.is_dir():
        raise InputError("- stands for one image: give no other input")
    if source != PIPE and is_clip(source):
        raise InputError(f"{source} is a video, and - stands for an image: give `output` FILE")
    for name, given in {"json": options.json, "devices": options.ranks.devices}.items():
        if given:
            raise InputError(f"`{name}` cannot be used with -, which stands for one image")
    if writes and sys.stdout.isatty():
        raise InputError("a terminal shows no images: give `output` FILE, or send the result on with > or |")
    if source == PIPE and sys.stdin.isatty():
        raise InputError(f"{STDIN} is the keyboard: give an image, as in faststyle stylize - < photo.jpg")


def read_stdin() -> bytes:
    """Read an image from standard input.

    Raises:
        InputError: It is no image.
    """
    from faststyle.image.validation import open_header

    content = sys.stdin.buffer.read()
    if not content:
        raise InputError(f"{STDIN} is empty: give an image, as in faststyle stylize - < photo.jpg")
    open_header(io.BytesIO(content), STDIN)
    return content
