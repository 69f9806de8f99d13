"""The network that training starts from."""

from collections.abc import Sequence

from faststyle.image.mosaic import open_style
from faststyle.models.card import Ancestor
from faststyle.models.find import find_model, label
from faststyle.models.layout import DEFAULT_SIZE, SIZES
from faststyle.models.network import TransformerNetwork
from faststyle.models.style_encoder import bake_style

ENCODER_NAME = "style encoder"


def find_start(
    init: str | None, styles: Sequence[str], size: str | None, blocks: int | None
) -> tuple[TransformerNetwork | None, Ancestor | None]:
    """Return the network that training starts from, and what the model card says of it.

    Args:
        init: A model's name; auto for what the style encoder makes of the first painting; none or None.
        styles: Style images.
        size: Size of the network; None for that of ``init``.
        blocks: Number of residual blocks, likewise.

    Raises:
        InputError: There is no such model, or the style encoder refuses the painting.
    """
    if init == "auto":
        fits = size in (None, DEFAULT_SIZE) and blocks in (None, SIZES[DEFAULT_SIZE].blocks[-1])
        if not fits:
            return None, None
        return bake_style(open_style(styles[0]), styles[0]).build_network(), Ancestor(ENCODER_NAME)
    if init in (None, "none"):
        return None, None
    start = find_model(init)
    return start.build_network(), Ancestor(label(init), start.card.steps, start.card.init)
