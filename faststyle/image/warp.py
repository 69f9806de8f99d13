"""Warping of images along optical flow."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Sample images at the positions that a backward flow points to.

    Args:
        images: Images, (B,C,H,W).
        flow: Offset from each output pixel to the position to sample, (B,2,h,w): x and y in pixels of the
            images.
        mode: Interpolation: bilinear, bicubic or nearest.

    Returns:
        Warped images, (B,C,h,w). Positions outside an image get the value of the nearest border pixel.
    """
    return F.grid_sample(images, to_grid(flow, images), mode, "border", align_corners=True)


def in_bounds_mask(flow: Tensor) -> Tensor:
    """Return 1 where the flow points into the image, and 0 elsewhere: (B,2,H,W) to (B,1,H,W)."""
    grid = to_grid(flow, flow)
    return (grid.abs() <= 1).all(3)[:, None].to(flow.dtype)


def to_grid(flow: Tensor, images: Tensor) -> Tensor:
    """Convert a flow to the grid of ``grid_sample``: (B,2,h,w) in pixels to (B,h,w,2).

    In the grid, -1 and 1 are the centres of the border pixels (align_corners=True).
    """
    axes = [torch.arange(side, device=flow.device, dtype=flow.dtype) for side in flow.shape[2:]]
    y, x = torch.meshgrid(*axes, indexing="ij")
    height, width = images.shape[-2:]
    size = torch.tensor([width - 1, height - 1], device=flow.device, dtype=flow.dtype).clamp(min=1)
    return 2 * (flow.permute(0, 2, 3, 1) + torch.stack([x, y], 2)) / size - 1
