"""Names and options of the objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from faststyle.options import Kind, Settings, layer, number, one_of, option

STYLE_SIZE = 384  # pixels of a painting's longer side, as for the built-in styles' Gram matrices

StatisticName = Literal[
    "gram",
    "covariance",
    "moments",
    "moments-4",
    "mmd-linear",
    "mmd-polynomial",
    "mmd-gaussian",
    "histogram",
    "sliced-wasserstein",
    "wasserstein",
    "mrf",
    "style-swap",
    "deep-correlation",
]
PresetName = Literal["relative", "gatys", "coursera", "cs231n", "johnson"]
VGGName = Literal["vgg19-caffe", "vgg19", "vgg16"]
PoolingName = Literal["max", "avg"]
Layers = Mapping[str, float] | Sequence[tuple[str, float]]
Weight = Annotated[float, number(0)]
LayerWeights = Annotated[
    dict[str, float],
    Kind(
        "layers with weights of 0 or more, such as {relu2_1: 1.0, relu4_1/4: 0.5}",
        dict,
        lambda value: all(layer().fits(item) for item in value.items()),
    ),
]


@dataclass(frozen=True)
class LossSettings(Settings):
    """Which network judges, and by which formulas."""

    statistic: StatisticName = option(
        "gram",
        "style statistic; docs/statistics.md shows them",
        one_of(get_args(StatisticName)),
        "NAME",
        tag="{}",
    )
    preset: PresetName = option(
        "relative",
        "formulas, layers and weights of gatys, coursera, cs231n or johnson",
        one_of(get_args(PresetName)),
        "NAME",
        tag="{}",
    )
    vgg: VGGName = option(
        "vgg19-caffe",
        "network that judges: vgg19-caffe, vgg19 or vgg16",
        one_of(get_args(VGGName)),
        "NAME",
        tag="{}",
    )
    pooling: PoolingName = option("max", "max or avg", one_of(get_args(PoolingName)), "NAME")


@dataclass(frozen=True)
class WeightSettings(Settings):
    """What the objective weighs."""

    style_weight: float | None = option(
        None, "more painting, less photo; by default the preset's, 3 for relative", number(0), "W", tag="sw{}"
    )
    content_weight: float | None = option(
        None, "more photo; by default the preset's, 1 for relative", number(0), "W", tag="cw{}"
    )
    tv_weight: float | None = option(
        None, "more gives smoother areas; by default the preset's, 1 for relative", number(0), "W", tag="tv{}"
    )
    content_layers: Layers | None = option(
        None,
        "by default the preset's, relu4_1=1 relu2_1=0.1 for relative",
        layer(),
        "LAYER[=W]",
        many=True,
        tag="content-{}",
    )
    style_layers: Layers | None = option(
        None,
        "such as relu1_1 relu3_1=2 relu4_1/2, which is of the image at half size",
        layer(),
        "LAYER[=W]",
        many=True,
        tag="style-{}",
    )
