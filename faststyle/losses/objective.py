"""The objective of a stylization: content, style and total variation.

Johnson et al. 2016, https://arxiv.org/abs/1603.08155.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.errors import InputError
from faststyle.losses.presets import PRESETS
from faststyle.losses.settings import LayerWeights, PresetName, StatisticName, Weight
from faststyle.losses.statistics import STATISTICS, at_least_float32
from faststyle.losses.vgg import split_scale, step_of
from faststyle.registry import choose

Features = Mapping[str, Tensor]
MIN_REDUCED_SIZE = 64  # pixels of the longer side of an image that is reduced
MIN_POSITIONS = 2  # on the shorter side of a layer of the reduced image; one position tells nothing


def inside(features: Tensor, region: Tensor | None) -> Tensor:
    """Select the positions of features that lie in a region (guided Gram, Gatys et al. 2017, §4.2).

    Args:
        features: (B,C,h,w).
        region: (1,1,H,W) in [0,1], of any size; None is everywhere.

    Returns:
        (B,C,N): the positions where the region, averaged down to (h,w), has more than half of its maximum.
    """
    if region is None:
        return features.flatten(2)
    height, width = features.shape[-2:]
    share = F.adaptive_avg_pool2d(region, (height, width)).flatten()  # (hw,)
    return features.flatten(2)[:, :, share > share.max() / 2]


def bounded(distance: Tensor) -> Tensor:
    """Let a distance grow as its logarithm beyond 1.

    Otherwise a clear sky, whose features are small, would outweigh all else: any stroke is 10 away.
    """
    return torch.where(distance > 1, 1 + distance.clamp(min=1).log(), distance)


class Objective(nn.Module):
    """The weighted sum of content, style and total variation.

    Args:
        content_weight: Weight of the content distance. By default the preset's, 1 for relative.
        style_weight: Weight of the style distance: more gives more painting, less photo. By default the
            preset's, 3 for relative.
        tv_weight: Weight of the total variation: more gives smoother areas. By default the preset's, 1 for
            relative.
        content_layers: VGG layers at which features should stay the photo's, with their weights.
        style_layers: VGG layers at which statistics should become the painting's, with their weights.
            relu4_1/4 is the layer of image and painting averaged down by 4, and sees larger shapes.
        statistic: Style statistic: gram, or another of docs/statistics.md.
        preset: relative, where one weight means the same for every painting; or the formulas, layers and
            weights of gatys, coursera, cs231n or johnson.

    Raises:
        InputError: A weight below 0, an unknown name, or a preset with another statistic than its own.
    """

    def __init__(
        self,
        content_weight: Weight | None = None,
        style_weight: Weight | None = None,
        tv_weight: Weight | None = None,
        content_layers: LayerWeights | None = None,
        style_layers: LayerWeights | None = None,
        statistic: StatisticName = "gram",
        preset: PresetName = "relative",
    ):
        super().__init__()
        self.preset = chosen = choose("preset", preset, PRESETS)
        self.statistic = choose("statistic", statistic, STATISTICS)
        if chosen.style is not None and statistic != "gram":
            raise InputError(
                f"the preset {preset} is made of Gram matrices: leave out `statistic` {statistic}, or "
                "set `preset` to relative"
            )
        self.content_weight = chosen.content_weight if content_weight is None else content_weight
        self.style_weight = chosen.style_weight if style_weight is None else style_weight
        self.tv_weight = chosen.tv_weight if tv_weight is None else tv_weight
        for term in ("content", "style", "tv"):
            weight = getattr(self, f"{term}_weight")
            if not weight >= 0:
                raise InputError(f"`{term}_weight` must be at least 0, not {weight}")
        # Layers of a term without weight are dropped, so that VGG need not run as deep.
        self.content_layers = (content_layers or chosen.content_layers) if self.content_weight else {}
        self.style_layers = (
            (style_layers or self.statistic.layers or chosen.style_layers) if self.style_weight else {}
        )
        for layer in self.style_layers:
            split_scale(layer)  # raises for an unknown reduction
        if not self.layers:
            raise InputError("`content_weight` and `style_weight` are both 0: one of them must count")
        self.targets: list[str] = []  # style layers that every painting has
        self.shares: list[float] = []
        self.regions: list[Tensor | None] = []

    @property
    def layers(self) -> set[str]:
        """All layers that the objective needs."""
        return {*self.content_layers, *self.style_layers}

    def existing(self, height: int, width: int) -> list[str]:
        """Return the style layers that images of this size are large enough for."""
        found = []
        for layer in self.style_layers:
            name, number = split_scale(layer)
            positions = min(height, width) // number // step_of(name)
            enough = positions >= MIN_POSITIONS and max(height, width) >= MIN_REDUCED_SIZE * number
            if enough or (number == 1 and positions):
                found.append(layer)
        return found

    def measured(self, height: int, width: int) -> list[str]:
        """Return the style layers that images of this size and every painting have."""
        return [layer for layer in self.existing(height, width) if layer in self.targets]

    def layers_at(self, height: int, width: int) -> list[str]:
        """Return the layers of images of this size that ``forward`` needs."""
        return list(dict.fromkeys([*self.content_layers, *self.measured(height, width)]))

    def set_style(
        self,
        styles: Sequence[Features],
        blend: Sequence[float] | None = None,
        regions: Sequence[Tensor | None] | None = None,
        style_regions: Sequence[Tensor | None] | None = None,
        photo: Features | None = None,
    ) -> None:
        """Take the style from the features of one painting, or of several with blend weights.

        Args:
            styles: For each painting, (1,C,H,W) by layer, at the layers that exist for its size.
            blend: Weight of each painting, divided by their sum. By default equal.
            regions: For each painting, where in the image its style is wanted: (1,1,H,W) in [0,1] or None.
            style_regions: For each painting, the part of it that counts, likewise.
            photo: Features of the photo, (1,C,H,W) by layer; only style-swap needs them.

        Raises:
            InputError: As for ``blend_weights``; or the statistic needs the photo.
        """
        self.regions = list(regions or [None] * len(styles))
        parts = list(style_regions or [None] * len(styles))
        blend = self.blend_weights(len(styles), blend, [*self.regions, *parts])
        self.shares = [share / sum(blend) for share in blend]
        if self.statistic.swap and photo is None:
            raise InputError(
                "style-swap is made for one photo: it serves the per-image baseline, not training"
            )
        targets = []
        for features, part in zip(styles, parts, strict=True):
            found = {
                layer: self.represent(x, part) for layer, x in features.items() if layer in self.style_layers
            }
            if self.statistic.swap and photo is not None:
                swap = self.statistic.swap
                found = {layer: swap(self.represent(photo[layer], None), x) for layer, x in found.items()}
            targets.append(found)
        self.set_targets(targets)

    def set_targets(self, targets: Sequence[Features]) -> None:
        """Take the style from statistics that were measured before.

        Args:
            targets: For each painting, its representation by layer; layers that one lacks are left out.
        """
        self.shares = self.shares or [1 / len(targets)] * len(targets)
        self.regions = self.regions or [None] * len(targets)
        self.targets = [layer for layer in self.style_layers if all(layer in one for one in targets)]
        for number, one in enumerate(targets):
            for layer in self.targets:
                self.register_buffer(f"style_{number}_{layer}", one[layer], persistent=False)

    def mean_targets(self) -> dict[str, Tensor]:
        """Return the mean of the paintings' representations by layer, with their blend weights."""
        means = {}
        for layer in self.targets:
            each = [
                share * self.get_buffer(f"style_{number}_{layer}") for number, share in enumerate(self.shares)
            ]
            means[layer] = torch.stack(each).sum(0)
        return means

    def blend_weights(
        self, styles: int, blend: Sequence[float] | None, regions: Sequence[Tensor | None]
    ) -> list[float]:
        """Return the weight of each painting, after checking them and the regions.

        Raises:
            InputError: There is not one weight for each painting, one is negative, or all are 0; or the
                statistic cannot be limited to regions.
        """
        blend = list(blend or [1.0] * styles)
        if len(blend) != styles or not all(share >= 0 for share in blend) or sum(blend) <= 0:
            raise InputError(
                f"a blend needs a weight for each of the {styles} paintings, none negative and not all "
                f"0: got {blend}"
            )
        if self.statistic.spatial and any(region is not None for region in regions):
            able = [name for name, statistic in STATISTICS.items() if not statistic.spatial]
            raise InputError(f"this statistic looks at neighbours; masks go with {', '.join(able)}")
        return blend

    def represent(self, features: Tensor, region: Tensor | None) -> Tensor:
        """Compute the style statistic of (B,C,h,w): (B,…)."""
        return self.statistic.represent(features if self.statistic.spatial else inside(features, region))

    def style_distance(self, features: Tensor, layer: str) -> Tensor:
        """Sum the distances of (B,C,h,w) at one layer from each painting, by its share: (B,)."""
        total = torch.zeros(len(features), device=features.device)
        whole = self.represent(features, None) if None in self.regions else features
        for number, (share, region) in enumerate(zip(self.shares, self.regions, strict=True)):
            mine = whole if region is None else self.represent(features, region)
            total = total + share * self.distance(mine, number, layer, inside(features, region).shape[2])
        return total

    def whole_distance(self, mine: Tensor, layer: str) -> Tensor:
        """Return the distance of whole images' statistic at one layer from each style, by its share: (B,)."""
        each = [share * self.distance(mine, number, layer) for number, share in enumerate(self.shares)]
        return torch.stack(each).sum(0)

    def distance(self, mine: Tensor, number: int, layer: str, positions: int = 0) -> Tensor:
        """Return the distance of a statistic from a style's: (B,)."""
        target = getattr(self, f"style_{number}_{layer}")
        if self.preset.style is not None:
            return self.preset.style(mine, target, positions)
        # The logarithm bounds large distances: statistics of a painting of one flat colour are near 0, and
        # would otherwise make a loss of 100,000. Small distances stay as they are.
        return torch.log1p(self.statistic.distance(mine, target))

    def forward(
        self, images: Tensor, features: Features, content: Features, style_share: float = 1.0
    ) -> dict[str, Tensor]:
        """Measure images against the style and the photos' features.

        Args:
            images: (B,3,H,W), RGB in [0,1].
            features: Features of the images, (B,C,H,W) by layer, at ``layers_at`` their size.
            content: Features of the photos, (B,C,H,W) by layer, at ``content_layers``.
            style_share: Share of the style's weight that counts in the sum.

        Returns:
            Means over the batch: each term before its weight, and their weighted sum, total.
        """
        terms = {
            "content": torch.zeros((), device=images.device),
            "style": torch.zeros((), device=images.device),
        }
        for layer, weight in self.content_layers.items():
            distance = self.preset.content(*(at_least_float32(x[layer]) for x in (features, content)))
            if self.preset.style is None:
                distance = bounded(distance)
            terms["content"] = terms["content"] + weight * distance.mean()
        for layer in self.measured(*images.shape[-2:]):
            distance = self.style_distance(features[layer], layer).mean()
            terms[f"style_{layer}"] = distance
            terms["style"] = terms["style"] + self.style_layers[layer] * distance
        terms["variation"] = self.preset.variation(at_least_float32(images)).mean()
        terms["total"] = (
            self.content_weight * terms["content"]
            + style_share * self.style_weight * terms["style"]
            + self.tv_weight * terms["variation"]
        )
        return terms
