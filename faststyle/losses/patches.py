"""Style statistics that look at neighbours: patches, and correlations over shifts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.errors import InputError

PATCH_SIZE = 3  # positions
MAX_STYLE_PATCHES = 2048  # bounds the search for the nearest
MAX_SHIFT = 8  # of the deep correlation, in positions


def windows(x: Tensor, dim: int, stride: int) -> Tensor:
    """Return the windows along ``dim``, with their values in a new last dimension.

    The last window is included for any stride.
    """
    last = x.shape[dim] - PATCH_SIZE
    if last < 0:
        raise InputError(f"patches of {PATCH_SIZE}x{PATCH_SIZE} need a larger image, or a shallower layer")
    every = x.unfold(dim, PATCH_SIZE, 1)
    if stride == 1:
        return every
    return every.index_select(dim, torch.tensor([*range(0, last, stride), last], device=x.device))


def patches(x: Tensor, stride: int = 1) -> Tensor:
    """Return all 3×3 patches: (B,C,H,W) to (B,C,h,w,3,3), at a stride of 1 a view without a copy."""
    return windows(windows(x, 2, stride), 3, stride)


def style_patches(style: Tensor) -> Tensor:
    """Return at most ``MAX_STYLE_PATCHES`` patches of the style, always the same: (1,C,H,W) to (P,C,3,3)."""
    every = patches(style)[0].movedim(0, 2)  # (h,w,C,3,3)
    height, width = every.shape[:2]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(height * width, generator=generator)[:MAX_STYLE_PATCHES].to(style.device)
    return every[chosen // width, chosen % width]


@torch.no_grad()
def nearest(x: Tensor, candidates: Tensor) -> Tensor:
    """Find the candidate with the greatest normalized cross-correlation with each patch.

    Rows are searched one at a time, which bounds the memory.

    Args:
        x: (B,C,h,w,3,3).
        candidates: (P,C,3,3).

    Returns:
        (B,h,w) in 0…P−1.
    """
    # A patch's own norm does not change which candidate is its nearest.
    keys = F.normalize(candidates.flatten(1), dim=1).T  # (9C,P)
    rows = [(row.transpose(1, 2).flatten(2) @ keys).argmax(2) for row in x.unbind(2)]
    return torch.stack(rows, 1)


def mrf(x: Tensor, style: Tensor) -> Tensor:
    """Average the squared difference of each patch from the style's nearest, over the style's mean square.

    Patches are 3×3. To bound time and memory, the image's have a stride of 2, which still covers every
    position, and the style's are a fixed random sample. The search carries no gradient.
    Li and Wand, "Combining Markov random fields and convolutional neural networks for image
    synthesis", CVPR 2016.

    Args:
        x: Features of the images (B,C,H,W).
        style: (1,C,h,w).

    Returns:
        (B,).
    """
    candidates = style_patches(style)
    ours = patches(x, stride=2)
    theirs = candidates[nearest(ours, candidates)].movedim(3, 1)  # (B,C,h,w,3,3)
    return (ours - theirs).square().flatten(1).mean(1) / candidates.square().mean().clamp(min=1e-12)


def style_swap(x: Tensor, style: Tensor) -> Tensor:
    """Replace each 3×3 patch of the photo's features by the style's nearest, and average overlaps.

    The style's patches are a fixed random sample.
    Chen and Schmidt, "Fast patch-based style transfer of arbitrary style", 2016,
    https://arxiv.org/abs/1612.04337.

    Args:
        x: Features of the photos (B,C,H,W).
        style: (1,C,h,w).

    Returns:
        (B,C,H,W).
    """
    candidates = style_patches(style)
    found = nearest(patches(x), candidates)  # (B,h,w)
    height, width = found.shape[1:]
    total, count = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
    for i in range(PATCH_SIZE):  # one position of all patches at a time, in a ninth of the memory
        for j in range(PATCH_SIZE):
            area = (..., slice(i, i + height), slice(j, j + width))
            total[area] += candidates[:, :, i, j][found].movedim(3, 1)
            count[area] += 1
    return total / count


def deep_correlation(x: Tensor) -> Tensor:
    """Average the product of each feature map with itself, shifted by up to 8 positions.

    Shifts up are left out, because they equal those down by symmetry.
    Sendik and Cohen-Or, "Deep correlations for texture synthesis", SIGGRAPH 2017.

    Args:
        x: (B,C,H,W).

    Returns:
        (B,C,9,17): the shift down 0…8, the shift right −8…8.
    """
    height, width = x.shape[2:]
    size = (height + MAX_SHIFT, width + MAX_SHIFT)  # the zeros keep opposite edges apart
    down = torch.arange(MAX_SHIFT + 1, device=x.device)
    right = torch.arange(-MAX_SHIFT, MAX_SHIFT + 1, device=x.device)
    spectrum = torch.fft.rfft2(x, s=size)
    power = spectrum.real.square() + spectrum.imag.square()
    sums = torch.fft.irfft2(power, s=size)[:, :, down % size[0]][:, :, :, right % size[1]]
    overlap = (height - down).clamp(min=0)[:, None] * (width - right.abs()).clamp(min=0)
    return sums / overlap.clamp(min=1)
