"""Fast neural style transfer: train a network per style, then stylize pictures in one pass."""

import importlib
from typing import TYPE_CHECKING, Any

from faststyle._version import __version__
from faststyle.errors import InputError

__all__ = ["InputError", "Optimization", "Stylizer", "__version__", "optimize", "refine"]

if TYPE_CHECKING:
    from faststyle.inference.stylizer import Stylizer
    from faststyle.optimization.optimization import Optimization, optimize
    from faststyle.optimization.refine import refine

LAZY = {
    "Stylizer": "inference.stylizer",
    "Optimization": "optimization.optimization",
    "optimize": "optimization.optimization",
    "refine": "optimization.refine",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: the commands' --help must not wait for torch.
    if name in LAZY:
        return getattr(importlib.import_module(f"faststyle.{LAZY[name]}"), name)
    raise AttributeError(f"module 'faststyle' has no attribute {name!r}")
