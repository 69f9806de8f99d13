"""User-facing exceptions and error formatting."""

import re
from typing import TypeVar

T = TypeVar("T")
# What moves a terminal's cursor, starts a line or turns the direction of writing, and bytes that are no text.
UNSAFE = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Input that cannot be used; the message names it, what was expected, and the remedy."""


def first_line(error: Exception) -> str:
    """What an exception says, in a line; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def said(error: InputError | OSError) -> str:
    """What an error says; from a worker process it comes with that process's traceback before it."""
    if isinstance(error, InputError):
        return str(error).rpartition("faststyle.errors.InputError: ")[2].removesuffix("\n")
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
