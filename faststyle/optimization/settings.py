"""Options of the per-image baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from faststyle.losses.settings import LossSettings, WeightSettings
from faststyle.options import DeviceSettings, number, one_of, option, whole

OptimizerName = Literal["lbfgs", "adam"]
InitName = Literal["content", "noise", "content+noise"]
MAX_SIDE = 20_000  # pixels of the longer side, because larger images fit into no memory


@dataclass(frozen=True)
class DescentSettings(LossSettings, DeviceSettings):
    """Options of the gradient descent on an image's pixels."""

    size: int = option(512, "longer side of the result", whole(16, MAX_SIDE), "PIXELS")
    steps: int = option(300, "number of updates, more at the coarse sizes", whole(1), "N")
    scales: int | None = option(
        None,
        "number of sizes, coarse to fine, each twice the last; by default as many as start at 128 pixels",
        whole(1, 20),
        "N",
    )
    optimizer: OptimizerName = option(
        "lbfgs", "lbfgs or adam", one_of(get_args(OptimizerName)), "NAME", tag="{}"
    )
    learning_rate: float | None = option(
        None, "length of the updates; by default 1 with lbfgs, 0.02 with adam", number(0), "R", tag="rate{}"
    )
    average: float = option(
        0.0,
        "decay of the running mean of the steps that is the result, such as 0.99 with adam; 0 for no mean",
        number(0, 1, below=True),
        "D",
    )
    seed: int = option(0, "seed of the noise to start from", whole(0, 2**63 - 1), "N")


@dataclass(frozen=True)
class ReconstructionSettings(DescentSettings):
    """Options of the figure that shows what each layer of VGG keeps."""

    size: int = option(256, "longer side of each image", whole(16, MAX_SIDE), "PIXELS")
    steps: int = option(100, "number of updates of each image", whole(1), "N")


@dataclass(frozen=True)
class OptimizationSettings(WeightSettings, DescentSettings):
    """Options of the per-image baseline."""

    style_size: int | None = option(
        None,
        "longer side of the paintings, larger gives larger strokes; by default 3/4 of the result's",
        whole(16, MAX_SIDE),
        "PIXELS",
    )
    init: InitName = option(
        "content", "start from content, noise or content+noise", one_of(get_args(InitName)), "START", tag="{}"
    )
    blend: Sequence[float] | None = option(
        None, "weight of each of several paintings; by default equal", number(0), "W", many=True
    )
    preserve_color: bool = option(False, "keep the photo's colours", tag="color")
    match_color: bool = option(False, "recolour the paintings to the photo's colours first")
