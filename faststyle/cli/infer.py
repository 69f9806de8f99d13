"""``python infer.py``: stylize pictures and folders, with a trained model or by the slow baseline."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from faststyle.cli import one_line_errors
from faststyle.cli.flags import parse
from faststyle.errors import InputError

# torch and the rooms on it are imported when there is work: --help answers at once.
if TYPE_CHECKING:
    from faststyle.sheet import AllStyles
    from faststyle.stylizer import Stylizer


class Job(NamedTuple):
    source: Path
    target: Path


def pictures_in(folder: Path) -> list[Path]:
    """The folder's pictures.

    Raises:
        InputError: there are none.
    """
    from faststyle.images import find_images

    found = find_images(folder)
    if not found:
        raise InputError(f"there are no pictures in {folder}")
    return found


def plan(inputs: list[Path], output: Path | None, model: str) -> list[Job]:
    """Pair each picture with the file to write; folders' subfolders are mirrored.

    Raises:
        InputError: a missing input, an empty folder, a target that is an input, or two that meet.
    """
    from faststyle.images import FORMATS, check_output

    def suffix(picture: Path) -> str:
        return picture.suffix if picture.suffix.lower() in FORMATS else ".png"

    alone = len(inputs) == 1 and not inputs[0].is_dir()
    named_as_picture = output is not None and not output.is_dir() and output.suffix.lower() in FORMATS
    if output is not None and not alone and (output.is_file() or named_as_picture):
        raise InputError(f"-o {output} names one picture: for several give a folder")
    jobs = []
    for path in inputs:
        if path.is_dir():
            found = pictures_in(path)
            folder = output or path.resolve().with_name(f"{path.resolve().name}_{model}")
            for picture in found:
                place = picture.relative_to(path)
                jobs.append(Job(picture, folder / place.with_suffix(suffix(place))))
        elif not path.exists():
            raise InputError(f"there is no file or folder {path}")
        elif output is None:
            jobs.append(Job(path, path.with_name(f"{path.stem}_{model}{suffix(path)}")))
        elif alone and output.suffix and not output.is_dir():
            check_output(output)
            jobs.append(Job(path, output))
        else:
            jobs.append(Job(path, output / f"{path.stem}{suffix(path)}"))

    originals = {job.source.resolve() for job in jobs}
    targets: dict[Path, Path] = {}
    for source, target in jobs:
        if target.resolve() in originals:
            raise InputError(f"{target} would overwrite an input: give another -o")
        other = targets.setdefault(target.resolve(), source)
        if other != source:
            raise InputError(f"{other} and {source} would both be written to {target}: run them apart")
    return jobs


def stylize_one(
    stylize: "Stylizer | AllStyles", source: Path, target: Path, arguments: argparse.Namespace
) -> None:
    """Stylize one picture: whole, by tiles, or by tiles from file to file."""
    from faststyle import strips
    from faststyle.images import fit, open_image, save_image
    from faststyle.stylizer import Stylizer
    from faststyle.tiles import TILE

    max_size, tile = getattr(arguments, "max_size", None), getattr(arguments, "tile", None)
    options = (getattr(arguments, "strength", 1.0), arguments.preserve_color)
    scale = getattr(arguments, "stroke_scale", 1.0)
    if not isinstance(stylize, Stylizer):
        picture = stylize(open_image(source), *options, max_size, stroke_scale=scale)
        save_image(picture, target, arguments.quality)
    elif max_size is None and scale == 1 and strips.pixels_of(source) >= strips.LEAST:
        with strips.stylized(source, target, arguments.quality) as (photo, out):
            height, width, _ = photo.shape
            tile = tile or say_tile(stylize, width, height) or TILE
            stylize.stylize_pixels(photo[..., :3], out[..., :3], *options, tile)
    else:
        picture = fit(open_image(source), max_size)
        tile = tile or say_tile(stylize, *(round(side / scale) for side in picture.size))
        save_image(stylize(picture, *options, tile=tile, stroke_scale=scale), target, arguments.quality)


def say_tile(stylize: "Stylizer", width: int, height: int) -> int | None:
    """The tile that a picture of this size needs, said on stderr; None where it fits into memory."""
    tile = stylize.tile_for(width, height)
    if tile:
        print(
            f"{width}x{height} pixels are too many to stylize whole: in tiles of {tile}",
            file=sys.stderr,
        )
    return tile


def stylize_all(stylize: "Stylizer | AllStyles", jobs: list[Job], arguments: argparse.Namespace) -> int:
    """Stylize each picture, going on past those that cannot be read; the number of these."""
    from tqdm import tqdm

    from faststyle.device import keep_freed_memory
    from faststyle.images import check_place

    keep_freed_memory()
    for target in {job.target.parent: job.target for job in jobs}.values():
        check_place(target)
    failures = 0
    bar = tqdm(jobs, unit="picture", disable=len(jobs) == 1)
    for source, target in bar:
        try:
            stylize_one(stylize, source, target, arguments)
        except (InputError, OSError) as error:
            failures += 1
            bar.write(f"error: {error}", file=sys.stderr)
    return failures


def machine(arguments: argparse.Namespace) -> tuple[str, str, str]:
    return arguments.device, arguments.precision, getattr(arguments, "engine", "auto")


def stylize(arguments: argparse.Namespace) -> int:
    """Write a stylization of each picture, and say where; the number of those that failed."""
    from faststyle.models import label

    if arguments.checkpoint:
        name = label(arguments.checkpoint)
    else:
        name = "+".join(Path(style).stem for style in arguments.style)
    jobs = plan(arguments.inputs, arguments.output, name)
    if arguments.checkpoint == "all":
        from faststyle.sheet import AllStyles

        failures = stylize_all(AllStyles(*machine(arguments)), jobs, arguments)
    elif arguments.checkpoint:
        from faststyle.stylizer import Stylizer

        model = Stylizer.load(arguments.checkpoint, *machine(arguments))
        failures = stylize_all(model, jobs, arguments)
        if failures < len(jobs):  # where nothing was done, an error is all that there is to say
            print(f"engine: {model}", file=sys.stderr)
    else:
        from faststyle.cli.slow import optimize_all

        failures = optimize_all(arguments, jobs)
    if len(jobs) == 1 and not failures:
        print(jobs[0].target)
    elif len(jobs) > 1:
        where = arguments.output or f"beside the inputs, such as {jobs[-1].target}"
        print(f"{len(jobs) - failures} of {len(jobs)} pictures stylized: {where}")
    return failures


def set_side_by_side(arguments: argparse.Namespace) -> int:
    """Write the report on fast and slow, and say what it found; the number of photos that failed."""
    from faststyle.compare import compare
    from faststyle.device import keep_freed_memory
    from faststyle.images import check_place

    keep_freed_memory()
    photos: list[Path] = []
    for path in arguments.inputs:
        photos += pictures_in(path) if path.is_dir() else [path]
    check_place(arguments.compare / "report.html")
    options = {name: getattr(arguments, name) for name in ("sizes", "steps") if hasattr(arguments, name)}
    report = compare(
        photos,
        arguments.checkpoint,
        arguments.style[0],
        arguments.compare,
        device=arguments.device,
        precision=arguments.precision,
        **options,
    )
    for line in report.summary():
        print(line)
    if report.comparisons:
        print(arguments.compare / "report.html")
    return len(report.skipped)


def publish(arguments: argparse.Namespace) -> int:
    """Push the model to the Hub, and say where it is."""
    from faststyle.stylizer import Stylizer

    print(Stylizer.load(arguments.checkpoint, "cpu", engine="torch").push_to_hub(arguments.push_to_hub))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the model for other runtimes, and say how near their pictures are."""
    from faststyle.export import export

    print(export(arguments.checkpoint, arguments.export))
    return 0


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    with one_line_errors():
        if hasattr(arguments, "push_to_hub"):
            failures = publish(arguments)
        elif hasattr(arguments, "export"):
            failures = export(arguments)
        elif arguments.compare:
            failures = set_side_by_side(arguments)
        elif hasattr(arguments, "reconstruct"):
            from faststyle.cli.slow import draw_reconstructions

            failures = draw_reconstructions(arguments)
        else:
            failures = stylize(arguments)
    if failures:
        sys.exit(2)
