"""The commands: what a person types, turned into calls of the library."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from faststyle.errors import InputError


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a person can mend into one line; anything else keeps its traceback."""
    try:
        yield
    except InputError as error:
        # From a worker process the message comes with that process's traceback before it.
        fail(str(error).rpartition("faststyle.errors.InputError: ")[2])
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
