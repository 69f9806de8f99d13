"""Warp images along optical flow."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Take each pixel from where the flow says that it comes from.

    Args:
        images: (B,C,H,W).
        flow: (B,2,h,w), x and y in pixels of the images, relative to the pixel itself.
        mode: bilinear, bicubic or nearest.

    Returns:
        (B,C,h,w); beyond the picture its rim is repeated.
    """
    return F.grid_sample(images, to_grid(flow, images), mode, "border", align_corners=True)


def inside(flow: Tensor) -> Tensor:
    """Whether what a pixel is made of lies within the picture: (B,2,H,W) to (B,1,H,W), 0 or 1."""
    grid = to_grid(flow, flow)
    return (grid.abs() <= 1).all(3)[:, None].to(flow.dtype)


def to_grid(flow: Tensor, images: Tensor) -> Tensor:
    """(B,2,h,w) in pixels to grid_sample's (B,h,w,2), where -1 and 1 are the middle of pixels at the rim."""
    places = [torch.arange(side, device=flow.device, dtype=flow.dtype) for side in flow.shape[2:]]
    y, x = torch.meshgrid(*places, indexing="ij")
    height, width = images.shape[-2:]
    size = torch.tensor([width - 1, height - 1], device=flow.device, dtype=flow.dtype).clamp(min=1)
    return 2 * (flow.permute(0, 2, 3, 1) + torch.stack([x, y], 2)) / size - 1
