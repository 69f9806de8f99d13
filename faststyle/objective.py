"""What a good stylization minimizes: content, style and total variation.

Johnson et al. 2016, https://arxiv.org/abs/1603.08155.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from faststyle.errors import InputError, choose
from faststyle.statistics import gram

Features = Mapping[str, Tensor]


def mean_square(x: Tensor) -> Tensor:
    """Mean of the squares of each picture's values: (B,…) to (B,)."""
    return x.flatten(1).square().mean(1)


def relative_content(features: Tensor, target: Tensor) -> Tensor:
    """Squared error over the target's mean square; (B,C,H,W) twice to (B,)."""
    return mean_square(features - target) / mean_square(target)


def relative_style(features: Tensor, target: Tensor) -> Tensor:
    """Squared error of the Gram matrix over the style's mean square; to (B,)."""
    return mean_square(gram(features) - target) / mean_square(target)


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, (B,C,H,W) to (B,)."""
    vertical, horizontal = images.diff(dim=2), images.diff(dim=3)
    return vertical.abs().flatten(1).mean(1) + horizontal.abs().flatten(1).mean(1)


def johnson_style(features: Tensor, target: Tensor) -> Tensor:
    """Squared Frobenius norm of the Gram matrices' difference, both also divided by C."""
    channels = features.shape[1]
    return ((gram(features) - target) / channels).flatten(1).square().sum(1)


def johnson_variation(images: Tensor) -> Tensor:
    """Sum of the squared differences of neighbouring pixels in 0…255, (B,C,H,W) to (B,)."""
    vertical, horizontal = 255 * images.diff(dim=2), 255 * images.diff(dim=3)
    return vertical.flatten(1).square().sum(1) + horizontal.flatten(1).square().sum(1)


class Scaling(NamedTuple):
    """How the three terms are measured; each function gives one value per picture."""

    content: Callable[[Tensor, Tensor], Tensor]
    style: Callable[[Tensor, Tensor], Tensor]
    variation: Callable[[Tensor], Tensor]


SCALINGS = {
    # Departs from the paper: content and style are shares of their targets' own size, so that one
    # weight means the same for every painting, layer, picture size and VGG.
    "relative": Scaling(relative_content, relative_style, total_variation),
    # The paper's equations 2 and 4. Its weights are of another size: content 1, style 5, TV 1e-6.
    "johnson": Scaling(lambda f, p: mean_square(f - p), johnson_style, johnson_variation),
}


class Objective(nn.Module):
    """The weighted sum of content, style and total variation.

    Args:
        content_weight: weight of the content's distance.
        style_weight: weight of the style's distance: more gives more painting, less photo.
        tv_weight: weight of the total variation: more gives smoother areas.
        content_layers: VGG layers whose features shall stay the photo's, with their weights.
        style_layers: VGG layers whose statistics shall become the painting's, with their weights.
        scaling: relative, where one weight means the same for every painting, or johnson, the
            paper's own.
    """

    def __init__(
        self,
        content_weight: float = 1.0,
        style_weight: float = 5.0,
        tv_weight: float = 0.1,
        content_layers: dict[str, float] | None = None,
        style_layers: dict[str, float] | None = None,
        scaling: str = "relative",
    ):
        super().__init__()
        for name, weight in (("content", content_weight), ("style", style_weight), ("tv", tv_weight)):
            if not weight >= 0:
                raise InputError(f"--model.{name}_weight must be at least 0, not {weight}")
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        # Johnson's relu3_3 keeps shapes; relu2_2 keeps light and dark, which a young network inverts.
        self.content_layers = content_layers or {"relu2_2": 0.5, "relu3_3": 0.5}
        self.style_layers = style_layers or {
            "relu1_2": 0.25,
            "relu2_2": 0.25,
            "relu3_3": 0.25,
            "relu4_3": 0.25,
        }
        self.scaling = choose("scaling", scaling, SCALINGS)
        self.layers = {*self.content_layers, *self.style_layers}

    def set_style(self, styles: Sequence[Features], blend: Sequence[float] | None = None) -> None:
        """Take the style from the features of one picture, or of several with blend weights.

        Args:
            styles: for each style picture, (1,C,H,W) by layer.
            blend: a weight for each picture, divided by their sum; equal shares without it.

        Raises:
            InputError: the weights are not one number for each picture, none negative, not all zero.
        """
        shares = list(blend or [1.0] * len(styles))
        if len(shares) != len(styles) or not all(share >= 0 for share in shares) or sum(shares) <= 0:
            raise InputError(
                f"{len(styles)} style pictures need as many blend weights, none negative: got {shares}"
            )
        for layer in self.style_layers:
            grams = torch.cat([gram(features[layer]) for features in styles])  # (styles,C,C)
            weights = grams.new_tensor(shares).view(-1, 1, 1) / sum(shares)
            target = (weights * grams).sum(0, keepdim=True)
            self.register_buffer(f"style_{layer}", target, persistent=False)

    def forward(self, images: Tensor, features: Features, content: Features) -> dict[str, Tensor]:
        """Measure ``images`` against the style taken and the photos' features.

        Args:
            images: (B,3,H,W), RGB in [0,1].
            features: of the images, (B,C,H,W) by layer, at ``layers``.
            content: of the photos, (B,C,H,W) by layer, at ``content_layers``.

        Returns:
            Means over the batch: each term before its weight, and their weighted sum, total.
        """
        terms = {
            "content": torch.zeros((), device=images.device),
            "style": torch.zeros((), device=images.device),
        }
        for layer, weight in self.content_layers.items():
            distance = self.scaling.content(features[layer].float(), content[layer].float()).mean()
            terms["content"] = terms["content"] + weight * distance
        for layer, weight in self.style_layers.items():
            distance = self.scaling.style(features[layer], getattr(self, f"style_{layer}")).mean()
            terms[f"style_{layer}"] = distance
            terms["style"] = terms["style"] + weight * distance
        terms["variation"] = self.scaling.variation(images.float()).mean()
        terms["total"] = (
            self.content_weight * terms["content"]
            + self.style_weight * terms["style"]
            + self.tv_weight * terms["variation"]
        )
        return terms
