"""Options of stylizing with a model."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from faststyle.options import DeviceSettings, Settings, number, one_of, option, whole

EngineName = Literal["auto", "torch", "compile", "openvino", "onnx"]
StrokeScale = float | Literal["auto"]
MAX_STROKE_SCALE = 16.0
MAX_RANKS = 1024  # on one machine, and machines


@dataclass(frozen=True)
class EngineSettings(DeviceSettings):
    """What runs the network."""

    engine: EngineName = option(
        "auto",
        "torch, compile, openvino or onnx; auto is openvino on a CPU where it is installed, else torch",
        one_of(get_args(EngineName)),
        "ENGINE",
        tag="",
    )


@dataclass(frozen=True)
class LookSettings(Settings):
    """How images and videos look."""

    strength: float = option(1.0, "blend: 0 is the photo, 1 all style", number(0, 1), "0…1", tag="s{}")
    preserve_color: bool = option(False, "keep the photo's colours", tag="color")
    max_size: int | None = option(
        None, "shrink images and videos whose longer side has more", whole(16), "PIXELS", tag="max{}"
    )


@dataclass(frozen=True)
class StylizeSettings(LookSettings):
    """How images are stylized."""

    stroke_scale: StrokeScale = option(
        "auto",
        "strokes so many times as large, 1 for the network's own; auto keeps their size relative to the "
        "image above 640 pixels",
        number(1, MAX_STROKE_SCALE, auto=True),
        "1…16",
        tag="strokes{}",
    )
    tile: int | None = option(
        None,
        "stylize in tiles of so many pixels a side; by default only images larger than memory, in tiles of "
        "1024 or less",
        whole(16),
        "PIXELS",
    )


@dataclass(frozen=True)
class VideoSettings(LookSettings):
    """How videos are stylized."""

    motion_blend: float = option(
        0.0,
        "share of each frame taken from the one before, along the motion: less flicker; needs OpenCV",
        number(0, 1, below=True),
        "0…0.99",
        tag="motion{}",
    )

    @property
    def for_frames(self) -> dict[str, Any]:
        """Keyword arguments of ``Stylizer.video`` for frames that have their final size."""
        return {name: value for name, value in vars(self).items() if name != "max_size"}


@dataclass(frozen=True)
class RankSettings(Settings):
    """Large collections on several devices."""

    devices: int | None = option(
        None,
        "for a large collection: number of processes, each with a GPU, or with its part of the CPU (--device "
        "cpu); -o names a folder, and the same command continues a run that was interrupted",
        whole(1, MAX_RANKS),
        "N",
    )
    num_nodes: int = option(1, "number of machines, with --devices", whole(1, MAX_RANKS), "N")
