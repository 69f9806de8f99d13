"""Checks of a model's configuration and weights against the network, before they are used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faststyle.errors import InputError
from faststyle.models.layout import DEFAULT_SIZE, SIZES, complete_config, layout_of
from faststyle.models.quantization import TensorSpec

MAX_BLOCKS = 100  # residual blocks, so that a damaged file cannot ask for a network larger than memory
# Data types as safetensors and as PyTorch name them.
FLOAT_TYPES = {"F64", "F32", "F16", "BF16"}
FLOAT_TYPES |= {"torch.float64", "torch.float32", "torch.float16", "torch.bfloat16"}


def check_config(path: Path, config: dict[str, Any]) -> None:
    """Check the arguments of ``TransformerNetwork`` that a file holds.

    Raises:
        InputError: An argument is unknown, has the wrong type, or is out of range.
    """
    size, blocks, tanh = config.get("size", DEFAULT_SIZE), config.get("blocks"), config.get("tanh", True)
    is_int = isinstance(blocks, int) and not isinstance(blocks, bool)
    if (
        not config.keys() <= {"size", "blocks", "tanh"}
        or not (isinstance(size, str) and size in SIZES)
        or not (blocks is None or (is_int and 0 <= blocks <= MAX_BLOCKS))
        or not isinstance(tanh, bool)
    ):
        # Only the type of a container, because nested containers from a pickle can take years to print.
        plain = {
            k: v if isinstance(v, str | bool | int | None) else type(v).__name__ for k, v in config.items()
        }
        raise InputError(
            f"{path} has an unsupported network {plain!r:.80}: expected a size of {', '.join(SIZES)} and at "
            f"most {MAX_BLOCKS} blocks; a newer version of faststyle may be able to load it"
        )


def check_weights(path: Path, config: dict[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    """Check the weights of a file against the network before they are read.

    Args:
        path: The file, for error messages.
        config: Arguments of ``TransformerNetwork``.
        specs: Shape and data type of each weight in the file, by name.

    Raises:
        InputError: A weight is missing or unknown, or has the wrong shape or data type; the message names it.
    """
    expected = layout_of(config).weight_shapes()
    start = f"{path} does not fit its network {complete_config(config)}:"
    for name, shape in expected.items():
        if name not in specs:
            raise InputError(f"{start} {name} is missing")
        stored_shape, dtype = specs[name]
        if stored_shape != shape:
            raise InputError(f"{start} {name} has the shape {stored_shape!s:.60}, expected {shape}")
        if dtype not in FLOAT_TYPES:
            raise InputError(f"{start} {name} holds {dtype}, expected floats of 16 to 64 bits")
    if unknown := specs.keys() - expected:
        raise InputError(f"{start} {min(unknown):.60} is unknown")
