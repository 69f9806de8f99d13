"""Look-up of names in registries."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from faststyle.errors import InputError

T = TypeVar("T")


def choose(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """Return the registry's entry of a name.

    Args:
        kind: Noun for the entries in the error message, such as "style".
        name: Name to look up.
        registry: Entries by name.

    Raises:
        InputError: The registry has no such name; the message lists the choices and suggests the nearest.
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"no {kind} is named {name!r}: choose from {', '.join(registry)}{hint}")
