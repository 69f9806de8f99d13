"""The masks of ``faststyle stylize --mask``: images, folders of images by the photos' names, or videos."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from tqdm import tqdm

from faststyle.cli.inputs import Job
from faststyle.errors import InputError, one_line
from faststyle.files import resolve_links
from faststyle.image.files import open_image
from faststyle.image.formats import is_image
from faststyle.image.masks import describe_stretching, fit_mask, is_black
from faststyle.video.clips import Clip
from faststyle.video.opening import is_clip, is_pattern, open_clip
from faststyle.video.stills import numbered_files

if TYPE_CHECKING:
    from faststyle.cli.stylize import Options


def find_mask(path: Path, job: Job) -> Path:
    """Return the file of a mask for an image or video.

    Args:
        path: The mask, or a folder of masks by the names of their images, in the same subfolders.
        job: The image or video.

    Raises:
        InputError: There is none.
    """
    if not path.is_dir():
        return path
    subfolder = job.target.parent.relative_to(job.folder) if job.folder else Path()
    for folder in dict.fromkeys([path / subfolder, path]):
        exact = folder / job.source.name
        same = sorted(folder.glob("*")) if folder.is_dir() else []
        for file in [exact, *(one for one in same if one.stem == job.source.stem)]:
            if file.is_file() and (is_image(file) or is_clip(file)):
                return file
    wanted = path / subfolder / f"{job.source.stem}.png"
    raise InputError(f"there is no mask {wanted} for {job.source}: add one", file=job.source)


def files_of_masks(masks: Iterable[Path], jobs: Iterable[Job]) -> list[Path]:
    """Return all files that the masks of some jobs are read from."""
    found: list[Path] = []
    for mask in masks:
        if is_pattern(mask):
            found += [mask, *numbered_files(mask)[0]]
            continue
        for job in jobs:
            try:
                found.append(find_mask(mask, job))
            except InputError:  # reported in its turn
                continue
    return found


def without_masks(jobs: list[Job], options: "Options") -> list[Job]:
    """Return the jobs without masks, which can lie in a folder of inputs."""
    masks = [resolve_links(mask) for mask in options.mask or ()]
    return [
        job
        for job in jobs
        if job.source in options.inputs
        or not any(resolve_links(job.source).is_relative_to(mask) for mask in masks)
    ]


def mask_of_image(path: Path, job: Job, size: tuple[int, int]) -> Image.Image:
    """Return a mask for an image.

    Args:
        path: The mask, or a folder of masks.
        job: The image.
        size: Width and height of the image.

    Raises:
        InputError: There is none, or it is no image.
    """
    file = find_mask(path, job)
    mask = open_image(file)
    report(mask, file, size)
    return mask


def masks_of_clip(path: Path, job: Job, clip: Clip, options: "Options") -> Iterable[Image.Image]:
    """Return the masks for the frames of a video: one image for all of them, or a video's frames.

    Args:
        path: The mask, or a folder of masks.
        job: The video.
        clip: The video, opened.
        options: The command's options; a mask video starts and ends as the video does.

    Raises:
        InputError: There is none, or it is neither an image nor a video.
    """
    file = find_mask(path, job)
    if is_clip(file):
        return frames_of_mask(file, clip, options)
    mask = open_image(file)
    report(mask, file, (clip.width, clip.height))
    return [mask]


def frames_of_mask(path: Path, clip: Clip, options: "Options") -> Iterator[Image.Image]:
    """Yield the frames of a mask video as images, at the rate of the video."""
    with open_clip(path, **vars(options.clip)) as masks:
        if clip.rate and masks.rate and masks.rate != clip.rate:
            masks.resample(clip.rate)
        for frame in masks:
            yield Image.fromarray(frame.pixels)
    if masks.damage:
        tqdm.write(one_line(f"warning: {masks.damage}: the last mask is kept"), file=sys.stderr)


def report(mask: Image.Image, path: Path, size: tuple[int, int]) -> None:
    """Print what is unusual about a mask, above the progress bars."""
    notes = [describe_stretching(mask, size)]
    if is_black(fit_mask(mask, mask.size)):
        notes.append("black all over, so that nothing changes: its white part counts")
    for note in filter(None, notes):
        tqdm.write(one_line(f"{path}: {note}"), file=sys.stderr)
