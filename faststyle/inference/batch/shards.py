"""Which pictures of a collection are one process's, and how they are read.

A picture is the process's whose number the checksum of its name gives: so each is one process's,
whatever the others see of the folder, and whenever they look.
"""

import errno
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch.utils.data import Dataset, Sampler

from faststyle.console import error_line
from faststyle.errors import InputError
from faststyle.files import check_inside
from faststyle.image.validation import silence_decoders
from faststyle.image.vips import MIN_VIPS_PIXELS, check_decodable, count_pixels
from faststyle.video.opening import is_clip

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what would befall each picture that follows
PAUSE = 0.5  # seconds between two looks at whether a parent lives


class Item(NamedTuple):
    """A picture of the collection."""

    source: str  # its path
    name: str  # its place below the output folder
    made: bool = False  # the manifest says that it is there


class Read(NamedTuple):
    """What a loader's process found."""

    item: Item
    kept: bool = False  # the result is there, and whole
    clip: bool = False  # an animation, which is left out
    picture: Image.Image | None = None  # None for one that goes from file to file
    error: str | None = None


def rank_of(name: str, ranks: int) -> int:
    """Which process stylizes the picture of this name: the same on every machine, at any time."""
    return zlib.crc32(os.fsencode(name)) % ranks


def explain(error: InputError | OSError) -> str:
    """Return why an image failed, as a command prints it.

    Raises:
        OSError: the disk is full or read-only, which is no matter of one picture.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        raise error
    return error_line(error)


def is_whole(source: Path, target: Path) -> bool:
    """Whether a result is there, not older than its source, and can be decoded to its end."""
    try:
        if target.stat().st_mtime_ns < source.stat().st_mtime_ns:
            return False
        if count_pixels(target) >= MIN_VIPS_PIXELS:
            check_decodable(target)
            return True
        with Image.open(target) as image:
            image.draft("RGB", (1, 1))  # an eighth of a JPEG's size: all of its bytes in little time
            image.load()
    except Exception:  # whatever a decoder stumbles over: it is stylized again
        return False
    return True


class Share(Sampler[Item]):
    """One process's pictures; without a length, since Lightning would pass over an empty one's hooks."""

    def __init__(self, items: list[Item], made: set[str]):
        self.items, self.made = items, made

    def __iter__(self) -> Iterator[Item]:
        for item in self.items:
            yield item._replace(made=item.name in self.made)


class Pictures(Dataset[Read]):
    """Reads a picture that an ``Item`` names, where that is still to be done."""

    def __init__(self, out: Path, read: Callable[[Path], Image.Image | None]):
        self.out, self.read = out, read

    def __getitem__(self, item: Item) -> Read:
        source = Path(item.source)
        try:
            if item.made and is_whole(source, self.out / item.name):
                return Read(item, kept=True)
            check_inside(self.out / item.name, self.out)
            if is_clip(source):
                return Read(item, clip=True)
            return Read(item, picture=self.read(source))
        except (InputError, OSError) as error:
            return Read(item, error=explain(error))


def end_with(parent: int, end: Callable[[], object]) -> None:
    """Call ``end``, in a thread, when the process that started this one has ended, however that was."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PAUSE)
        end()

    threading.Thread(target=watch, daemon=True).start()


def start_loader(parent: int, worker: int) -> None:
    """Prepare a process that decodes: no warnings of decoders, and an end with its parent.

    Otherwise it would block forever on the output queue when the parent has died.
    """
    silence_decoders()
    end_with(parent, partial(os._exit, 1))
