"""User-facing exceptions and error formatting."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
# A parameter in a message: `max_size`, but not a part of a file's name.
PARAMETER = re.compile(r"(?<![^\s(])`([a-z][a-z0-9_]*)`(?=[\s,.:;)]|$)")
# What moves a terminal's cursor, starts a line or turns the direction of writing, and bytes that are no text.
UNSAFE = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Input that cannot be used.

    The message says what is wrong, what was expected, and what to do. Parameters stand in it in backticks,
    such as `max_size`, so that a command can print its options instead, and the web page its labels.

    Args:
        message: The message, in one line.
        file: The file that the message names, if it is about one.
    """

    def __init__(self, message: str, file: str | Path | None = None):
        super().__init__(message)
        self.file = file

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters that the message mentions."""
        return PARAMETER.findall(str(self))


class OutOfMemoryError(InputError):
    """What was asked for does not fit into memory."""


class UnsupportedModelError(InputError):
    """A file that is no model of ours: another program's, or not a model at all."""


class WorkerDiedError(InputError):
    """A process that reads images for a DataLoader died."""


class RankLostError(InputError):
    """Another process of a run on several devices ended early."""


def name_parameters(message: str, name: Callable[[str], str]) -> str:
    """Replace each parameter in backticks.

    Args:
        message: An error's message.
        name: Returns what to print for a parameter.
    """
    return PARAMETER.sub(lambda found: name(found[1]), message)


def first_line(error: BaseException) -> str:
    """What an exception says, in a line; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def message_of(error: InputError | OSError) -> str:
    """Return an error's message in one sentence, with the file of an OSError."""
    if isinstance(error, InputError):
        return str(error)
    if error.filename:
        return f"{error.strerror or error}: {error.filename}"
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[-1]


def one_line(text: object) -> str:
    """A text on one line of a terminal, which moves no cursor: files' names may hold anything."""
    return UNSAFE.sub(escaped, str(text))


def escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no text
        return f"\\x{code - 0xDC00:02x}"
    return found.group().encode("unicode_escape").decode()
