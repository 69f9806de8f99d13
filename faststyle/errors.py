"""The one exception for what a person can mend, first lines, and the lookup that every registry shares."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class InputError(ValueError):
    """Input that cannot be used; the message names it, what was expected, and the remedy."""


def first_line(error: Exception) -> str:
    """What an exception says, in a line; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def choose(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """Look ``name`` up in ``registry``.

    Raises:
        InputError: no such name; the message lists the choices and the nearest one.
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"no {kind} is named {name!r}: choose from {', '.join(registry)}{hint}")
