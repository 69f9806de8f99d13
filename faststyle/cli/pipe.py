"""``faststyle stylize -``: one image from standard input, or to standard output."""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from faststyle.cli.inputs import PIPE
from faststyle.errors import InputError

if TYPE_CHECKING:
    from faststyle.cli.stylize import Options

STDIN = "standard input"


def run_in_pipe(options: "Options", run: Callable[["Options"], int]) -> int:
    """Run the command on a temporary file for each - among its input and output.

    Args:
        options: The command's options.
        run: Runs the command on files, and returns the number of inputs that failed.

    Raises:
        InputError: There are several inputs, or standard input is no image.
    """
    if len(options.inputs) > 1:
        raise InputError("- stands for one image: give no other input")
    if options.json:
        raise InputError("`json` describes files: it cannot be used with -")
    writes = options.output == PIPE or (options.output is None and options.inputs[0] == PIPE)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "photo", Path(folder) / "result.png"
        if options.inputs[0] == PIPE:
            source.write_bytes(read_image())
            options = replace(options, inputs=(source,))
        if not writes:
            return run(options)
        with contextlib.redirect_stdout(io.StringIO()):  # the name of the result
            failures = run(replace(options, output=target))
        if target.exists():
            sys.stdout.buffer.write(target.read_bytes())
            sys.stdout.buffer.flush()
        return failures


def read_image() -> bytes:
    """Read an image from standard input.

    Raises:
        InputError: It is no image.
    """
    from faststyle.image.files import open_image

    content = sys.stdin.buffer.read()
    if not content:
        raise InputError(f"{STDIN} is empty: give an image, as in faststyle stylize - < photo.jpg")
    open_image(io.BytesIO(content), STDIN)
    return content
