"""The commands: what a person types, turned into calls of the library."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from faststyle.errors import InputError, one_line


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit status 2."""
    print(f"error: {one_line(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(2)


def said(error: InputError | OSError) -> str:
    """What an error says; from a worker process it comes with that process's traceback before it."""
    if isinstance(error, InputError):
        return str(error).rpartition("faststyle.errors.InputError: ")[2]
    if error.filename:
        return f"{error.strerror or error}: {error.filename}"
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[-1]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a person can mend into one line; anything else keeps its traceback."""
    try:
        yield
    except (InputError, OSError) as error:
        fail(said(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
