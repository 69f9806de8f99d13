"""Video stylization: batching, temporal instance norm, optical-flow blending."""

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from faststyle.device import memory_errors
from faststyle.errors import InputError
from faststyle.image.arrays import array_namespace, like, to_bytes, to_floats
from faststyle.image.color import blend_with_photo
from faststyle.image.convert import to_rgb
from faststyle.inference.engines.base import Engine, mix_statistics, mixing_weights
from faststyle.inference.optical_flow import Blend
from faststyle.inference.settings import VideoSettings
from faststyle.video.clips import RATE, Clip, Frame
from faststyle.video.opening import open_clip
from faststyle.video.prefetch import ahead

MEMORY = 0.1  # seconds after which a frame counts for a third in the norms' statistics
CUT = 0.12  # mean difference of two small frames in [0,1] from which there may be a cut, if
JUMP = 2.5  # it is also so many times the last one: in a fast pan, every frame differs as much


Item = TypeVar("Item", Frame, Image.Image, np.ndarray)  # a frame as the caller gives it, and gets it back


class VideoStylizer:
    """Stylizes the frames of one video, in their order.

    Args:
        engine: The engine for frames with running statistics; None if each frame is stylized as an image.
        stylize_image: Stylizes one frame as an image, with the same options.
        tile_for: Returns the tile size for an image of a width and a height; None if it fits into memory.
        settings: How the frames look.
    """

    def __init__(
        self,
        engine: Engine | None,
        stylize_image: Callable[[Image.Image], Image.Image],
        tile_for: Callable[[int, int], int | None],
        settings: VideoSettings,
    ):
        self.engine, self.stylize_image, self.tile_for = engine, stylize_image, tile_for
        self.settings = settings
        self.blend = Blend(settings.motion_blend) if settings.motion_blend else None
        self.shots, self.pts = Shots(), 0
        self.time_base: Fraction | None = None
        self.memory: np.ndarray | None = None  # (1,S)

    def stream(self, source: str | Path | Iterable[Item], live: bool = False) -> Iterator[Item]:
        """Yield the stylized frames of a video file as arrays, or those given as what they were given as.

        Args:
            source: A video file, or frames.
            live: Yield each frame before the next is read.

        Raises:
            InputError: The file is missing or damaged, or max_size is given for frames.
        """
        if isinstance(source, str | Path):
            with open_clip(source, max_size=self.settings.max_size) as clip:
                for frame in self.frames(clip, live):
                    yield cast(Item, frame.pixels)
            if clip.damage:
                raise InputError(clip.damage)
            return
        if self.settings.max_size is not None:
            raise InputError("`max_size` shrinks videos that are read here: give frames in the size you want")
        yield from self.frames(source, live)

    def frames(self, source: Iterable[Item], live: bool) -> Iterator[Item]:
        """Yield the stylized frames."""
        self.time_base = getattr(source, "time_base", None)  # of a video, or of Newest around one
        batch_size = 1 if live or self.engine is None else self.engine.max_batch
        for items in batches(ahead(source) if isinstance(source, Clip) and not live else source, batch_size):
            yield from self(items)

    def __call__(self, items: list[Item]) -> list[Item]:
        """Stylize consecutive frames of one size, and return them as what they were given as."""
        frames = [pixels_of(item) for item in items]
        shares = [
            self.shots.share(frame, self.seconds(item)) for item, frame in zip(items, frames, strict=True)
        ]
        images = self.paint(frames, shares)
        if self.blend:
            for number, (frame, share) in enumerate(zip(frames, shares, strict=True)):
                images[number] = self.blend(images[number], frame, cut=not share)
        return [give_back(item, image) for item, image in zip(items, images, strict=True)]

    def seconds(self, item: Frame | Image.Image | np.ndarray) -> float:
        """Return the seconds since the frame before."""
        if self.time_base is None or not isinstance(item, Frame):
            return 1 / RATE
        passed, self.pts = item.pts - self.pts, item.pts
        return float(passed * self.time_base)

    def paint(self, frames: list[np.ndarray], shares: list[float]) -> list[np.ndarray]:
        """Stylize frames (H,W,3) with running statistics where the network has them and memory suffices."""
        height, width, _ = frames[0].shape
        # Tiles have statistics of their own: each frame is stylized as an image.
        if self.engine is None or self.tile_for(width, height):
            return [np.asarray(self.stylize_image(Image.fromarray(frame))) for frame in frames]
        if len(frames) > 1 and self.tile_for(width, len(frames) * height):
            return [self.paint([frame], [share])[0] for frame, share in zip(frames, shares, strict=True)]
        with memory_errors(f"frames of {width}x{height} pixels", "lower `max_size`"):
            return self.paint_together(self.engine, frames, shares)

    def paint_together(
        self, engine: Engine, frames: list[np.ndarray], shares: list[float]
    ) -> list[np.ndarray]:
        """Stylize frames (H,W,3) in one batch, with running statistics."""
        given, mix = np.stack(frames), mixing_weights(shares)
        memory = engine.blank_memory() if self.memory is None else self.memory
        result, own = engine.stylize_frames(given, memory, mix)
        self.memory = mix_statistics(mix, memory, own)[-1:]
        if self.settings.preserve_color or self.settings.strength < 1:
            xp = array_namespace(result)
            x, y = (to_floats(xp.permute_dims(one, (0, 3, 1, 2))) for one in (like(result, given), result))
            y = blend_with_photo(y, x, self.settings.strength, self.settings.preserve_color)
            result = xp.permute_dims(to_bytes(y), (0, 2, 3, 1))
        return list(like(given, result))


def pixels_of(item: Frame | Image.Image | np.ndarray) -> np.ndarray:
    """Return a frame's pixels: (H,W,3) uint8.

    Raises:
        InputError: The item is none of the types of a frame.
    """
    if isinstance(item, Frame):
        return item.pixels
    if isinstance(item, Image.Image):
        return np.asarray(to_rgb(item).convert("RGB"))
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3:
        return item
    what = f"{item.dtype}{item.shape}" if isinstance(item, np.ndarray) else type(item).__name__
    raise InputError(f"expected frames as PIL images or arrays (H,W,3) of uint8, not {what}")


def size_of(item: Frame | Image.Image | np.ndarray) -> tuple[int, ...] | None:
    """Return what frames of one size have in common; None for what is no frame."""
    if isinstance(item, Frame):
        return item.pixels.shape
    return item.size if isinstance(item, Image.Image) else getattr(item, "shape", None)


def give_back(item: Item, pixels: np.ndarray) -> Item:
    """Return the pixels as the type of the frame that was given."""
    if isinstance(item, Frame):
        return item._replace(pixels=pixels)
    return Image.fromarray(pixels) if isinstance(item, Image.Image) else pixels


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of up to ``size`` consecutive frames of one height and width."""
    batch: list[Item] = []
    for item in items:
        if batch and size_of(item) != size_of(batch[0]):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == size:  # without waiting for the next
            yield batch
            batch = []
    if batch:
        yield batch


class Shots:
    """Detects cuts, and decides how much the frames before count in the statistics of each frame."""

    def __init__(self) -> None:
        self.before: np.ndarray | None = None
        self.difference = 0.0

    def share(self, frame: np.ndarray, seconds: float) -> float:
        """Return the share of earlier frames in a frame's statistics: 0 after a cut.

        Args:
            frame: (H,W,3) bytes.
            seconds: Seconds since the frame before.
        """
        rows, columns = (np.linspace(0, side - 1, 32).astype(int) for side in frame.shape[:2])
        small = frame[rows[:, None], columns].astype(np.float32) / 255  # (32,32,3)
        difference = 1.0 if self.before is None else float(np.abs(small - self.before).mean())
        cut = self.before is None or (difference > CUT and difference > JUMP * self.difference)
        self.before, self.difference = small, difference
        return 0.0 if cut else math.exp(-seconds / MEMORY)
