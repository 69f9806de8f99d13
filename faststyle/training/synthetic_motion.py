"""Motion that is made up, and so known exactly: for training steady networks, and for measuring them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.image.warp import warp

GRID = 64  # pixels between the nodes of a smooth flow
BEND = 6.0  # standard deviation at a node, and
SHIFT = 8.0  # the shift of the whole, either way, in pixels where the motion is largest
NOISE = 0.02  # standard deviation at most, of values in [0,1]: a dark room's camera, or compression
LEAST_VARIANCE = 1e-4  # of a picture, lest a blank one divide by nothing


def random_flow(count: int, height: int, width: int, chance: torch.Generator | None = None) -> Tensor:
    """Smooth motion, another for each sample: where each pixel comes from, relative to itself.

    A coarse grid of normal values, enlarged, and a shift, as in Wang et al. 2020 (ReReVST,
    https://arxiv.org/abs/2003.12209). Its grid has at least three nodes a side, so that small pictures
    bend too, and motions of all strengths come, since most of what films show moves little.

    Args:
        count: samples.
        height, width: in pixels.
        chance: the CPU's own without it.

    Returns:
        (count,2,H,W), x and y in pixels.
    """
    nodes = [max(3, round(side / GRID) + 1) for side in (height, width)]
    bend = BEND * torch.randn(count, 2, *nodes, generator=chance)
    shift = SHIFT * (2 * torch.rand(count, 2, 1, 1, generator=chance) - 1)
    strength = torch.rand(count, 1, 1, 1, generator=chance)
    smooth = F.interpolate(bend, (height, width), mode="bicubic", align_corners=True)
    return strength * (smooth + shift)


def disturb(photos: Tensor, flow: Tensor, chance: torch.Generator | None = None) -> Tensor:
    """The photos a moment later: moved along the flow, with noise of another strength for each sample.

    Args:
        photos: (B,3,H,W) in [0,1].
        flow: (B,2,H,W).
        chance: on the CPU; its own without it.
    """
    noise = torch.randn(photos.shape, generator=chance) * torch.rand(len(photos), 1, 1, 1, generator=chance)
    return (warp(photos, flow) + NOISE * noise.to(photos)).clamp(0, 1)


def unsteadiness(images: Tensor, expected: Tensor, valid: Tensor) -> Tensor:
    """Mean square difference of valid pixels, relative to the variance of what is expected.

    So that a network gains nothing by less contrast, and one weight serves every style.

    Args:
        images: (B,3,H,W).
        expected: (B,3,H,W), the pictures of a moment before, moved.
        valid: (B,1,H,W), 0 or 1.

    Returns:
        (B,).
    """
    weight = valid.expand_as(images)
    difference = (weight * (images - expected).square()).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)
    return difference / expected.detach().var((1, 2, 3)).clamp(min=LEAST_VARIANCE)
