"""Fast neural style transfer: train a network per style, then stylize images in one pass."""

import importlib
from typing import TYPE_CHECKING, Any

from faststyle.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Optimization", "Stylizer", "__version__", "optimize", "refine"]

if TYPE_CHECKING:
    from faststyle.inference.stylizer import Stylizer
    from faststyle.optimization.optimization import Optimization, optimize
    from faststyle.optimization.refine import refine

LAZY_IMPORTS = {
    "Stylizer": "inference.stylizer",
    "Optimization": "optimization.optimization",
    "optimize": "optimization.optimization",
    "refine": "optimization.refine",
}


def __getattr__(name: str) -> Any:
    # Import torch only when one of these names is used, so that --help of the commands stays fast.
    if name in LAZY_IMPORTS:
        return getattr(importlib.import_module(f"faststyle.{LAZY_IMPORTS[name]}"), name)
    raise AttributeError(f"module 'faststyle' has no attribute {name!r}")
