"""``faststyle export``: a model for other runtimes."""

import re
from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import model_option
from faststyle.options import Kind, Settings, option, path

MIN_SIDE, MAX_SIDE = 32, 4096  # pixels; a file of a fixed size holds constants of that size


def read_size(word: str) -> tuple[int, int]:
    """Convert 1024x768 to the width and the height."""
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", word)
    if match is None:
        raise ValueError
    return int(match[1]), int(match[2])


SIZE = Kind(
    f"WIDTHxHEIGHT in pixels, such as 1024x768, from {MIN_SIDE} to {MAX_SIDE} a side",
    read_size,
    lambda size: len(size) == 2 and all(MIN_SIDE <= side <= MAX_SIDE for side in size),
)


@dataclass(frozen=True)
class Options(Settings):
    """Write a model for other runtimes, as ONNX or as torch.export's archive, or keep a painting's model."""

    checkpoint: str = model_option()
    output: Path = option(
        None,
        "the file: .onnx, .pt2 for torch.export's archive, or .safetensors to keep a painting's or a blend's "
        "model",
        path(),
        "FILE",
        required=True,
    )
    export_size: tuple[int, int] | None = option(
        None, "the only size of images that the file takes, as OpenCV and Core ML need it", SIZE, "WxH"
    )


def run(options: Options) -> int:
    """Export the model, and print how near its images are; nothing fails."""
    from faststyle.inference.export import export

    print(export(options.checkpoint, options.output, options.export_size))
    return 0
