"""User-facing exceptions and error formatting."""

import re
from collections.abc import Callable
from pathlib import Path

# A parameter in a message, such as `max_size`, but no part of a file name.
PARAMETER = re.compile(r"(?<![^\s(])`([a-z][a-z0-9_]*)`(?=[\s,.:;)]|$)")
# Characters that move a terminal's cursor, break the line or change the text direction; undecodable bytes.
UNSAFE_CHARACTERS = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Input that the user has to change.

    The message says what is wrong, what was expected, and what to do. It has parameters in backticks, such as
    `max_size`, so that a command can print its options instead, and the web page its labels.

    Args:
        message: The message, in one line.
        file: File that the message names; None if it is about no file.
    """

    def __init__(self, message: str, file: str | Path | None = None):
        super().__init__(message)
        self.file = file

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters that the message mentions."""
        return PARAMETER.findall(str(self))


class OutOfMemoryError(InputError):
    """The requested work does not fit into memory."""


class UnsupportedModelError(InputError):
    """A model file of another program, or a file that is no model."""


class WorkerDiedError(InputError):
    """A DataLoader worker process died."""


class RankLostError(InputError):
    """Another rank of a run on several devices ended early."""


def name_parameters(message: str, name: Callable[[str], str]) -> str:
    """Replace each parameter in backticks.

    Args:
        message: Message of an error.
        name: Returns the text to print for a parameter.
    """
    return PARAMETER.sub(lambda match: name(match[1]), message)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its class if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def error_message(error: InputError | OSError) -> str:
    """Return an error's message, with the file name of an OSError."""
    if isinstance(error, InputError):
        return str(error)
    if error.filename:
        return f"{error.strerror or error}: {error.filename}"
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[-1]


def one_line(text: object) -> str:
    """Escape control characters, so that a text stays on one line of a terminal.

    File names in a message can contain any character.
    """
    return UNSAFE_CHARACTERS.sub(escape_character, str(text))


def escape_character(match: re.Match[str]) -> str:
    """Return the backslash escape of a matched character."""
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # an undecodable byte of a file name, as Python represents it
        return f"\\x{code - 0xDC00:02x}"
    return match.group().encode("unicode_escape").decode()
