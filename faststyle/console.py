"""What the commands print: any text in any encoding, and errors in one line with exit statuses."""

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from faststyle.errors import InputError, error_message, name_parameters, one_line

# Packages that commands import on demand, and that the light installation leaves out.
LEFT_OUT = ("torch", "torchvision", "pytorch_lightning", "skimage", "jinja2", "matplotlib", "huggingface_hub")

# What pip installs: the clone that this file is in, or the distribution.
CLONE = Path(__file__).resolve().parents[1]
PACKAGE = f"-e {CLONE}" if (CLONE / "pyproject.toml").exists() else "faststyle-nst"

STARTED = time.monotonic()  # when the command began: commands import this module first


def accept_any_text(encoding: str | None = None) -> None:
    """Print characters that the console's encoding lacks as escapes, where Python would raise an error.

    Args:
        encoding: Encoding of what this process prints; by default the console's.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a program without a console has none
            with suppress(OSError):  # a stream whose file was replaced by a terminal stays as it is
                stream.reconfigure(encoding=encoding, errors="backslashreplace")


@contextmanager
def command_words(argv: Sequence[str] | None) -> Iterator[list[str]]:
    """Give a command's words, by default this process's, and let it print any text.

    If they are the process's, Python ends after the block, and a late Ctrl-C would print a traceback.
    """
    accept_any_text()
    try:
        yield sys.argv[1:] if argv is None else list(argv)
    except BrokenPipeError:  # the reader, such as head, has enough
        if argv is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's end prints nothing
        sys.exit(141)
    finally:
        if argv is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit status 2."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(2)


def option_name(parameter: str) -> str:
    """Return the command-line option for a parameter of the library: --max-size for max_size."""
    return f"--{parameter.replace('_', '-')}"


def error_line(
    error: InputError | OSError,
    source: Path | None = None,
    option: Callable[[str], str] = option_name,
) -> str:
    """Return an error's message as a command prints it, in one line.

    Args:
        error: The error.
        source: The file that failed, of several; its name goes before a message about something else.
        option: Returns the command's option for a parameter.
    """
    message = error_message(error)
    named = error.file if isinstance(error, InputError) else error.filename
    if source is not None and str(named) != str(source):
        message = f"{source}: {message}"
    return one_line(name_parameters(message, option))


@contextmanager
def one_line_errors(option: Callable[[str], str] = option_name) -> Iterator[None]:
    """End with one line on an InputError, an OSError or a missing package; others keep their traceback.

    Args:
        option: Returns the command's option for a parameter.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (InputError, OSError) as error:
        fail(error_line(error, option=option))
    except ModuleNotFoundError as error:
        if error.name not in LEFT_OUT:
            raise
        fail(f"this needs {error.name}, which the light installation leaves out: pip install {PACKAGE}")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
