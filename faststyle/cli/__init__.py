"""The commands: what a person types, turned into calls of the library."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from faststyle.errors import InputError, one_line, said


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit status 2."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(2)


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
