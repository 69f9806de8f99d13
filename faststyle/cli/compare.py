"""``faststyle compare``: a report on a model beside the per-image baseline."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.folders import images_in
from faststyle.cli.inputs import MODEL, input_option, output_option
from faststyle.cli.optimize_options import PAINTINGS
from faststyle.errors import InputError, one_line
from faststyle.optimization.settings import MAX_SIDE
from faststyle.options import DeviceSettings, Settings, group, option, whole


@dataclass(frozen=True)
class Options(Settings):
    """Write a report that compares a model with the per-image baseline."""

    inputs: tuple[Path, ...] = input_option("photos, or folders of them")
    checkpoint: str | None = option(
        None, "a built-in style's name, a model's file or a painting", MODEL, "MODEL"
    )
    style: tuple[Path, ...] | None = option(None, "the model's painting", PAINTINGS, "PAINTING", many=True)
    output: Path | None = output_option("folder of the report")
    sizes: tuple[int, ...] = option(
        (256, 512), "longer sides to compare at", whole(32, MAX_SIDE), "PIXELS", many=True
    )
    steps: int = option(500, "updates of the baseline", whole(1), "N")
    machine: DeviceSettings = group(DeviceSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.inputs:
            raise InputError("give a photo, or a folder of them")
        if self.checkpoint is None or len(self.style or ()) != 1:
            raise InputError("a comparison needs both `checkpoint` MODEL and one `style` PAINTING")
        if self.output is None:
            raise InputError("a comparison needs `output` FOLDER")


def run(options: Options) -> int:
    """Write the report and print its summary; return the number of photos that failed."""
    from faststyle.device import keep_freed_memory
    from faststyle.evaluation.compare import FILES, compare
    from faststyle.files import check_inside, check_writable

    keep_freed_memory()
    assert options.output is not None and options.checkpoint is not None and options.style is not None
    photos: list[Path] = []
    for path in options.inputs:
        photos += images_in(path) if path.is_dir() else [path]
    check_writable(options.output / "report.html")
    for name in FILES:
        check_inside(options.output / name, options.output)
    report = compare(
        photos,
        options.checkpoint,
        options.style[0],
        options.output,
        sizes=options.sizes,
        steps=options.steps,
        **vars(options.machine),
    )
    for line in report.summary():
        print(line)
    if report.comparisons:
        print(one_line(options.output / "report.html"))
    return len(report.skipped)
