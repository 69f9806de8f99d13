"""``faststyle export``: a model for other runtimes."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import MODEL
from faststyle.errors import InputError
from faststyle.options import Settings, option, path


@dataclass(frozen=True)
class Options(Settings):
    """Write a model for other runtimes, as ONNX or as torch.export's archive."""

    checkpoint: str | None = option(None, "a built-in style's name or a model's file", MODEL, "MODEL")
    output: Path | None = option(None, "the file: .onnx, or .pt2 for torch.export's archive", path(), "FILE")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint is None or self.output is None:
            raise InputError("an export needs `checkpoint` MODEL and `output` FILE")


def run(options: Options) -> int:
    """Export the model, and print how near its images are; nothing fails."""
    from faststyle.inference.export import export

    assert options.checkpoint is not None and options.output is not None
    print(export(options.checkpoint, options.output))
    return 0
