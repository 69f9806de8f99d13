"""What a good stylization minimizes: content, style and total variation.

Johnson et al. 2016, https://arxiv.org/abs/1603.08155.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.errors import InputError
from faststyle.losses.presets import PRESETS
from faststyle.losses.statistics import STATISTICS
from faststyle.registry import choose

Features = Mapping[str, Tensor]


def inside(features: Tensor, region: Tensor | None) -> Tensor:
    """The features' positions that lie in a region (guided Gram, Gatys et al. 2017, §4.2).

    Args:
        features: (B,C,h,w).
        region: (1,1,H,W) in [0,1], of any size; None is everywhere.

    Returns:
        (B,C,N): where the region, brought down to (h,w), has more than half of its highest value.
    """
    if region is None:
        return features.flatten(2)
    height, width = features.shape[-2:]
    share = F.adaptive_avg_pool2d(region, (height, width)).flatten()  # (hw,)
    return features.flatten(2)[:, :, share > share.max() / 2]


class Objective(nn.Module):
    """The weighted sum of content, style and total variation.

    Args:
        content_weight: weight of the content's distance; like the two after it, without a value
            the preset's own (relative: 1).
        style_weight: weight of the style's distance: more gives more painting, less photo
            (relative: 5).
        tv_weight: weight of the total variation: more gives smoother areas (relative: 1).
        content_layers: VGG layers whose features shall stay the photo's, with their weights.
        style_layers: VGG layers whose statistics shall become the painting's, with their weights.
        statistic: what of the features is called style: gram, or another of docs/statistics.md.
        preset: relative, where one weight means the same for every painting, or the formulas,
            layers and weights of gatys, coursera, cs231n or johnson.

    Raises:
        InputError: a weight below 0, an unknown name, or a preset with another statistic than its own.
    """

    def __init__(
        self,
        content_weight: float | None = None,
        style_weight: float | None = None,
        tv_weight: float | None = None,
        content_layers: dict[str, float] | None = None,
        style_layers: dict[str, float] | None = None,
        statistic: str = "gram",
        preset: str = "relative",
    ):
        super().__init__()
        self.preset = chosen = choose("preset", preset, PRESETS)
        self.statistic = choose("statistic", statistic, STATISTICS)
        if chosen.style is not None and statistic != "gram":
            raise InputError(
                f"the preset {preset} is made of Gram matrices: leave out the statistic {statistic}, or "
                "take the preset relative"
            )
        self.content_weight = chosen.content_weight if content_weight is None else content_weight
        self.style_weight = chosen.style_weight if style_weight is None else style_weight
        self.tv_weight = chosen.tv_weight if tv_weight is None else tv_weight
        for term in ("content", "style", "tv"):
            weight = getattr(self, f"{term}_weight")
            if not weight >= 0:
                raise InputError(f"{term}_weight must be at least 0, not {weight}")
        # VGG need not be run as deep as a term wants it that counts for nothing.
        self.content_layers = (content_layers or chosen.content_layers) if self.content_weight else {}
        self.style_layers = (
            (style_layers or self.statistic.layers or chosen.style_layers) if self.style_weight else {}
        )
        self.layers = {*self.content_layers, *self.style_layers}
        if not self.layers:
            raise InputError("content_weight and style_weight are both 0: one of them must count")
        self.shares: list[float] = []
        self.regions: list[Tensor | None] = []

    def set_style(
        self,
        styles: Sequence[Features],
        blend: Sequence[float] | None = None,
        regions: Sequence[Tensor | None] | None = None,
        style_regions: Sequence[Tensor | None] | None = None,
        photo: Features | None = None,
    ) -> None:
        """Take the style from the features of one picture, or of several with blend weights.

        Args:
            styles: for each style picture, (1,C,H,W) by layer.
            blend: a weight for each picture, divided by their sum; equal shares without it.
            regions: for each style, where in the picture it shall be: (1,1,H,W) in [0,1] or None.
            style_regions: for each style, the part of it that counts, likewise.
            photo: features of the one photo, (1,C,H,W) by layer; style-swap alone needs them.

        Raises:
            InputError: what ``check`` refuses; or the statistic needs the photo.
        """
        self.regions = list(regions or [None] * len(styles))
        parts = list(style_regions or [None] * len(styles))
        blend = self.check(len(styles), blend, [*self.regions, *parts])
        self.shares = [share / sum(blend) for share in blend]
        if self.statistic.swap and photo is None:
            raise InputError(
                "style-swap is made for one photo: it serves the per-image baseline, not training"
            )
        for layer in self.style_layers:
            for number, (features, part) in enumerate(zip(styles, parts, strict=True)):
                target = self.represent(features[layer], part)
                if self.statistic.swap and photo is not None:
                    target = self.statistic.swap(self.represent(photo[layer], None), target)
                self.register_buffer(f"style_{number}_{layer}", target, persistent=False)

    def check(
        self, styles: int, blend: Sequence[float] | None, regions: Sequence[Tensor | None]
    ) -> list[float]:
        """Refuse before the work what ``set_style`` could not take; the blend's weights.

        Raises:
            InputError: the weights are not one number for each picture, none negative, not all
                zero; or the statistic does not go with regions.
        """
        blend = list(blend or [1.0] * styles)
        if len(blend) != styles or not all(share >= 0 for share in blend) or sum(blend) <= 0:
            raise InputError(
                f"a blend needs a weight for each of the {styles} style pictures, none negative and not all "
                f"0: got {blend}"
            )
        if self.statistic.spatial and any(region is not None for region in regions):
            able = [name for name, statistic in STATISTICS.items() if not statistic.spatial]
            raise InputError(f"this statistic looks at neighbours; masks go with {', '.join(able)}")
        return blend

    def represent(self, features: Tensor, region: Tensor | None) -> Tensor:
        """What the style's formula compares: (B,C,h,w) to (B,…)."""
        return self.statistic.represent(features if self.statistic.spatial else inside(features, region))

    def style_distance(self, features: Tensor, layer: str) -> Tensor:
        """Of (B,C,h,w) at one layer from each style, by its share: (B,)."""
        total = torch.zeros(len(features), device=features.device)
        whole = self.represent(features, None) if None in self.regions else features
        for number, (share, region) in enumerate(zip(self.shares, self.regions, strict=True)):
            mine = whole if region is None else self.represent(features, region)
            target = getattr(self, f"style_{number}_{layer}")
            if self.preset.style is None:
                distance = self.statistic.distance(mine, target)
            else:
                distance = self.preset.style(mine, target, inside(features, region).shape[2])
            total = total + share * distance
        return total

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
            distance = self.preset.content(features[layer].float(), content[layer].float()).mean()
            terms["content"] = terms["content"] + weight * distance
        for layer, weight in self.style_layers.items():
            distance = self.style_distance(features[layer], layer).mean()
            terms[f"style_{layer}"] = distance
            terms["style"] = terms["style"] + weight * distance
        terms["variation"] = self.preset.variation(images.float()).mean()
        terms["total"] = (
            self.content_weight * terms["content"]
            + self.style_weight * terms["style"]
            + self.tv_weight * terms["variation"]
        )
        return terms
