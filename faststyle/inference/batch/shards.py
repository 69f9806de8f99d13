"""Shards of a collection of images, one for each rank, and the reading of images.

The checksum of an image's name gives its rank, so that each image has one rank, even where ranks see the
folder at different times.
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
from faststyle.image.files import check_size, missing_pixels
from faststyle.image.validation import silence_decoders
from faststyle.image.vips import MIN_VIPS_PIXELS, check_decodable, count_pixels
from faststyle.video.opening import is_clip

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # they would affect all following images
POLL_SECONDS = 0.5  # between two checks whether the parent process is alive


class Item(NamedTuple):
    """An image of the collection.

    Attributes:
        source: Path of the image.
        name: Path of the result below the output folder.
        made: The manifest lists the result.
    """

    source: str
    name: str
    made: bool = False


class Read(NamedTuple):
    """The result of reading an image.

    Attributes:
        item: The image's entry.
        kept: The result of an earlier run is there, and complete.
        is_video: The file is an animation, which is left out.
        image: The image; None for one that goes from file to file.
        error: Why reading failed; None if it did not.
        warning: How many pixels of the image are missing, in words; None if none is.
    """

    item: Item
    kept: bool = False
    is_video: bool = False
    image: Image.Image | None = None
    error: str | None = None
    warning: str | None = None


def rank_of(name: str, ranks: int) -> int:
    """Return the rank that stylizes the image of this name, the same on every machine at any time."""
    return zlib.crc32(os.fsencode(name)) % ranks


def explain(error: InputError | OSError) -> str:
    """Return why an image failed, as a command prints it.

    Raises:
        OSError: The disk is full or read-only, which concerns all images.
    """
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        raise error
    return error_line(error)


def is_whole(source: Path, target: Path) -> bool:
    """Return True for a result that is not older than its source, and can be decoded to its end."""
    try:
        if target.stat().st_mtime_ns < source.stat().st_mtime_ns:
            return False
        if count_pixels(target) >= MIN_VIPS_PIXELS:
            check_decodable(target)
            return True
        with Image.open(target) as image:
            image.draft("RGB", (1, 1))  # at an eighth of the size a JPEG's bytes are all read in little time
            image.load()
    except Exception:  # a result that a decoder cannot read is made again
        return False
    return True


class ShardSampler(Sampler[Item]):
    """Sampler over this rank's images.

    Has no ``__len__``: Lightning skips the predict hooks of a loader of length 0.
    """

    def __init__(self, items: list[Item], made: set[str]):
        self.items, self.made = items, made

    def __iter__(self) -> Iterator[Item]:
        for item in self.items:
            yield item._replace(made=item.name in self.made)


class Images(Dataset[Read]):
    """Reads the image of an ``Item``, unless its result is there."""

    def __init__(self, out: Path, read: Callable[[Path], Image.Image | None]):
        self.out, self.read = out, read

    def __getitem__(self, item: Item) -> Read:
        source = Path(item.source)
        try:
            if item.made and is_whole(source, self.out / item.name):
                return Read(item, kept=True)
            check_inside(self.out / item.name, self.out)
            if is_clip(source):
                return Read(item, is_video=True)
            image = self.read(source)
            if image is None:
                return Read(item)
            check_size(self.out / item.name, *image.size)
            return Read(item, image=image, warning=missing_pixels(image))
        except (InputError, OSError) as error:
            return Read(item, error=explain(error))


def call_when_orphaned(parent: int, end: Callable[[], object]) -> None:
    """Call ``end`` in a thread when the parent process has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        end()

    threading.Thread(target=watch, daemon=True).start()


def start_loader_worker(parent: int, worker: int) -> None:
    """Silence the decoders of this DataLoader worker, and exit it when its parent exits.

    Otherwise it blocks forever on the output queue.
    """
    silence_decoders()
    call_when_orphaned(parent, partial(os._exit, 1))
