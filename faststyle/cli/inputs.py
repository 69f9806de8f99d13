"""Inputs of the commands: each image and video with the file to write, checked before the work."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from faststyle.cli.folders import no_images, read_folder, report_left_out
from faststyle.errors import InputError
from faststyle.files import check_writable, resolve_links, shorten_name
from faststyle.options import option, path, text

IMAGES = path("an image, a video, or a folder of them")
OUTPUT = path("a file's or a folder's name")
MODEL = text(
    "a built-in style's name, a model's file, a painting's file, hf://USER/REPO, or a blend of these"
)

PIPE = Path("-")  # standard input or output


def input_option(help: str, required: bool = True) -> Any:
    """Make the field for a command's input files and folders."""
    return option((), help, IMAGES, "FILE", many=True, positional=True, required=required, tag="")


def output_option(help: str, required: bool = False) -> Any:
    """Make the field for the file or folder that a command writes."""
    return option(None, help, OUTPUT, "PATH", required=required, tag="")


def model_option(help: str = "a built-in style's name, a model's file or a painting") -> Any:
    """Make the field for the one model that a command needs."""
    return option(None, help, MODEL, "MODEL", required=True)


def verbose_option() -> Any:
    """Make the field for whether a command prints what computes."""
    return option(False, "print the engine, the precision and the device too", tag="")


class Job(NamedTuple):
    """One input and the file to write.

    Attributes:
        source: An image, a video, or a pattern of frames.
        target: The file to write.
        video: The source is a video.
        folder: The folder of results, which none may leave; None for a file of its own.
    """

    source: Path
    target: Path
    video: bool = False
    folder: Path | None = None


def names_video(path: Path) -> bool:
    """Return True where an output names a video file, a GIF, or a pattern of frames."""
    from faststyle.video.opening import is_pattern
    from faststyle.video.recorder import FORMATS

    return not path.is_dir() and (path.suffix.lower() in FORMATS or is_pattern(path))


def result_name(path: Path, video: bool) -> str:
    """Return the name of a source's result in another folder. An unknown suffix stays a part of it."""
    return result_stem(path) + output_suffix(path, video)


def result_stem(path: Path) -> str:
    """Return a file's name without its suffix. If the suffix is unknown, return the whole name, shortened."""
    from faststyle.image.formats import READABLE_SUFFIXES
    from faststyle.video.opening import SUFFIXES

    return path.stem if path.suffix.lower() in READABLE_SUFFIXES | SUFFIXES else shorten_name(path.name)


def output_suffix(path: Path, video: bool) -> str:
    """Return the source's own suffix where that format can be written, else .mp4 or .png."""
    from faststyle.image.files import FORMATS as IMAGES
    from faststyle.video.opening import is_pattern
    from faststyle.video.recorder import FORMATS as VIDEOS

    as_video = video and not is_pattern(path)
    own = path.suffix.lower() in (VIDEOS if as_video else IMAGES)
    return path.suffix if own else ".mp4" if as_video else ".png"


def plan(
    inputs: tuple[Path, ...], output: Path | None, name: str, images_only: str | None = None
) -> list[Job]:
    """Pair each image and video with the file to write; subfolders are mirrored.

    Args:
        inputs: Files, folders, and patterns of frames.
        output: File for a single input, else a folder; None for files beside the inputs.
        name: Name of the model or painting and of the settings, for the files' names beside the inputs.
        images_only: What takes only images, such as "--refine"; videos in folders are then left out, which is
            reported.

    Raises:
        InputError: A missing input, an empty folder, a target that is an input, or two equal targets.
    """
    single = len(inputs) == 1
    if single and output is not None and inputs[0].is_dir() and names_video(output) and images_only is None:
        return check_targets([Job(inputs[0], output, True)])
    if output is not None and not (single and not inputs[0].is_dir()):
        check_folder(output)
    jobs: list[Job] = []
    for source in inputs:
        if source.is_dir():
            jobs += plan_folder(source, output, name, images_only)
        else:
            jobs.append(plan_file(source, output, name, single, images_only))
    return check_targets(jobs)


def check_folder(output: Path) -> None:
    """Refuse a file's name as the place for several results.

    Raises:
        InputError: It names a file.
    """
    from faststyle.image.files import FORMATS

    named = not output.is_dir() and (output.suffix.lower() in FORMATS or names_video(output))
    if named or output.is_file():
        raise InputError(f"`output` {output} names one file: for several give a folder")


def plan_folder(path: Path, output: Path | None, name: str, images_only: str | None) -> list[Job]:
    """Pair each image and video of a folder with the file to write, as ``plan`` does.

    Raises:
        InputError: There are none.
    """
    images, videos, others = read_folder(path)
    kinds = "images" if images_only else "images or videos"
    found = images if images_only else sorted(images + videos)
    if not found:
        raise no_images([path], others + videos, kinds)
    report_left_out(path, others, kinds)
    if images_only and videos:
        print(f"{images_only} takes images: videos in {path} are left out ({len(videos)})", file=sys.stderr)
    in_folder = {*videos}
    folder = output or folder_beside(path, name)
    jobs = []
    for file in found:
        place = file.relative_to(path)
        target = folder / place.with_name(result_name(place, file in in_folder))
        jobs.append(Job(file, target, file in in_folder, folder))
    return jobs


def folder_beside(folder: Path, name: str) -> Path:
    """Return the folder of results beside a folder of inputs, where ``output`` names none."""
    folder = resolve_links(folder)
    return folder.with_name(shorten_name(f"{folder.name}_{name}"))


def plan_file(
    path: Path, output: Path | None, name: str, single: bool, images_only: str | None = None
) -> Job:
    """Pair one image, video or pattern of frames with the file to write, as ``plan`` does.

    Raises:
        InputError: There is no such file, no file of this format can be written, or videos are not taken.
    """
    from faststyle.files import check_not_special
    from faststyle.image.files import check_output
    from faststyle.video.opening import is_clip, is_pattern

    video = is_clip(path)
    if not path.exists() and not is_pattern(path):
        raise InputError(f"there is no file or folder {path}")
    if video and images_only:
        model = "one model, such as `checkpoint` starry_night"
        raise InputError(f"{path} is a video, and {images_only} takes images: stylize it by {model}")
    if path.exists() and not path.is_file():
        check_not_special(path, str(path))
    if output is None and not path.exists():  # a pattern of frames
        return Job(path, folder_beside(path.parent, name) / result_name(path, video), video)
    if output is None:
        stem = shorten_name(f"{result_stem(path)}_{name}")
        return Job(path, path.with_name(stem + output_suffix(path, video)), video)
    if single and output.suffix and not output.is_dir():
        if not video:
            check_output(output)
        return Job(path, output, video)
    return Job(path, output / result_name(path, video), video, output)


def check_targets(jobs: list[Job]) -> list[Job]:
    """Return the jobs where none writes over an input or over another's result.

    Raises:
        InputError: One does.
    """
    from faststyle.video.opening import is_pattern, numbered
    from faststyle.video.recorder import part_of
    from faststyle.video.stills import numbered_files

    originals: set[Path] = set()
    for source, target, _, _ in jobs:
        if source.is_file():
            originals.add(resolve_links(source))
            continue
        frames, numbers = numbered_files(source)
        originals |= {resolve_links(frame) for frame in frames}
        written = (numbers or range(1, len(frames) + 1)) if is_pattern(target) else ()
        if originals & {resolve_links(numbered(target, number)) for number in written}:
            raise InputError(f"{target} would overwrite an input: give another `output`")
    targets: dict[Path, Path] = {}
    for source, target, video, _ in jobs:
        if resolve_links(target) in originals or (video and resolve_links(part_of(target)) in originals):
            raise InputError(f"{target} would overwrite an input: give another `output`")
        other = targets.setdefault(resolve_links(target), source)
        if other != source:
            raise InputError(f"{other} and {source} would both be written to {target}: run them apart")
    return jobs


def check_overwriting(targets: list[Path], inputs: list[Path]) -> None:
    """Refuse to write over anything that is read.

    Raises:
        InputError: A target is an input.
    """
    read = {resolve_links(path) for path in inputs}
    for target in targets:
        if resolve_links(target) in read:
            raise InputError(f"{target} would overwrite an input: give another name")


def check_folders(jobs: list[Job]) -> None:
    """Check before the work that results can be written, and create their folders."""
    for folder, name in {job.folder or job.target.parent: job.target.name for job in jobs}.items():
        check_writable(folder / name)
