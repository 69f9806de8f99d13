"""Options of ``faststyle optimize``."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import MODEL, input_option, output_option
from faststyle.errors import InputError
from faststyle.image.settings import FileSettings
from faststyle.optimization.settings import OptimizationSettings
from faststyle.options import Settings, group, option, path, text, whole

PAINTINGS = path("a painting's file, or mosaic")
MASKS = text("a mask's file, or all")


@dataclass(frozen=True)
class Options(Settings):
    """Stylize images without a model, by optimizing the pixels (Gatys et al. 2016)."""

    inputs: tuple[Path, ...] = input_option("images, or folders of them")
    style: tuple[Path, ...] = option(
        (),
        "painting, or several; mosaic is one that the package draws",
        PAINTINGS,
        "PAINTING",
        many=True,
        required=True,
        tag="",
    )
    output: Path | None = output_option(
        "file for one image, else a folder; by default NAME_STYLE beside each input"
    )
    file: FileSettings = group(FileSettings)
    mask: tuple[str, ...] | None = option(
        None, "for each painting, an image white where its style is wanted; or all", MASKS, "MASK", many=True
    )
    style_mask: tuple[str, ...] | None = option(
        None,
        "for each painting, an image white where its style is taken from; or all",
        MASKS,
        "MASK",
        many=True,
    )
    init_checkpoint: str | None = option(
        None, "start from a model's stylization: few steps then do", MODEL, "MODEL", tag="from-{}"
    )
    save_every: int | None = option(
        None, "also save every Nth step, in the folder NAME_steps", whole(1), "N", tag=""
    )
    animation: Path | None = option(
        None, "animation of the steps, .gif or .mp4, with a frame each --save-every", path(), "FILE", tag=""
    )
    settings: OptimizationSettings = group(OptimizationSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_checkpoint is not None and self.settings.init != "content":
            raise InputError("`init` and `init_checkpoint` are two starts: give one")
