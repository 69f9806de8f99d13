"""Fast neural style transfer: train a network per style, then stylize pictures in one pass."""

import importlib
from typing import TYPE_CHECKING, Any

from faststyle.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Optimization", "Stylizer", "optimize"]

if TYPE_CHECKING:
    from faststyle.optimization import Optimization, optimize
    from faststyle.stylizer import Stylizer

ROOMS = {"Stylizer": "stylizer", "Optimization": "optimization", "optimize": "optimization"}


def __getattr__(name: str) -> Any:
    # Imported on first use: the commands' --help must not wait for torch.
    if name in ROOMS:
        return getattr(importlib.import_module(f"faststyle.{ROOMS[name]}"), name)
    raise AttributeError(f"module 'faststyle' has no attribute {name!r}")
