"""Fast neural style transfer: train a network per style, then stylize images in one pass."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faststyle.console import fail
from faststyle.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Optimization", "Stylizer", "__version__", "optimize", "refine", "stylize_regions"]

if TYPE_CHECKING:
    from faststyle.inference.regions import stylize_regions
    from faststyle.inference.stylizer import Stylizer
    from faststyle.optimization.optimization import Optimization, optimize
    from faststyle.optimization.refine import refine

# The modules that do something when Python runs them.
RUNNABLE = {"faststyle", "faststyle.__main__", "faststyle.web", "faststyle.web.__main__"}
RUNNABLE |= {"faststyle.cli.train_child", "faststyle.training.style_encoder"}
LAZY_IMPORTS = {
    "Stylizer": "inference.stylizer",
    "stylize_regions": "inference.regions",
    "Optimization": "optimization.optimization",
    "optimize": "optimization.optimization",
    "refine": "optimization.refine",
}


def __getattr__(name: str) -> Any:
    # Import torch only when one of these names is used, so that --help of the commands stays fast.
    if name in LAZY_IMPORTS:
        return getattr(importlib.import_module(f"faststyle.{LAZY_IMPORTS[name]}"), name)
    raise AttributeError(f"module 'faststyle' has no attribute {name!r}")


def run_module() -> str | None:
    """Return the module of this package that Python is about to run, by ``-m`` or as a file; None if none."""
    if sys.argv[:1] == ["-m"]:  # stands there until Python has found the module, which imports this package
        return sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    name, folder = getattr(sys.modules["__main__"], "__file__", None), Path(__file__).resolve().parent
    if name is None or not (file := Path(name).resolve()).is_relative_to(folder):
        return None
    return ".".join(("faststyle", *file.relative_to(folder).with_suffix("").parts))


def refuse_to_run(module: str | None) -> None:
    """End with a line if Python runs a module of this package that only defines something."""
    if module is not None and module.split(".")[0] == "faststyle" and module not in RUNNABLE:
        fail(f"{module} is no command: run python -m faststyle, which lists the commands")


refuse_to_run(run_module())
