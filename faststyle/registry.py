"""Look names up in registries."""

import difflib
from collections.abc import Mapping

from faststyle.errors import InputError, T


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
