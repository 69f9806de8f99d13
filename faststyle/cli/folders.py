"""Folders among the inputs of the commands: their images and videos, and the files that are neither."""

import sys
from collections.abc import Sequence
from pathlib import Path

from faststyle.errors import InputError
from faststyle.files import describe_left_out, find_files, name_some


def read_folder(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the images, the videos and the other files below a folder, without hidden ones, in order."""
    from faststyle.image.formats import is_image
    from faststyle.video.opening import is_clip

    images, videos, others = list[Path](), list[Path](), list[Path]()
    for path in find_files(folder):
        (videos if is_clip(path) else images if is_image(path) else others).append(path)
    return images, videos, others


def no_images(folders: Sequence[Path], others: list[Path], kinds: str) -> InputError:
    """Return the error for folders without usable files; it names those that are there."""
    only = f", only {name_some(others)}" if others else ""
    return InputError(f"there are no {kinds} in {', '.join(map(str, folders))}{only}")


def report_left_out(folder: Path, others: list[Path], kinds: str) -> None:
    """Print how many files of a folder are left out, and the first of them."""
    if others:
        print(describe_left_out(folder, others, kinds), file=sys.stderr)
