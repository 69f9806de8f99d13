"""The per-image baseline: one image, stylized by gradient descent on its pixels.

Gatys et al., "Image style transfer using convolutional neural networks", CVPR 2016, with the
objective that training uses too.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from faststyle.device import memory_errors, pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.image.color import keep_color
from faststyle.image.color_transfer import match_color
from faststyle.image.convert import to_image, to_rgb
from faststyle.losses.objective import Objective
from faststyle.losses.vgg import VGG, split_scale
from faststyle.optimization.descent import FIRST_MOVE, Step, check_precision, descend, has_whole_grams
from faststyle.optimization.inputs import (
    check_mask_counts,
    prepare_image,
    prepare_masks,
    resize,
    resize_by,
)
from faststyle.optimization.settings import InitName, OptimizationSettings

STYLE_SIZE_RATIO = 0.75  # default longer side of the painting, relative to the result's
LATER_FIRST_MOVE = 0.012  # as FIRST_MOVE, at all sizes but the first, which start near their end
STEPS_RATIO = 0.6  # number of steps at one size, relative to the size before
MIN_COARSE_LONGER_SIDE = 128  # pixels at the first size
MIN_COARSE_SHORTER_SIDE = 16  # pixels at the first size
# What an image can start from: the photo and noise, (1,3,H,W) each, to (1,3,H,W).
INITS: dict[InitName, Callable[[Tensor, Tensor], Tensor]] = {
    "content": lambda photo, noise: photo,
    "noise": lambda photo, noise: noise,
    "content+noise": lambda photo, noise: 0.6 * photo + 0.4 * noise,
}


class Optimization:
    """The optimization of one image: iterate over it for its steps, and take ``result()`` at any time.

    Args:
        content: The photo: a PIL image, or a tensor (3,H,W), RGB in [0,1], which keeps its own size.
        style: The painting, a PIL image or a tensor like the photo, or several paintings; or the Gram
            matrices of one painting, (1,C,C) by layer, as a model's file contains them.
        masks: For each painting, a grey image of any size that is white where in the photo the style is
            wanted; None is everywhere. Regions that no mask covers stay the photo.
        style_masks: For each painting, a grey image that is white where the style is taken from; None is
            everywhere.
        init_model: Function that makes the start from the photo, (1,3,H,W) to (1,3,H,W), such as a trained
            model; replaces ``init``.
        **options: Fields of ``OptimizationSettings``.

    Attributes:
        steps: Number of updates at all sizes together.
        sizes: Longer side in pixels at each size, coarse to fine.
        photo: The photo at the full size, (1,3,H,W) in [0,1].
        image: The best image so far, (1,3,h,w) in [0,1], or the mean of the steps, at the present size.
        best: Lowest total of the objective so far at the present size.

    Raises:
        InputError: A value that cannot be used; the message says what can.
    """

    def __init__(
        self,
        content: Image.Image | Tensor,
        style: Image.Image | Tensor | Sequence[Image.Image | Tensor] | Mapping[str, Tensor],
        masks: Sequence[Image.Image | None] | None = None,
        style_masks: Sequence[Image.Image | None] | None = None,
        init_model: Callable[[Tensor], Tensor] | None = None,
        **options: Any,
    ):
        self.content, self.settings = content, OptimizationSettings(**options)
        settings = self.settings
        self.steps = settings.steps
        self.device = pick_device(settings.device)
        self.precision = pick_precision(settings.precision, self.device)
        check_precision(self.precision)
        paintings: list[Any] = list(style) if isinstance(style, list | tuple) else [style]
        if not paintings:
            raise InputError("`style` is an empty list: give at least one painting")
        self.grams = None
        if isinstance(style, Mapping):
            paintings, self.grams = [], {layer: x.to(self.device) for layer, x in style.items()}
        check_mask_counts(len(paintings), masks=masks, style_masks=style_masks)

        longer = None if isinstance(content, Tensor) else settings.size
        self.photo = prepare_image(content, longer, self.device)
        self.sizes = self.coarse_to_fine()
        self.paintings = self.prepare_paintings(paintings)
        self.masks = prepare_masks(masks, [self.photo] * len(paintings))
        self.style_masks = prepare_masks(style_masks, self.paintings)
        self.objective = self.make_objective()
        self.vgg = VGG(settings.vgg, settings.pooling, self.objective.layers, self.precision)
        self.vgg.to(self.device)
        self.initial_image = self.make_start() if init_model is None else init_model(self.photo)
        self.starts_from_noise = settings.init == "noise" and init_model is None
        self.image = self.initial_image
        self.best = math.inf

    def coarse_to_fine(self) -> list[float]:
        """Return the longer side in pixels at each size, each twice the last.

        Raises:
            InputError: The coarsest size would have less than 16 pixels.
        """
        height, width = self.photo.shape[-2:]
        longer, shorter = max(height, width), min(height, width)
        scales = self.settings.scales
        if scales is None:
            room = min(longer / MIN_COARSE_LONGER_SIDE, shorter / MIN_COARSE_SHORTER_SIDE)
            scales = max(1, 1 + int(math.log2(room)))
        sizes = [longer / 2**halvings for halvings in reversed(range(scales))]
        if sizes[0] < 16:
            raise InputError(
                f"{longer} pixels are too few for {scales} `scales`: the coarsest must have 16, and would "
                f"have {sizes[0]:.0f}"
            )
        return sizes

    def prepare_paintings(self, paintings: Sequence[Image.Image | Tensor]) -> list[Tensor]:
        """Convert the paintings to (1,3,H,W) at ``style_size``, in the photo's colours where asked for."""
        longer = max(self.photo.shape[-2:])
        size = self.settings.style_size or max(16, round(STYLE_SIZE_RATIO * longer))
        prepared = [prepare_image(painting, size, self.device) for painting in paintings]
        if self.settings.match_color:
            prepared = [match_color(painting, self.photo) for painting in prepared]
        return prepared

    def make_objective(self) -> Objective:
        """Return the objective of the settings, on the device.

        Raises:
            InputError: The objective does not work with the masks, the blend or Gram matrices.
        """
        settings = self.settings
        objective = Objective(
            settings.content_weight,
            settings.style_weight,
            settings.tv_weight,
            dict(settings.content_layers or {}),
            dict(settings.style_layers or {}),
            settings.statistic,
            settings.preset,
        ).to(self.device)
        if self.grams is None:
            objective.blend_weights(len(self.paintings), settings.blend, [*self.masks, *self.style_masks])
        elif not has_whole_grams(objective):
            raise InputError(
                "Gram matrices in place of a painting need the preset relative and the statistic gram"
            )
        return objective

    def make_start(self) -> Tensor:
        """Return the start that the option ``init`` names, (1,3,H,W) in [0,1]."""
        noise = torch.rand(self.photo.shape, generator=torch.Generator().manual_seed(self.settings.seed))
        return INITS[self.settings.init](self.photo, noise.to(self.device))

    def __iter__(self) -> Iterator[Step]:
        """Go through all sizes; the number of a step counts on from size to size."""
        longer, done = self.sizes[-1], 0
        average = self.settings.average
        for size, count in zip(self.sizes, self.counts, strict=True):
            photo = resize_by(self.photo, size / longer)
            start = self.enlarge_result(photo.shape[-2:])
            self.best, mean = math.inf, start
            with memory_errors(f"{photo.shape[-1]}x{photo.shape[-2]} pixels", "lower `size`"):
                self.set_style(photo, size / longer)
                first_move = FIRST_MOVE if done == 0 else LATER_FIRST_MOVE
                method = self.settings.optimizer, self.settings.learning_rate, first_move
                for step in descend(start, photo, self.vgg, self.objective, count, *method):
                    if average:
                        # The plain mean at first, so that the start does not count for too much.
                        mean = mean.lerp(step.picture, max(1 - average, 1 / (step.number + 1)))
                        self.image = mean
                    elif step.terms["total"] < self.best:
                        self.image = step.picture
                    self.best = min(self.best, step.terms["total"])
                    yield step._replace(number=done + step.number)
            done += count

    def enlarge_result(self, size: Sequence[int]) -> Tensor:
        """Return the result so far at a size, with the details of the first start that coarser sizes lack."""
        larger = resize(self.image, size)
        if larger is self.image or self.image is self.initial_image or self.starts_from_noise:
            return larger
        blurred = resize(resize(self.initial_image, self.image.shape[-2:]), size)
        return (larger + resize(self.initial_image, size) - blurred).clamp(0, 1)

    @property
    def counts(self) -> list[int]:
        """Steps at each size; the coarse sizes, which are quick, have more."""
        shares = [STEPS_RATIO**place for place in range(len(self.sizes))]
        ends = [round(self.steps * sum(shares[: place + 1]) / sum(shares)) for place in range(len(shares))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    def set_style(self, photo: Tensor, factor: float) -> None:
        """Give the objective the style, at the scale of the photo.

        Args:
            photo: The photo at the present size, (1,3,h,w) in [0,1].
            factor: The photo's present size relative to its full size; paintings are resized by it. Gram
                matrices that were given stay as they are.

        Raises:
            InputError: No layer of the result would be compared with the style, or the Gram matrices are
                of another VGG.
        """
        if self.grams is not None:
            self.objective.set_targets([self.grams])
        else:
            with torch.no_grad():
                styles = [self.style_features(resize_by(painting, factor)) for painting in self.paintings]
                features = self.style_features(photo) if self.objective.statistic.swap else None
            self.objective.set_style(styles, self.settings.blend, self.masks, self.style_masks, features)
        height, width = photo.shape[-2:]
        layers = self.objective.measured(height, width)
        if factor == 1 and self.objective.style_layers and not layers:
            raise InputError(
                f"an image of {width}x{height} and the painting share none of the layers "
                f"{', '.join(self.objective.style_layers)}"
            )
        for layer in layers if self.grams else []:
            channels = getattr(self.vgg, f"{split_scale(layer)[0]}_weight").shape[0]
            if self.objective.get_buffer(f"style_0_{layer}").shape[-1] != channels:
                raise InputError(
                    "the Gram matrices are of another VGG: give the painting, or the VGG that made them"
                )

    def style_features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features of (1,3,H,W) at the style layers that exist for it."""
        return self.vgg(images, self.objective.existing(*images.shape[-2:]))

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the result in pixels."""
        height, width = self.photo.shape[-2:]
        return width, height

    def result(self) -> Any:
        """Return the best image so far, of the type of ``content``, at the full size."""
        image = self.enlarge_result(self.photo.shape[-2:])
        if self.settings.preserve_color:
            image = keep_color(image, self.photo).clamp(0, 1)
        covers = [mask for mask in self.masks if mask is not None]
        if covers and len(covers) == len(self.masks):
            image = torch.lerp(self.photo, image, torch.stack(covers).amax(0))
        if isinstance(self.content, Tensor):
            return image[0].to(self.content.device, self.content.dtype)
        result = to_image(image[0])
        source = to_rgb(self.content)
        if source.mode == "RGBA":
            result.putalpha(source.getchannel("A").resize(result.size))
        return result


def optimize(content: Any, style: Any, **options: Any) -> Any:
    """Give a photo the style of a painting, without a trained model.

    Args:
        content: The photo: a PIL image, or a tensor (3,H,W), RGB in [0,1].
        style: The painting, a PIL image or a tensor like the photo, or several paintings.
        **options: Parameters of ``Optimization``.

    Returns:
        The result, of the type of ``content``.

    Raises:
        InputError: A value that cannot be used; the message says what can.
    """
    optimization = Optimization(content, style, **options)
    for _ in optimization:
        pass
    return optimization.result()
