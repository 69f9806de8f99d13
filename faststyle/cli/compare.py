"""``faststyle compare``: a report on a model beside the per-image baseline."""

from dataclasses import dataclass
from pathlib import Path

from faststyle.cli.inputs import input_option, model_option, output_option
from faststyle.cli.optimize_options import PAINTINGS
from faststyle.errors import one_line
from faststyle.optimization.settings import MAX_SIDE
from faststyle.options import DeviceSettings, Settings, group, option, whole


@dataclass(frozen=True)
class Options(Settings):
    """Write a report that compares a model with the per-image baseline."""

    inputs: tuple[Path, ...] = input_option("photos, or folders of them")
    checkpoint: str = model_option()
    style: Path = option(None, "the model's painting", PAINTINGS, "PAINTING", required=True)
    output: Path = output_option("folder of the report", required=True)
    sizes: tuple[int, ...] = option(
        (256, 512), "longer sides to compare at", whole(32, MAX_SIDE), "PIXELS", many=True
    )
    steps: int = option(500, "updates of the baseline", whole(1), "N")
    machine: DeviceSettings = group(DeviceSettings)


def run(options: Options) -> int:
    """Write the report and print its summary; return the number of photos that failed."""
    from faststyle.device import keep_freed_memory
    from faststyle.evaluation.compare import FILES, compare
    from faststyle.files import check_inside, check_writable
    from faststyle.image.files import find_images

    keep_freed_memory()
    photos: list[Path] = []
    for path in options.inputs:
        photos += find_images(path) if path.is_dir() else [path]
    check_writable(options.output / "report.html")
    for name in FILES:
        check_inside(options.output / name, options.output)
    report = compare(
        photos,
        options.checkpoint,
        options.style,
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
