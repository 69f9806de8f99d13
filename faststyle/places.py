"""Where results may be written: in the folder that was named, and nowhere that a link leads to from there."""

import os
import zlib
from pathlib import Path

from faststyle.errors import InputError

MOST = 200  # bytes of a name that gets something added: file systems take 255


def real(path: Path) -> Path:
    """A path without links; of links in a ring, as they are."""
    return Path(os.path.realpath(path))


def cut(name: str) -> str:
    """A name; of one longer than ``MOST`` bytes its start, and a checksum of the whole."""
    whole = os.fsencode(name)
    return name if len(whole) <= MOST else f"{whole[:MOST].decode(errors='ignore')}{zlib.crc32(whole):08x}"


def check_inside(target: Path, folder: Path) -> None:
    """Refuse a file to be written that a link has outside of a folder.

    Raises:
        InputError: it is a link itself, or lies in a folder that is one.
    """
    if target.is_symlink():
        raise InputError(f"{target} is a link, and results are not written through links: remove it")
    if not (place := real(target.parent)).is_relative_to(real(folder)):
        raise InputError(f"{target} would be written to {place}, by a link out of {folder}: remove the link")


def check_links(folder: Path) -> None:
    """Refuse a folder to be written to in which a link leads out of it.

    Raises:
        InputError: there is such a link.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() and not real(path).is_relative_to(real(folder)):
            raise InputError(f"{path} is a link out of {folder}, where results are to be written: remove it")
