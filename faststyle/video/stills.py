"""Videos made of images: animated GIF, WebP, PNG and AVIF, and frames in numbered files."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import median_low

import numpy as np
from PIL import Image, ImageSequence

from faststyle.errors import InputError
from faststyle.image.files import open_image
from faststyle.image.formats import READABLE_SUFFIXES
from faststyle.image.validation import check_pixel_count, open_header
from faststyle.video.clips import Clip, Frame, check_start, exact_seconds

NUMBER = re.compile(r"%0?\d*d")
# Limits of all frames' pixels in an animation. Frames of a screen recording compress well.
MAX_PIXELS, MAX_PIXELS_PER_BYTE = 300_000_000, 1_000
MIN_DURATION = 20  # milliseconds; browsers show shorter frames of an animation for 100


def on_white(image: Image.Image) -> Image.Image:
    """Composite an image on white, as RGB."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


class Animation(Clip):
    """A GIF, WebP, PNG or AVIF of several frames."""

    def __init__(self, path: Path, start: float, end: float, max_size: int | None):
        self.image = open_header(path)
        super().__init__(str(path), *self.image.size, Fraction(1, 1000), max_size)
        # Each frame has its own duration, so all are read once. Reading decodes those of a GIF.
        times: list[int] = []
        time = 0
        try:
            for frame in ImageSequence.Iterator(self.image):
                check_frames(self.image, len(times) + 1, path)
                frame.load()
                times.append(time)
                time += self.duration_of(frame)
        except InputError:
            raise
        # Pillow's decoders raise many exception classes for damaged files.
        except Exception as error:
            self.damage = f"{path} is damaged after {time / 1000:.1f} s: {error}"
        if not times:
            raise InputError(f"{path} is damaged or cannot be read", file=path)
        # A frame larger than the others would leave them its size.
        self.image.close()
        self.image = open_header(path)
        check_start(self.name, start, time / 1000)
        self.first = next(
            (i for i, at in enumerate(times) if at >= exact_seconds(start) * 1000), len(times) - 1
        )
        self.last = max(self.first + 1, sum(end == inf or at < exact_seconds(end) * 1000 for at in times))
        self.times, self.start, self.end = [*times, time], start, end
        self.count = self.last - self.first
        lasts = self.times[self.last] - self.times[self.first]
        self.rate = Fraction(self.count * 1000, max(1, lasts))
        self.step = Fraction(median_low(b - a for a, b in pairwise(self.times)), 1000)

    @staticmethod
    def duration_of(frame: Image.Image) -> int:
        """Return the milliseconds that browsers show a frame."""
        lasts = round(frame.info.get("duration", 0))
        return lasts if lasts >= MIN_DURATION else 100

    def frames(self) -> Iterator[Frame]:
        for number in range(self.first, self.last):
            self.image.seek(number)
            image = on_white(self.image)
            if image.size != (self.width, self.height):
                image = image.resize((self.width, self.height), Image.Resampling.LANCZOS)
            begin, end = self.times[number : number + 2]
            yield Frame(np.array(image), begin - self.times[self.first], end - begin)

    def close(self) -> None:
        super().close()
        self.image.close()


def check_frames(image: Image.Image, count: int, path: Path) -> None:
    """Check that an animation's frames are not too many for its file.

    Raises:
        InputError: The file looks like a decompression bomb.
    """
    pixels, size = count * image.width * image.height, path.stat().st_size
    check_pixel_count(image.width * image.height, size, str(path))
    if pixels > MAX_PIXELS + MAX_PIXELS_PER_BYTE * size:
        raise InputError(
            f"{path} claims {count} frames and more of {image.width}x{image.height} pixels in "
            f"{size / 1e6:,.3g} MB, as decompression bombs do: if it is a video, make it an MP4",
            file=path,
        )


class Numbered(Clip):
    """Images with numbers in their names."""

    def __init__(
        self,
        name: str,
        files: list[Path],
        numbers: list[int] | None,
        fps: Fraction,
        start: float,
        end: float,
        max_size: int | None,
    ):
        check_start(name, start, len(files) / fps)
        first = min(len(files) - 1, -int(-exact_seconds(start) * fps // 1))
        last = len(files) if end == inf else max(first + 1, -int(-exact_seconds(end) * fps // 1))
        self.files = files[first:last]
        self.size = open_image(self.files[0]).size
        super().__init__(name, *self.size, 1 / fps, max_size)
        self.rate, self.count, self.start, self.end = fps, len(self.files), start, end
        self.numbers = numbers and numbers[first:last]

    def frames(self) -> Iterator[Frame]:
        for place, file in enumerate(self.files):
            image = on_white(open_image(file))
            if image.size != self.size:
                raise InputError(
                    f"{file} has {image.width}x{image.height} pixels, and {self.files[0]} "
                    f"{self.size[0]}x{self.size[1]}: give frames of one size",
                    file=self.name,
                )
            if image.size != (self.width, self.height):
                image = image.resize((self.width, self.height), Image.Resampling.LANCZOS)
            yield Frame(np.array(image), place, 1)


def numbered_files(source: Path) -> tuple[list[Path], list[int] | None]:
    """List the frames of a folder or of a pattern such as ``frames/%04d.png``, in order.

    Returns:
        The files, and their numbers; None where the numbers do not grow, as in a folder of several shots.

    Raises:
        InputError: There are none.
    """
    folder = source if source.is_dir() else source.parent
    files = [p for p in folder.glob("*") if not p.name.startswith(".")]
    keys: dict[Path, tuple] = {}  # sort keys; the last item is the frame's number
    if source.is_dir():
        for file in files:
            fields = re.findall(r"\d+", file.stem)
            if fields and file.suffix.lower() in READABLE_SUFFIXES:
                keys[file] = re.sub(r"\d+", "", file.stem), *map(int, fields)
    else:
        pattern = re.compile(r"(\d+)".join(map(re.escape, NUMBER.split(source.name))))
        keys = {p: tuple(map(int, m.groups())) for p in files if (m := pattern.fullmatch(p.name))}
    if not keys:
        raise InputError(
            f"there are no numbered images {'in' if source.is_dir() else 'named'} {source}", file=source
        )
    order = sorted(keys, key=lambda file: (keys[file], file.name))
    numbers = [keys[file][-1] for file in order]
    return order, numbers if all(a < b for a, b in pairwise(numbers)) else None
