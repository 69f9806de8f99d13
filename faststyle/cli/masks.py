"""The masks of ``faststyle stylize --mask``: images, folders of images by the photos' names, or videos."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from faststyle.cli.inputs import Job
from faststyle.cli.reports import log
from faststyle.cli.stylize_options import Options
from faststyle.errors import InputError
from faststyle.files import resolve_links
from faststyle.image.files import open_image
from faststyle.image.formats import is_image
from faststyle.image.masks import describe_stretching, fit_mask
from faststyle.video.clips import Clip
from faststyle.video.opening import is_clip, is_pattern, open_clip
from faststyle.video.stills import numbered_files


def find_mask(path: Path, job: Job) -> Path:
    """Return the file of a mask for an image or video.

    Args:
        path: The mask, or a folder of masks by the names of their images, in the same subfolders.
        job: The image or video.

    Raises:
        InputError: The folder has no mask for this input.
    """
    if not path.is_dir():
        return path
    folder = path / job.target.parent.relative_to(job.folder) if job.folder else path
    exact, stem = folder / job.source.name, job.source.stem
    for file in [exact] if exact.is_file() else sorted(folder.glob(f"{glob.escape(stem)}*")):
        if file.stem == stem and file.is_file() and (is_image(file) or is_clip(file)):
            return file
    wanted = folder / f"{stem}.png"
    raise InputError(f"there is no mask for {job.source}: add {wanted}", file=job.source)


def list_mask_files(masks: Iterable[Path], jobs: Iterable[Job]) -> list[Path]:
    """Return all files that the masks of some jobs are read from.

    Raises:
        InputError: A mask is missing. One that a folder lacks is reported when its image is stylized.
    """
    found: list[Path] = []
    for mask in masks:
        if is_pattern(mask):
            found += [mask, *numbered_files(mask)[0]]
        elif not mask.exists():
            raise InputError(f"there is no mask {mask}: check the path")
        elif mask.is_dir():
            found += [file for file in mask.rglob("*") if file.is_file()]
        else:
            found.append(mask)
    return found


def exclude_masks(jobs: list[Job], options: Options) -> list[Job]:
    """Return the jobs without masks, which can lie in a folder of inputs.

    Raises:
        InputError: Nothing is left.
    """
    masks = [resolve_links(mask) for mask in options.mask or ()]
    kept = [
        job
        for job in jobs
        if job.source in options.inputs
        or not any(resolve_links(job.source).is_relative_to(mask) for mask in masks)
    ]
    if not kept:
        raise InputError("every input lies in the folder of masks: keep the masks in a folder of their own")
    return kept


def open_mask(path: Path, job: Job, size: tuple[int, int]) -> Image.Image:
    """Return the mask of an image, fitted to it.

    Args:
        path: The mask, or a folder of masks.
        job: The image.
        size: Width and height of the image.

    Raises:
        InputError: The folder has no mask for this image, or the mask is not an image.
    """
    file = find_mask(path, job)
    mask = open_image(file)
    fitted = fit_mask(mask, size)
    notes = [describe_stretching(mask, size)]
    if fitted.getbbox() is None:  # every pixel is 0
        notes.append("is black everywhere, so that nothing changes: paint white where the style is wanted")
    for note in filter(None, notes):
        log(f"{file}: {note}")
    return fitted


def open_video_masks(path: Path, job: Job, clip: Clip, options: Options) -> Iterable[Image.Image]:
    """Return the masks of a video's frames, fitted: one image for all of them, or a video's frames.

    Args:
        path: The mask, or a folder of masks.
        job: The video.
        clip: The video, opened.
        options: The command's options; a mask video starts and ends as the video does.

    Raises:
        InputError: The folder has no mask for this video, or the mask is neither an image nor a video.
    """
    file = find_mask(path, job)
    if is_clip(file):
        return read_mask_frames(file, clip, options)
    return [open_mask(file, job, (clip.width, clip.height))]


def read_mask_frames(path: Path, clip: Clip, options: Options) -> Iterator[Image.Image]:
    """Yield the frames of a mask video, fitted to the video's frames, at its rate."""
    with open_clip(path, **vars(options.clip)) as masks:
        if clip.rate and masks.rate and masks.rate != clip.rate:
            masks.resample(clip.rate)
        for frame in masks:
            yield fit_mask(Image.fromarray(frame.pixels), (clip.width, clip.height))
    if masks.damage:
        log(f"warning: {masks.damage}: the last mask is kept")
