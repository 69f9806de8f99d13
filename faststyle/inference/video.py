"""Video stylization: batching, temporal instance norm, optical-flow blending."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faststyle.device import memory_errors
from faststyle.errors import InputError
from faststyle.image.color import finish
from faststyle.image.convert import to_rgb
from faststyle.inference.optical_flow import Blend
from faststyle.inference.temporal_norm import mixed, mixing
from faststyle.video.clips import RATE, Clip, Frame
from faststyle.video.opening import open_clip
from faststyle.video.prefetch import ahead

BATCH = 4  # frames that a GPU stylizes at once: smaller films leave a large one idle otherwise
MEMORY = 0.1  # seconds after which a frame counts for a third in the norms' statistics
CUT = 0.12  # mean difference of two small frames in [0,1] from which there may be a cut, if
JUMP = 2.5  # it is also so many times the one before: fast pans differ as much, but every time


class Film:
    """Stylizes the frames of one clip, in their order.

    Args:
        stylize: A ``Stylizer``, whose module imports this one.
        time_base: seconds of one unit of the frames' pts; None for frames that have none.
        strength, preserve_color: as for pictures.
        motion_blend: the share of each frame that is taken from the one before, along the motion.
    """

    def __init__(
        self,
        stylize: Any,
        time_base: Fraction | None = None,
        strength: float = 1.0,
        preserve_color: bool = False,
        motion_blend: float = 0.0,
    ):
        self.stylize, self.time_base = stylize, time_base
        self.strength, self.preserve_color = strength, preserve_color
        self.blend = Blend(motion_blend) if motion_blend else None
        self.shots, self.pts = Shots(), 0
        self.memory: Tensor | None = None

    def __call__(self, items: list[Any]) -> list[Any]:
        """Stylize frames of one size, and return what was given."""
        frames = [pixels_of(item) for item in items]
        shares = [
            self.shots.share(frame, self.seconds(item)) for item, frame in zip(items, frames, strict=True)
        ]
        pictures = self.paint(frames, shares)
        if self.blend:
            for number, (frame, share) in enumerate(zip(frames, shares, strict=True)):
                pictures[number] = self.blend(pictures[number], frame, cut=not share)
        return [like(item, picture) for item, picture in zip(items, pictures, strict=True)]

    def seconds(self, item: Any) -> float:
        """Since the frame before."""
        if self.time_base is None or not isinstance(item, Frame):
            return 1 / RATE
        passed, self.pts = item.pts - self.pts, item.pts
        return float(passed * self.time_base)

    def paint(self, frames: list[np.ndarray], shares: list[float]) -> list[np.ndarray]:
        height, width, _ = frames[0].shape
        stylize = self.stylize
        # Exported norms have no memory, and tiles norms of their own: there each frame stands for itself.
        if stylize.engine == "onnx" or stylize.tile_for(width, height):
            whole = partial(
                stylize, strength=self.strength, preserve_color=self.preserve_color, stroke_scale=1
            )
            return [np.asarray(whole(Image.fromarray(frame))) for frame in frames]
        if len(frames) > 1 and stylize.tile_for(width, len(frames) * height):
            return [self.paint([frame], [share])[0] for frame, share in zip(frames, shares, strict=True)]
        with memory_errors(f"frames of {width}x{height} pixels", "lower `max_size`"):
            return self.paint_together(frames, shares)

    @torch.no_grad()
    def paint_together(self, frames: list[np.ndarray], shares: list[float]) -> list[np.ndarray]:
        device = self.stylize.device
        # Copies between pinned memory and a GPU are twice as fast.
        batch = torch.empty(
            (len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=device.type == "cuda"
        )
        np.stack(frames, out=batch.numpy())
        given, mix = batch.to(device, non_blocking=True), mixing(shares).to(device)
        run, blank = self.stylize.frames
        memory = blank if self.memory is None else self.memory
        result, own = run(given, memory, mix)
        self.memory = mixed(mix, memory, own)[-1:]
        if self.preserve_color or self.strength < 1:
            x, y = given.permute(0, 3, 1, 2) / 255, result.permute(0, 3, 1, 2) / 255
            y = finish(y, x, self.strength, self.preserve_color)
            result = (y * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        if device.type == "cuda":
            result = batch.copy_(result)  # what was given is no longer needed
        # Not by torch on a CPU: its threads would go on spinning, in the way of an engine's.
        return list(result.cpu().numpy())


def pixels_of(item: Any) -> np.ndarray:
    """A frame's (H,W,3) uint8.

    Raises:
        InputError: it is no frame.
    """
    if isinstance(item, Frame):
        return item.pixels
    if isinstance(item, Image.Image):
        return np.asarray(to_rgb(item).convert("RGB"))
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3:
        return item
    what = f"{item.dtype}{item.shape}" if isinstance(item, np.ndarray) else type(item).__name__
    raise InputError(f"expected frames as PIL pictures or arrays (H,W,3) of uint8, not {what}")


def size_of(item: Any) -> Any:
    if isinstance(item, Frame):
        return item.pixels.shape
    return item.size if isinstance(item, Image.Image) else getattr(item, "shape", None)


def like(item: Any, pixels: np.ndarray) -> Any:
    """The pixels as what the frame was given as."""
    if isinstance(item, Frame):
        return item._replace(pixels=pixels)
    return Image.fromarray(pixels) if isinstance(item, Image.Image) else pixels


def batches(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Consecutive frames of one size, at most so many."""
    batch: list[Any] = []
    for item in items:
        if batch and size_of(item) != size_of(batch[0]):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == most:  # without waiting for the next
            yield batch
            batch = []
    if batch:
        yield batch


def stylize_film(
    stylize: Any, source: Any, max_size: int | None, live: bool, **options: Any
) -> Iterator[Any]:
    """What ``Stylizer.video`` yields; ``options`` are those of ``Film``."""
    if isinstance(source, str | Path):
        with open_clip(source, max_size=max_size) as clip:
            for frame in stylize_film(stylize, clip, None, live, **options):
                yield frame.pixels
        if clip.damage:
            raise InputError(clip.damage)
        return
    if max_size is not None:
        raise InputError("max_size shrinks clips that are read here: give frames in the size that you want")
    film = Film(stylize, getattr(source, "time_base", None), **options)
    most = BATCH if stylize.device.type == "cuda" and not live else 1
    for items in batches(ahead(source) if isinstance(source, Clip) and not live else source, most):
        yield from film(items)


class Shots:
    """Tells for each frame how much of those before it is to be remembered: nothing after a cut."""

    def __init__(self) -> None:
        self.before: np.ndarray | None = None
        self.difference = 0.0

    def share(self, frame: np.ndarray, seconds: float) -> float:
        """The share of what was before this frame, (H,W,3) bytes, so many seconds after the last one."""
        rows, columns = (np.linspace(0, side - 1, 32).astype(int) for side in frame.shape[:2])
        small = frame[rows[:, None], columns].astype(np.float32) / 255  # (32,32,3)
        difference = 1.0 if self.before is None else float(np.abs(small - self.before).mean())
        cut = self.before is None or (difference > CUT and difference > JUMP * self.difference)
        self.before, self.difference = small, difference
        return 0.0 if cut else math.exp(-seconds / MEMORY)
