"""Fast neural style transfer: train a network per style, then stylize pictures in one pass."""

from typing import TYPE_CHECKING, Any

from faststyle.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Stylizer", "optimize"]

if TYPE_CHECKING:
    from faststyle.optimization import optimize
    from faststyle.stylizer import Stylizer


def __getattr__(name: str) -> Any:
    # Imported on first use: the commands' --help must not wait for torch.
    if name == "Stylizer":
        from faststyle.stylizer import Stylizer

        return Stylizer
    if name == "optimize":
        from faststyle.optimization import optimize

        return optimize
    raise AttributeError(f"module 'faststyle' has no attribute {name!r}")
