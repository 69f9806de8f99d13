"""The slow baseline: one picture at a time, by gradient descent on the pixels themselves.

Gatys et al., "Image style transfer using convolutional neural networks", CVPR 2016, with the
objective that training uses too.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from faststyle.device import memory_errors, pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.image import color
from faststyle.image.convert import scale_to, to_image, to_rgb, to_tensor
from faststyle.losses.objective import Objective
from faststyle.losses.vgg import VGG, split_scale
from faststyle.optimization.descent import (
    FIRST_MOVE,
    Step,
    check_precision,
    descend,
    has_whole_grams,
)
from faststyle.optimization.settings import InitName, OptimizationSettings

STYLE_SHARE = 0.75  # of the result's longer side, the painting's, where it is not given
LATER_FIRST_MOVE = 0.012  # of L-BFGS at all sizes but the first, as FIRST_MOVE
SHARE = 0.6  # of the steps at one size, those at the next
COARSEST_SHORTER = 16  # pixels of the shorter side there
COARSEST = 128  # pixels of the longer side at the first size, at least
# What a picture can start from: the photo and noise, (1,3,H,W) each, to (1,3,H,W).
INITS: dict[InitName, Callable[[Tensor, Tensor], Tensor]] = {
    "content": lambda photo, noise: photo,
    "noise": lambda photo, noise: noise,
    "content+noise": lambda photo, noise: 0.6 * photo + 0.4 * noise,
}


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """(B,3,H,W) in [0,1] to (B,3,*size)."""
    if images.shape[-2:] == torch.Size(size):
        return images
    return F.interpolate(images, tuple(size), mode="bicubic", antialias=True).clamp(0, 1)


def scaled(images: Tensor, share: float) -> Tensor:
    """(B,3,H,W) in [0,1] with both sides multiplied by ``share``."""
    return resize(images, [max(1, round(side * share)) for side in images.shape[-2:]])


class Optimization:
    """One image's optimization: iterate over it for its steps, and take ``result()`` at any time.

    Args:
        content: The photo: a PIL image, or a tensor (3,H,W), RGB in [0,1], which keeps its own size.
        style: The painting, likewise, or several; or the Gram matrices of one, (1,C,C) by layer, as a
            model's file has them.
        masks: For each painting, where in the photo its style is wanted: white in a grey image of any
            size; None is everywhere. What no mask covers stays the photo.
        style_masks: For each painting, which part of it to take the style from, likewise.
        init_model: A trained model whose stylization to start from, in place of ``init``.
        **options: Fields of ``OptimizationSettings``.

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
        settings = OptimizationSettings(**options)
        self.targets = dict(style) if isinstance(style, Mapping) else None
        styles: list[Any] = list(style) if isinstance(style, list | tuple) else [style]
        if self.targets is not None:
            styles = []
        for name, given in (("masks", masks), ("style_masks", style_masks)):
            if given is not None and len(given) != len(styles):
                raise InputError(
                    f"{len(given)} `{name}` for {len(styles)} paintings: give one for each, or all (None)"
                )
        self.content, self.settings = content, settings
        self.steps = settings.steps
        self.device = pick_device(settings.device)
        self.precision = pick_precision(settings.precision, self.device)
        check_precision(self.precision)

        self.photo = self.read(content, None if isinstance(content, Tensor) else settings.size)
        longer = max(self.photo.shape[-2:])
        style_size = settings.style_size or max(16, round(STYLE_SHARE * longer))
        self.sizes = self.coarse_to_fine(settings.scales)
        paintings = [self.read(one, style_size) for one in styles]
        if settings.match_color:
            paintings = [color.match_color(painting, self.photo) for painting in paintings]
        self.paintings = paintings
        self.masks = [self.read_mask(mask, self.photo) for mask in masks or [None] * len(styles)]
        parts = style_masks or [None] * len(styles)
        self.style_masks = [self.read_mask(*pair) for pair in zip(parts, paintings, strict=True)]
        self.objective = Objective(
            settings.content_weight,
            settings.style_weight,
            settings.tv_weight,
            dict(settings.content_layers or {}),
            dict(settings.style_layers or {}),
            settings.statistic,
            settings.preset,
        ).to(self.device)
        if self.targets is None:
            self.objective.check(len(styles), settings.blend, [*self.masks, *self.style_masks])
        elif not has_whole_grams(self.objective):
            raise InputError(
                "Gram matrices in place of a painting go with the preset relative and the statistic gram"
            )
        else:
            self.targets = {layer: target.to(self.device) for layer, target in self.targets.items()}
        self.vgg = VGG(settings.vgg, settings.pooling, self.objective.layers, self.precision)
        self.vgg.to(self.device)

        if init_model is not None:
            self.picture = init_model(self.photo)
        else:
            noise = torch.rand(self.photo.shape, generator=torch.Generator().manual_seed(settings.seed))
            self.picture = INITS[settings.init](self.photo, noise.to(self.device))
        self.given, self.from_noise = self.picture, settings.init == "noise" and init_model is None
        self.best = math.inf

    def coarse_to_fine(self, scales: int | None) -> list[float]:
        """Return the longer side in pixels at each size, each twice the last.

        Raises:
            InputError: The coarsest would have less than 16 pixels.
        """
        height, width = self.photo.shape[-2:]
        longer, shorter = max(height, width), min(height, width)
        if scales is None:
            scales = max(1, 1 + int(math.log2(min(longer / COARSEST, shorter / COARSEST_SHORTER))))
        sizes = [longer / 2**back for back in reversed(range(scales))]
        if sizes[0] < 16:
            raise InputError(
                f"{longer} pixels are too few for {scales} `scales`: the coarsest must have 16, and would "
                f"have {sizes[0]:.0f}"
            )
        return sizes

    def read(self, picture: Image.Image | Tensor, longer: int | None) -> Tensor:
        """A picture as (1,3,H,W) in [0,1] on the device, its longer side brought to ``longer``."""
        if isinstance(picture, Tensor):
            odd = picture.ndim != 3 or len(picture) != 3 or 0 in picture.shape
            if odd or not picture.is_floating_point():
                raise InputError(f"expected a tensor (3,H,W) of floats in [0,1], not {tuple(picture.shape)}")
            images = picture.detach()[None].to(self.device, torch.float32, copy=True)
            return images if longer is None else scaled(images, longer / max(images.shape[-2:]))
        picture = to_rgb(picture).convert("RGB")
        return to_tensor(scale_to(picture, longer) if longer else picture)[None].to(self.device)

    def read_mask(self, mask: Image.Image | None, images: Tensor) -> Tensor | None:
        """(1,1,H,W) in [0,1], stretched to the images' size.

        Raises:
            InputError: nothing in it is white.
        """
        if mask is None:
            return None
        height, width = images.shape[-2:]
        grey = to_rgb(mask).convert("L").resize((width, height))
        region = to_tensor(grey.convert("RGB"))[None, :1].to(self.device)
        if region.max() < 0.5:
            raise InputError("a mask is black all over: only what is white in it counts")
        return region

    def __iter__(self) -> Iterator[Step]:
        """Go through all sizes; the number of a step counts on from size to size."""
        longer, done = self.sizes[-1], 0
        for size, count in zip(self.sizes, self.counts, strict=True):
            photo = scaled(self.photo, size / longer)
            start = self.start(photo.shape[-2:])
            self.best, mean = math.inf, start
            with memory_errors(f"{photo.shape[-1]}x{photo.shape[-2]} pixels", "lower `size`"):
                self.set_style(photo, size / longer)
                # Later sizes start near their end.
                first_move = FIRST_MOVE if done == 0 else LATER_FIRST_MOVE
                method = self.settings.optimizer, self.settings.learning_rate, first_move
                for step in descend(start, photo, self.vgg, self.objective, count, *method):
                    if self.settings.average:
                        mean = mean.lerp(step.picture, max(1 - self.settings.average, 1 / (step.number + 1)))
                        self.picture = mean
                    elif step.terms["total"] < self.best:
                        self.picture = step.picture
                    self.best = min(self.best, step.terms["total"])
                    yield step._replace(number=done + step.number)
            done += count

    def start(self, size: Sequence[int]) -> Tensor:
        """Return the start at this size: the last size's result, with the details of the first start."""
        larger = resize(self.picture, size)
        if larger is self.picture or self.picture is self.given or self.from_noise:
            return larger
        blurred = resize(resize(self.given, self.picture.shape[-2:]), size)
        return (larger + resize(self.given, size) - blurred).clamp(0, 1)

    @property
    def counts(self) -> list[int]:
        """Steps at each size; the coarse ones, which are quick, have more."""
        shares = [SHARE**place for place in range(len(self.sizes))]
        ends = [round(self.steps * sum(shares[: place + 1]) / sum(shares)) for place in range(len(shares))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    def set_style(self, photo: Tensor, share: float) -> None:
        """Measure the paintings, each at ``share`` of its size; targets that were given stay as they are.

        Raises:
            InputError: No layer of the result would be compared with the style, or Gram matrices are of
                another VGG.
        """
        if self.targets is not None:
            self.objective.set_targets([self.targets])
        else:
            with torch.no_grad():
                styles = [self.measure(scaled(one, share)) for one in self.paintings]
                features = self.measure(photo) if self.objective.statistic.swap else None
            self.objective.set_style(styles, self.settings.blend, self.masks, self.style_masks, features)
        height, width = photo.shape[-2:]
        measured = self.objective.measured(height, width)
        if share == 1 and self.objective.style_layers and not measured:
            layers = ", ".join(self.objective.style_layers)
            raise InputError(
                f"an image of {width}x{height} and the painting share none of the layers {layers}"
            )
        for layer in measured if self.targets else []:
            channels = getattr(self.vgg, f"{split_scale(layer)[0]}_weight").shape[0]
            if self.objective.get_buffer(f"style_0_{layer}").shape[-1] != channels:
                raise InputError(
                    "the Gram matrices are of another VGG: give the painting, or the VGG that made them"
                )

    def measure(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features of (1,3,H,W) at the style layers that exist for it."""
        return self.vgg(images, self.objective.existing(*images.shape[-2:]))

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the result in pixels."""
        height, width = self.photo.shape[-2:]
        return width, height

    def result(self) -> Any:
        """The best picture so far, of the kind and size that ``content`` has been brought to."""
        photo = self.photo
        picture = self.start(photo.shape[-2:])
        if self.settings.preserve_color:
            picture = color.keep_color(picture, photo).clamp(0, 1)
        covers = [mask for mask in self.masks if mask is not None]
        if covers and len(covers) == len(self.masks):
            picture = torch.lerp(photo, picture, torch.stack(covers).amax(0))
        if isinstance(self.content, Tensor):
            return picture[0].to(self.content.device, self.content.dtype)
        image = to_image(picture[0])
        source = to_rgb(self.content)
        if source.mode == "RGBA":
            image.putalpha(source.getchannel("A").resize(image.size))
        return image


def optimize(content: Any, style: Any, **options: Any) -> Any:
    """Give one picture the style of another, slowly and well.

    Args:
        content: the photo: a PIL picture, or a tensor (3,H,W), RGB in [0,1].
        style: the painting, likewise, or several.
        **options: what Optimization takes.

    Returns:
        The result, of the kind of ``content``.

    Raises:
        InputError: a value that cannot be used; the message says what can.
    """
    run = Optimization(content, style, **options)
    for _ in run:
        pass
    return run.result()
