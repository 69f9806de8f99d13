"""The masks of ``faststyle stylize --mask``: images, folders of images by the photos' names, or videos."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from faststyle.errors import InputError, one_line
from faststyle.image.files import open_image
from faststyle.image.formats import is_image
from faststyle.image.masks import describe_stretching
from faststyle.video.opening import is_clip, open_clip


def mask_file(path: Path, source: Path) -> Path:
    """Return the file of a mask for an image or video.

    Args:
        path: The mask, or a folder of masks by the names of their images.
        source: The image or video.

    Raises:
        InputError: There is none.
    """
    if not path.is_dir():
        return path
    found = sorted(file for file in path.iterdir() if file.stem == source.stem and file.is_file())
    if not found:
        raise InputError(f"there is no mask {path / source.stem}.png for {source.name}: add one", file=source)
    return found[0]


def mask_of_image(path: Path, source: Path, size: tuple[int, int]) -> Image.Image:
    """Return a mask for an image, and report that it does not have the image's proportion.

    Args:
        path: The mask, or a folder of masks by the names of their images.
        source: The image.
        size: Width and height of the image.

    Raises:
        InputError: There is none, or it is no image.
    """
    file = mask_file(path, source)
    mask = open_image(file)
    if (line := describe_stretching(mask, size)) is not None:
        tqdm.write(f"{one_line(file)}: {line}", file=sys.stderr)
    return mask


def masks_of_clip(path: Path, source: Path) -> Iterable[Image.Image]:
    """Return the masks for the frames of a video: one image for all of them, or a video's frames.

    Raises:
        InputError: There is none, or it is neither an image nor a video.
    """
    file = mask_file(path, source)
    if is_image(file) and not is_clip(file):
        return [open_image(file)]
    return frames_of(file)


def frames_of(path: Path) -> Iterator[Image.Image]:
    """Yield the frames of a video as images."""
    with open_clip(path) as clip:
        for frame in clip:
            yield Image.fromarray(frame.pixels)
