"""Clips that are pictures: animated GIF, WebP and PNG, and frames in numbered files."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from faststyle.errors import InputError
from faststyle.image.files import READABLE_SUFFIXES, open_image
from faststyle.image.validation import check_pixel_count, open_header
from faststyle.video.clips import Clip, Frame, check_start, exact

NUMBER = re.compile(r"%0?\d*d")
# An animation's frames may have so many pixels, and so many more for each byte: little of a screen changes.
FRAMES, FRAMES_PER_BYTE = 300_000_000, 1_000
SHORTEST = 20  # milliseconds: browsers show frames of an animation that want less for 100


def on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


class Animation(Clip):
    """A GIF, WebP or PNG of several frames."""

    def __init__(self, path: Path, start: float, end: float, max_size: int | None):
        self.image = open_header(path)
        super().__init__(str(path), *self.image.size, Fraction(1, 1000), max_size)
        # Times are in the frames, so they are all looked at once; those of GIF are decoded by it.
        times: list[int] = []
        time = 0
        try:
            for frame in ImageSequence.Iterator(self.image):
                check_frames(self.image, len(times) + 1, path)
                frame.load()
                times.append(time)
                time += self.shown(frame)
        except InputError:
            raise
        # Pillow's decoders raise whatever a damaged file makes them stumble over.
        except Exception as error:
            self.damage = f"{path} is damaged after {time / 1000:.1f} s: {error}"
        if not times:
            raise InputError(f"{path} is damaged or cannot be read", file=path)
        # Opened anew: a frame beyond the others' rim would leave them its size.
        self.image.close()
        self.image = open_header(path)
        check_start(self.name, start, time / 1000)
        self.first = next((i for i, at in enumerate(times) if at >= exact(start) * 1000), len(times) - 1)
        self.last = max(self.first + 1, sum(end == inf or at < exact(end) * 1000 for at in times))
        self.times, self.start, self.end = [*times, time], start, end
        self.count = self.last - self.first
        lasts = self.times[self.last] - self.times[self.first]
        self.rate = Fraction(self.count * 1000, max(1, lasts))

    @staticmethod
    def shown(frame: Image.Image) -> int:
        lasts = round(frame.info.get("duration", 0))
        return lasts if lasts >= SHORTEST else 100

    def frames(self) -> Iterator[Frame]:
        for number in range(self.first, self.last):
            self.image.seek(number)
            picture = on_white(self.image)
            if picture.size != (self.width, self.height):
                picture = picture.resize((self.width, self.height), Image.Resampling.LANCZOS)
            begin, end = self.times[number : number + 2]
            yield Frame(np.array(picture), begin - self.times[self.first], end - begin)

    def close(self) -> None:
        super().close()
        self.image.close()


def check_frames(image: Image.Image, count: int, path: Path) -> None:
    """Refuse an animation whose frames are more than its file may have.

    Raises:
        InputError: a decompression bomb.
    """
    pixels, size = count * image.width * image.height, path.stat().st_size
    check_pixel_count(image.width * image.height, size, str(path))
    if pixels > FRAMES + FRAMES_PER_BYTE * size:
        raise InputError(
            f"{path} claims {count} frames and more of {image.width}x{image.height} pixels in "
            f"{size / 1e6:,.3g} MB, as decompression bombs do: if it is a video, make it an MP4",
            file=path,
        )


class Numbered(Clip):
    """Pictures with numbers in their names."""

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
        first = min(len(files) - 1, -int(-exact(start) * fps // 1))
        last = len(files) if end == inf else max(first + 1, -int(-exact(end) * fps // 1))
        self.files = files[first:last]
        self.size = open_image(self.files[0]).size
        super().__init__(name, *self.size, 1 / fps, max_size)
        self.rate, self.count, self.start, self.end = fps, len(self.files), start, end
        self.numbers = numbers and numbers[first:last]

    def frames(self) -> Iterator[Frame]:
        for place, file in enumerate(self.files):
            picture = on_white(open_image(file))
            if picture.size != self.size:
                raise InputError(
                    f"{file} has {picture.width}x{picture.height} pixels, and {self.files[0]} "
                    f"{self.size[0]}x{self.size[1]}: give frames of one size",
                    file=self.name,
                )
            if picture.size != (self.width, self.height):
                picture = picture.resize((self.width, self.height), Image.Resampling.LANCZOS)
            yield Frame(np.array(picture), place, 1)


def numbered_files(source: Path) -> tuple[list[Path], list[int] | None]:
    """The frames of a folder, or of a pattern such as ``frames/%04d.png``, in order, and their numbers.

    Numbers are None where they do not grow: in a folder of several shots they would meet.
    """
    folder = source if source.is_dir() else source.parent
    files = [p for p in folder.glob("*") if not p.name.startswith(".")]
    keys: dict[Path, tuple] = {}  # by which to sort; the last of each is the frame's number
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
            f"there are no numbered pictures {'in' if source.is_dir() else 'named'} {source}", file=source
        )
    order = sorted(keys, key=lambda file: (keys[file], file.name))
    numbers = [keys[file][-1] for file in order]
    return order, numbers if all(a < b for a, b in pairwise(numbers)) else None
