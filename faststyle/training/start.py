"""The network that training starts from."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faststyle.image.mosaic import open_style
from faststyle.losses.painting import measure_grams
from faststyle.losses.statistics import bounded_relative
from faststyle.models.card import Ancestor
from faststyle.models.checkpoint import load_grams
from faststyle.models.find import find_model, label
from faststyle.models.layout import DEFAULT_SIZE, SIZES
from faststyle.models.network import TransformerNetwork
from faststyle.models.pretrained import built_in_styles


def find_start(
    init: str | None, styles: Sequence[str], size: str | None, blocks: int | None
) -> tuple[TransformerNetwork | None, Ancestor | None]:
    """Return the network that training starts from, and what the model card says of it.

    Args:
        init: A model's name, auto or none; None is none.
        styles: Style images.
        size: Size of the network; None for that of ``init``.
        blocks: Number of residual blocks, likewise.
    """
    if init == "auto":
        fits = size in (None, DEFAULT_SIZE) and blocks in (None, SIZES[DEFAULT_SIZE].blocks[-1])
        init = find_nearest_style(styles[0]) if fits else None
    if init in (None, "none"):
        return None, None
    start = find_model(init)
    return start.build_network(), Ancestor(label(init), start.card.steps, start.card.init)


def find_nearest_style(style: str) -> str:
    """Return the name of the built-in style whose Gram matrices are nearest to those of a style image."""
    grams = measure_grams(open_style(style))
    distances = {name: gram_distance(grams, load_grams(path)) for name, path in built_in_styles().items()}
    return min(distances, key=lambda name: distances[name])


def gram_distance(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> float:
    """Return the mean over the layers of ‖G−A‖² / (‖G‖² + ‖A‖²), which is from 0 to 1."""
    distances = [bounded_relative(some[layer], others[layer]) for layer in some if layer in others]
    return torch.stack(distances).mean().item()
