"""Refine a model's image by a few evaluations of the per-image baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from faststyle.device import survive_fork
from faststyle.errors import InputError
from faststyle.image.convert import to_rgb, to_tensor
from faststyle.losses.painting import measure_grams
from faststyle.models.find import find_grams
from faststyle.optimization.inputs import resize
from faststyle.optimization.optimization import STEPS_RATIO, Optimization

MIN_SIZE = 16  # pixels of the longer side
COARSE_SIZE = 512  # pixels of the longer side; larger images are refined at about this size first
# Lower than the baseline's, because a network's image is bold already and is to come nearer to the photo.
STYLE_WEIGHT = 2.0


def refinement(
    image: Image.Image | Tensor,
    photo: Image.Image,
    style: Image.Image | Mapping[str, Tensor],
    evaluations: int = 10,
    style_weight: float = STYLE_WEIGHT,
    **options: Any,
) -> Optimization:
    """Prepare to refine an image: iterate over what comes back, and take its ``result()`` at any time.

    Args:
        image: The start, such as a model's stylization of the photo: a PIL image, or a tensor (3,H,W), RGB
            in [0,1].
        photo: The photo, which is brought to the image's size.
        style: The painting, or its Gram matrices as ``find_grams`` and ``measure_grams`` return them.
        evaluations: Number of evaluations that change the image at about 512 pixels; each doubling of the
            size adds 0.6 times as many. One more evaluation at each size measures the last change.
        style_weight: Weight of the style; a higher weight gives more painting and less photo.
        **options: Parameters of ``Optimization``, such as device, precision or vgg.

    Returns:
        The optimization that starts from the image.

    Raises:
        InputError: A value that cannot be used; the message says what can.
    """
    survive_fork()
    if not isinstance(evaluations, int) or evaluations < 1:
        raise InputError(f"`evaluations` must be a whole number of at least 1, not {evaluations!r}")
    for given in (photo,) if isinstance(image, Tensor) else (photo, image):
        if not isinstance(given, Image.Image):
            raise InputError(f"expected an opened PIL image, not {type(given).__name__}")
    if isinstance(style, Image.Image):
        style = measure_grams(style, **{key: options[key] for key in ("vgg", "pooling") if key in options})
    start = to_tensor(to_rgb(image).convert("RGB")) if isinstance(image, Image.Image) else image
    height, width = start.shape[-2:]
    if max(height, width) < MIN_SIZE:
        raise InputError(
            f"an image of {width}x{height} is too small to be refined: give {MIN_SIZE} pixels or more"
        )
    photo = to_rgb(photo)
    if photo.size != (width, height):
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
    scales = 1
    while max(width, height) / 2**scales >= COARSE_SIZE:
        scales += 1
    return Optimization(
        photo,
        style,
        size=max(width, height),
        steps=max(scales, round(evaluations * sum(STEPS_RATIO**place for place in range(scales)))),
        scales=scales,
        init_model=lambda photo: resize(start[None].to(photo), photo.shape[-2:]),
        style_weight=style_weight,
        **options,
    )


def refine(
    image: Image.Image,
    photo: Image.Image,
    model: str | Path | Image.Image | Mapping[str, Tensor],
    evaluations: int = 10,
    **options: Any,
) -> Image.Image:
    """Refine an image that a model made of a photo, towards the painting that the model learned from.

    Args:
        image: The model's image, or any other to start from.
        photo: The photo.
        model: The model, by the name or file that ``Stylizer.load`` takes; or the painting; or its Gram
            matrices.
        evaluations: Number of evaluations of the objective at about 512 pixels.
        **options: Parameters of ``refinement`` and ``Optimization``.

    Returns:
        The refined image, of the size of ``image``.

    Raises:
        InputError: A model without its painting's Gram matrices, or a value that cannot be used.
    """
    style = find_grams(model) if isinstance(model, str | Path) else model
    if not isinstance(style, Image.Image | Mapping):
        raise InputError(
            f"expected a model's name or file, an opened painting or Gram matrices, not {type(model)}"
        )
    optimization = refinement(image, photo, style, evaluations, **options)
    for _ in optimization:
        pass
    return optimization.result()
