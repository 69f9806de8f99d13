"""The loss term against a mesh: a pattern that repeats in the cells of the network's upsampling."""

import torch.nn.functional as F
from torch import Tensor

MESH_WEIGHT = 10.0  # in the loss
CELL = 4  # pixels, over which the network's last two levels repeat
WINDOW = 64  # pixels of the squares that are judged
FINE = 9  # pixels: fine detail is what differs from the mean over a square of this side
FLAT_VARIANCE = (1 / 255) ** 2  # added to a window's variance, so that flat windows count little


def mesh_loss(images: Tensor) -> Tensor:
    """Return the share of the fine variance that repeats every ``CELL`` pixels.

    VGG's pooling layers have the same cells and hardly see such a pattern. The random shift before VGG
    (``SHIFT_PERIOD``) does not remove all of it.

    Args:
        images: (B,3,H,W), RGB in [0,1], of at least ``CELL`` pixels a side.

    Returns:
        The mean share over all windows and channels, 0 to 1.
    """
    images = images.float()
    fine = images - F.avg_pool2d(images, FINE, 1, FINE // 2, count_include_pad=False)
    window = min(WINDOW, min(images.shape[-2:]) // CELL * CELL)
    down, across = (side // window for side in images.shape[-2:])
    fine = fine[..., : down * window, : across * window]
    cells = fine.unflatten(3, (across, window // CELL, CELL)).unflatten(2, (down, window // CELL, CELL))
    repeated = cells.mean((3, 6)).var((3, 5), correction=0)  # (B,3,down,across)
    # Detached, because the loss would otherwise also fall by making other detail stronger.
    variance = cells.detach().var((3, 4, 6, 7), correction=0)
    return (repeated / (variance + FLAT_VARIANCE)).mean()
