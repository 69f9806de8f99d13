"""What ``python infer.py`` is to do: each input with the file to write, checked before the work."""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from faststyle.cli.video_options import CLIPS
from faststyle.console import error_line
from faststyle.errors import InputError
from faststyle.files import check_inside, real

PICTURES = ("tile", "stroke_scale", "quality")  # flags that only pictures have


class Job(NamedTuple):
    """What is read, and what is written; ``folder`` is the one that -o names, which no result shall leave."""

    source: Path
    target: Path
    clip: bool = False
    folder: Path | None = None


def pictures_in(folder: Path) -> list[Path]:
    """The folder's pictures.

    Raises:
        InputError: there are none.
    """
    from faststyle.image.files import find_images

    found = find_images(folder)
    if not found:
        raise InputError(f"there are no pictures in {folder}")
    return found


def find_clips(folder: Path) -> set[Path]:
    """The folder's clips, its subfolders' too; hidden files are left out."""
    from faststyle.files import find_files
    from faststyle.video.opening import is_clip

    return set(find_files(folder, is_clip))


def names_clip(path: Path) -> bool:
    """Whether an output is a clip: a video file, a GIF, or a pattern of frames."""
    from faststyle.video.opening import is_pattern
    from faststyle.video.recorder import FORMATS

    return not path.is_dir() and (path.suffix.lower() in FORMATS or is_pattern(path))


def suffix(path: Path, clip: bool) -> str:
    """The source's own suffix where it can be written."""
    from faststyle.image.files import FORMATS as PICTURES
    from faststyle.video.opening import is_pattern
    from faststyle.video.recorder import FORMATS as VIDEOS

    video = clip and not is_pattern(path)
    own = path.suffix.lower() in (VIDEOS if video else PICTURES)
    return path.suffix if own else ".mp4" if video else ".png"


def plan(inputs: list[Path], output: Path | None, model: str, clips: bool = True) -> list[Job]:
    """Pair each picture and clip with the file to write; folders' subfolders are mirrored.

    Args:
        inputs: files, folders, and patterns of frames.
        output: a file for one of them, else a folder; None for files beside the inputs.
        model: what goes into the names then.
        clips: whether the clips in folders are taken too.

    Raises:
        InputError: a missing input, an empty folder, a target that is an input, or two that meet.
    """
    from faststyle.files import check_ordinary
    from faststyle.image.files import FORMATS, check_output, find_images
    from faststyle.video.opening import is_clip, is_pattern

    one = len(inputs) == 1
    if one and output is not None and inputs[0].is_dir() and names_clip(output) and clips:
        return checked([Job(inputs[0], output, True)])
    alone = one and not inputs[0].is_dir()
    if output is not None and not alone:
        named = not output.is_dir() and (output.suffix.lower() in FORMATS or names_clip(output))
        if named or output.is_file():
            raise InputError(f"-o {output} names one file: for several give a folder")
    jobs = []
    for path in inputs:
        clip = not path.is_dir() and is_clip(path)
        if path.is_dir():
            films = find_clips(path)
            found = sorted({*find_images(path), *films} if clips else {*find_images(path)} - films)
            if not found:
                raise InputError(f"there are no pictures{' or clips' * clips} in {path}")
            folder = output or real(path).with_name(f"{real(path).name}_{model}")
            for file in found:
                place = file.relative_to(path)
                target = folder / place.with_suffix(suffix(place, file in films))
                jobs.append(Job(file, target, file in films, folder))
        elif not path.exists() and not is_pattern(path):
            raise InputError(f"there is no file or folder {path}")
        elif path.exists() and not path.is_file():
            check_ordinary(path, str(path))
        elif output is None and not path.exists():  # frames: a folder of them beside theirs
            folder = real(path.parent)
            folder = folder.with_name(f"{folder.name}_{model}")
            jobs.append(Job(path, folder / f"{path.stem}{suffix(path, clip)}", clip))
        elif output is None:
            jobs.append(Job(path, path.with_name(f"{path.stem}_{model}{suffix(path, clip)}"), clip))
        elif alone and output.suffix and not output.is_dir():
            if not clip:
                check_output(output)
            jobs.append(Job(path, output, clip))
        else:
            jobs.append(Job(path, output / f"{path.stem}{suffix(path, clip)}", clip, output))
    return checked(jobs)


def checked(jobs: list[Job]) -> list[Job]:
    """The jobs, where none writes over an input or over what another writes."""
    from faststyle.video.opening import is_pattern, numbered
    from faststyle.video.recorder import part_of
    from faststyle.video.stills import numbered_files

    originals: set[Path] = set()
    for source, target, _, _ in jobs:
        if source.is_file():
            originals.add(real(source))
            continue
        frames, numbers = numbered_files(source)
        originals |= {real(frame) for frame in frames}
        written = (numbers or range(1, len(frames) + 1)) if is_pattern(target) else ()
        if originals & {real(numbered(target, number)) for number in written}:
            raise InputError(f"{target} would overwrite an input: give another -o")
    targets: dict[Path, Path] = {}
    for source, target, clip, _ in jobs:
        if real(target) in originals or (clip and real(part_of(target)) in originals):
            raise InputError(f"{target} would overwrite an input: give another -o")
        other = targets.setdefault(real(target), source)
        if other != source:
            raise InputError(f"{other} and {source} would both be written to {target}: run them apart")
    return jobs


def inside(jobs: list[Job]) -> list[Job]:
    """The jobs, less those whose results would leave their folder by a link, which is said of each."""
    kept = []
    for job in jobs:
        try:
            if job.folder is not None:
                check_inside(job.target, job.folder)
            kept.append(job)
        except InputError as error:
            print(f"error: {error_line(error)}", file=sys.stderr)
    return kept


def check_kinds(jobs: list[Job], arguments: argparse.Namespace) -> None:
    """Refuse flags that none of the inputs has a use for, and ways to stylize that clips do not have.

    Raises:
        InputError: such a flag was typed.
    """
    from faststyle.cli.options import Usual

    clips = [job.source for job in jobs if job.clip]
    if not clips:
        for name in sorted(CLIPS):
            if hasattr(arguments, name):
                raise InputError(
                    f"--{name.replace('_', '-')} is for clips, and there is none among the inputs"
                )
        return
    if hasattr(arguments, "refine"):
        raise InputError(
            f"{clips[0]} is a clip, and frames that are refined one by one flicker: leave out --refine, "
            "or give single frames as images"
        )
    if arguments.style:
        raise InputError(
            f"{clips[0]} is a clip, and --style optimizes pictures one by one: give --checkpoint MODEL, such "
            "as starry_night, or one that train.py makes of your painting"
        )
    if arguments.checkpoint == "all":
        raise InputError(
            f"{clips[0]} is a clip, and --checkpoint all is a sheet of one picture: give one style, such as "
            "--checkpoint starry_night"
        )
    if len(clips) < len(jobs):
        return
    for name in PICTURES:
        if not isinstance(getattr(arguments, name, Usual()), Usual):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is for pictures, and there are only clips among the inputs")
