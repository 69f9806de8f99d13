"""``python infer.py``: stylize pictures and folders with a trained model."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from faststyle.cli import fail, one_line_errors
from faststyle.errors import InputError

# torch and the rooms on it are imported when there is work: --help answers at once.
if TYPE_CHECKING:
    from faststyle.stylizer import Stylizer


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(f"{message} (python infer.py --help lists what there is)")


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number from ``low`` to ``high``, as an argparse type."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            allowed = f"{low} or more" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
        return value

    parse.__name__ = "whole number"
    return parse


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="infer.py",
        description="Stylize pictures with a trained model.",
        epilog="example: python infer.py photo.jpg --checkpoint runs/mosaic/mosaic.safetensors -o out.jpg",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="PICTURE", help="picture files, or folders of them"
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="MODEL",
        help="model file: .safetensors or .ckpt, or pytorch/examples'",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="file for one picture, else a folder; without it NAME_MODEL beside each input",
    )
    parser.add_argument(
        "--max-size", type=whole(16), metavar="PIXELS", help="shrink pictures whose longer side has more"
    )
    parser.add_argument(
        "--strength",
        type=fraction,
        default=1.0,
        metavar="0…1",
        help="blend: 0 is the photo, 1 all style (default 1)",
    )
    parser.add_argument("--preserve-color", action="store_true", help="keep the photo's colours")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, … (default auto)")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["auto", "fp32", "bf16", "fp16"],
        help="default auto: bf16 where it is fast",
    )
    parser.add_argument(
        "--quality", type=whole(1, 100), default=92, metavar="1…100", help="of JPEG and WebP (default 92)"
    )
    return parser


class Job(NamedTuple):
    source: Path
    target: Path


def plan(inputs: list[Path], output: Path | None, model: str) -> list[Job]:
    """Pair each picture with the file to write; folders' subfolders are mirrored.

    Raises:
        InputError: a missing input, an empty folder, a target that is an input, or two that meet.
    """
    from faststyle.images import FORMATS, check_output, find_images

    def suffix(picture: Path) -> str:
        return picture.suffix if picture.suffix.lower() in FORMATS else ".png"

    alone = len(inputs) == 1 and not inputs[0].is_dir()
    named_as_picture = output is not None and not output.is_dir() and output.suffix.lower() in FORMATS
    if output is not None and not alone and (output.is_file() or named_as_picture):
        raise InputError(f"-o {output} names one picture: for several give a folder")
    jobs = []
    for path in inputs:
        if path.is_dir():
            found = find_images(path)
            if not found:
                raise InputError(f"there are no pictures in {path}")
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


def stylize_all(stylize: "Stylizer", jobs: list[Job], arguments: argparse.Namespace) -> int:
    """Stylize each picture, going on past those that cannot be read; the number of these."""
    from tqdm import tqdm

    from faststyle.images import open_image, save_image

    failures = 0
    bar = tqdm(jobs, unit="picture", disable=len(jobs) == 1)
    for source, target in bar:
        try:
            picture = stylize(
                open_image(source), arguments.strength, arguments.preserve_color, arguments.max_size
            )
            save_image(picture, target, arguments.quality)
        except (InputError, OSError) as error:
            failures += 1
            bar.write(f"error: {error}", file=sys.stderr)
    return failures


def main(argv: list[str] | None = None) -> None:
    arguments = build_parser().parse_args(argv)
    with one_line_errors():
        jobs = plan(arguments.inputs, arguments.output, Path(arguments.checkpoint).stem)
        from faststyle.stylizer import Stylizer

        stylize = Stylizer.load(arguments.checkpoint, arguments.device, arguments.precision)
        failures = stylize_all(stylize, jobs, arguments)
    if len(jobs) == 1 and not failures:
        print(jobs[0].target)
    elif len(jobs) > 1:
        where = arguments.output or f"beside the inputs, such as {jobs[-1].target}"
        print(f"{len(jobs) - failures} of {len(jobs)} pictures stylized: {where}")
    if failures:
        sys.exit(2)
