"""Folders among the inputs of the commands: their images and videos, and the files that are neither."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from faststyle.errors import InputError
from faststyle.files import describe_left_out, find_files, name_some


class Contents(NamedTuple):
    """The files below a folder, without hidden ones, each list in order."""

    images: list[Path]
    videos: list[Path]
    others: list[Path]


def read_folder(folder: Path) -> Contents:
    """Sort the files below a folder by their kind."""
    from faststyle.image.formats import is_image
    from faststyle.video.opening import is_clip

    contents = Contents([], [], [])
    for path in find_files(folder):
        kind = contents.videos if is_clip(path) else contents.images if is_image(path) else contents.others
        kind.append(path)
    return contents


def images_in(folder: Path) -> list[Path]:
    """Return the images below a folder, animations included, and report the files that are left out.

    Raises:
        InputError: There are none.
    """
    from faststyle.image.files import split_images

    images, others = split_images(find_files(folder))
    if not images:
        raise no_images([folder], others, "images")
    report_left_out(folder, others, "images")
    return images


def no_images(folders: Sequence[Path], others: list[Path], kinds: str) -> InputError:
    """Return the error for folders without usable files; it names those that are there."""
    only = f", only {name_some(others)}" if others else ""
    return InputError(f"there are no {kinds} in {', '.join(map(str, folders))}{only}")


def report_left_out(folder: Path, others: list[Path], kinds: str) -> None:
    """Print how many files of a folder are left out, and the first of them."""
    if others:
        print(describe_left_out(folder, others, kinds), file=sys.stderr)
