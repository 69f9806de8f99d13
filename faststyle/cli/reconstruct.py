"""``faststyle reconstruct``: the figure of what each layer of VGG keeps."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import check_overwriting, input_option, output_option
from faststyle.cli.optimize_options import PAINTINGS
from faststyle.errors import InputError, one_line
from faststyle.image.settings import FileSettings
from faststyle.optimization.settings import ReconstructionSettings
from faststyle.options import Settings, group, option


@dataclass(frozen=True)
class Options(Settings):
    """Draw what each layer of VGG keeps of a photo's content and of a painting's style."""

    inputs: tuple[Path, ...] = input_option("a photo")
    style: Path = option(None, "a painting, or mosaic", PAINTINGS, "PAINTING", required=True)
    output: Path = output_option("image file of the figure", required=True)
    file: FileSettings = group(FileSettings)
    settings: ReconstructionSettings = group(ReconstructionSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.inputs) > 1:
            raise InputError("a reconstruction takes one photo")


def run(options: Options) -> int:
    """Write the figure; no input fails."""
    from faststyle.device import keep_freed_memory
    from faststyle.files import check_writable
    from faststyle.image.convert import scale_to
    from faststyle.image.files import check_output, check_size, open_image, save_image
    from faststyle.image.mosaic import open_style
    from faststyle.losses.presets import FIVE
    from faststyle.optimization.reconstruct import figure_size, reconstruct

    keep_freed_memory()
    check_output(options.output)
    check_overwriting([options.output], [*options.inputs, options.style])
    check_writable(options.output)
    photo, painting = open_image(options.inputs[0]), open_style(options.style)
    width, height = scale_to(photo, options.settings.size).size
    check_size(options.output, *figure_size(len(FIVE) + 1, width, height))
    figure = reconstruct(photo, painting, **options.settings.changed())
    save_image(figure, options.output, options.file.quality)
    print(one_line(options.output))
    return 0
