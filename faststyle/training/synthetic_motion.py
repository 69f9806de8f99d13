"""Random optical flow and shifts of images, for training and measuring temporal consistency."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.image.warp import warp

GRID_SPACING = 64  # pixels between the nodes of a smooth flow
NODE_STD = 6.0  # pixels; standard deviation of the flow at a node
MAX_SHIFT = 8.0  # pixels; shift of the whole image in either direction
MAX_NOISE_STD = 0.02  # of values in [0,1], like a camera's in poor light, or compression
MIN_VARIANCE = 1e-4  # of an image, so that a blank one does not divide by zero

# VGG's pooling cannot see a pattern that repeats in each of its cells, so networks would produce a mesh with
# a period of 4 pixels. Images are therefore shifted by a random number of pixels below this at each step.
SHIFT_PERIOD = 8


def random_flow(count: int, height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """Generate smooth random flows: for each pixel, the offset of the pixel that it comes from.

    A flow is an enlarged coarse grid of normal values plus a shift, as in Wang et al. 2020 (ReReVST,
    https://arxiv.org/abs/2003.12209). Departs from the paper: the grid has at least three nodes a side,
    because the flow of a small image would be only a shift otherwise. Each flow has a random strength,
    because most of a video moves little.

    Args:
        count: Number of flows.
        height, width: Size in pixels.
        generator: Random generator on the CPU; by default PyTorch's global one.

    Returns:
        (count,2,H,W), x and y in pixels.
    """
    nodes = [max(3, round(side / GRID_SPACING) + 1) for side in (height, width)]
    bend = NODE_STD * torch.randn(count, 2, *nodes, generator=generator)
    shift = MAX_SHIFT * (2 * torch.rand(count, 2, 1, 1, generator=generator) - 1)
    strength = torch.rand(count, 1, 1, 1, generator=generator)
    smooth = F.interpolate(bend, (height, width), mode="bicubic", align_corners=True)
    return strength * (smooth + shift)


def simulate_next_frame(photos: Tensor, flow: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return the photos as the next frame of a video: moved along the flow, with noise added.

    Args:
        photos: (B,3,H,W), RGB in [0,1].
        flow: (B,2,H,W), x and y in pixels.
        generator: Random generator on the CPU; by default PyTorch's global one. It gives the noise, and the
            strength of the noise for each photo.
    """
    noise = torch.randn(photos.shape, generator=generator) * torch.rand(
        len(photos), 1, 1, 1, generator=generator
    )
    return (warp(photos, flow) + MAX_NOISE_STD * noise.to(photos)).clamp(0, 1)


def temporal_loss(images: Tensor, expected: Tensor, valid: Tensor) -> Tensor:
    """Compute the mean square difference of valid pixels, relative to the variance of the expected images.

    It is relative so that a network gains nothing by less contrast, and one weight suits every style.

    Args:
        images: Stylized frames, (B,3,H,W).
        expected: Stylized previous frames, moved along the flow, (B,3,H,W).
        valid: Mask of the pixels that count, (B,1,H,W), 0 or 1.

    Returns:
        (B,): One value for each image.
    """
    weight = valid.expand_as(images)
    difference = (weight * (images - expected).square()).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)
    return difference / expected.detach().var((1, 2, 3)).clamp(min=MIN_VARIANCE)


def simulate_motion(photos: Tensor, first_seed: int) -> tuple[Tensor, Tensor]:
    """Move each photo of (B,3,H,W) along a random flow.

    Photo n has the seed ``first_seed + n``, so a batch moves the same way in one process and divided among
    several.

    Returns:
        The flow, (B,2,H,W), and the photos as the next frame of a video.
    """
    height, width = photos.shape[2:]
    flows, moved = [], []
    for seed, photo in enumerate(photos.split(1), first_seed):
        generator = torch.Generator().manual_seed(seed)
        flows.append(random_flow(1, height, width, generator).to(photo))
        moved.append(simulate_next_frame(photo, flows[-1], generator))
    return torch.cat(flows), torch.cat(moved)


def shift_images(images: Tensor, shift: Sequence[int]) -> Tensor:
    """Move (B,3,H,W) down and right by the two numbers of pixels, and fill the rim with mirrored pixels."""
    down, right = shift
    return F.pad(images, (right, 0, down, 0), mode="reflect")[..., : images.shape[2], : images.shape[3]]
