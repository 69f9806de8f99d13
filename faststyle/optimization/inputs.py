"""Photos, paintings and masks as tensors."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from faststyle.errors import InputError
from faststyle.image import arrays
from faststyle.image.convert import scale_to, to_rgb, to_tensor
from faststyle.image.masks import fit_mask

MIN_MASK_LEVEL = 128  # a mask whose lightest pixel is darker is refused


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B,3,H,W) in [0,1] to ``size``, height and width."""
    if images.shape[-2:] == torch.Size(size):
        return images
    return arrays.resize(images, size).clamp(0, 1)


def resize_by(images: Tensor, factor: float) -> Tensor:
    """Multiply both sides of (B,3,H,W) in [0,1] by ``factor``."""
    return resize(images, [max(1, round(side * factor)) for side in images.shape[-2:]])


def prepare_image(image: Image.Image | Tensor, longer: int | None, device: torch.device) -> Tensor:
    """Convert an image to (1,3,H,W) in [0,1].

    Args:
        image: A PIL image, or a tensor (3,H,W), RGB in [0,1].
        longer: Longer side of the result in pixels; None keeps the size.
        device: Device of the result.

    Raises:
        InputError: A tensor of another shape, or not of floats.
    """
    if isinstance(image, Tensor):
        is_rgb = image.ndim == 3 and len(image) == 3 and 0 not in image.shape
        if not is_rgb or not image.is_floating_point():
            raise InputError(f"expected a tensor (3,H,W) of floats in [0,1], not {tuple(image.shape)}")
        images = image.detach()[None].to(device, torch.float32, copy=True)
        return images if longer is None else resize_by(images, longer / max(images.shape[-2:]))
    image = to_rgb(image).convert("RGB")
    return to_tensor(scale_to(image, longer) if longer else image)[None].to(device)


def prepare_masks(
    masks: Sequence[Image.Image | None] | None, images: Sequence[Tensor]
) -> list[Tensor | None]:
    """Convert masks to (1,1,H,W) in [0,1], each stretched to the size of its image, on its device.

    Args:
        masks: A grey image or None for each image; None in place of the list is None for each.
        images: (1,3,H,W) each.

    Raises:
        InputError: No part of a mask is white.
    """
    masks = masks or [None] * len(images)
    return [
        None if mask is None else prepare_mask(mask, image) for mask, image in zip(masks, images, strict=True)
    ]


def prepare_mask(mask: Image.Image, image: Tensor) -> Tensor:
    """Convert a mask to (1,1,H,W) in [0,1], stretched to the size of ``image``, on its device.

    Raises:
        InputError: No part of the mask is white.
    """
    height, width = image.shape[-2:]
    grey = fit_mask(mask, (width, height))
    if grey.getextrema()[1] < MIN_MASK_LEVEL:  # type: ignore[operator]
        raise InputError("a mask is black all over: only its white part counts")
    return to_tensor(grey.convert("RGB"))[None, :1].to(image.device)


def check_mask_counts(paintings: int, **masks: Sequence[Image.Image | None] | None) -> None:
    """Refuse masks that are not as many as the paintings.

    Args:
        paintings: Number of paintings.
        **masks: The masks, by the name of their parameter.

    Raises:
        InputError: The number of masks is not the number of paintings.
    """
    for name, given in masks.items():
        if given is not None and len(given) != paintings:
            raise InputError(
                f"{len(given)} `{name}` for {paintings} paintings: give one for each, or all (None)"
            )
