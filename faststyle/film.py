"""Clips through a network: frames in batches, with norms that remember, and blending along motion."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faststyle.device import memory_errors
from faststyle.engines import ENGINES
from faststyle.errors import InputError
from faststyle.exported import Exported
from faststyle.flow import Blend
from faststyle.images import to_rgb
from faststyle.pipeline import ahead
from faststyle.steady import Shots, SteadyNetwork, mixed, mixing
from faststyle.video.clips import RATE, Clip, Frame, open_clip

if TYPE_CHECKING:
    from faststyle.stylizer import Stylizer

BATCH = 4  # frames that a GPU stylizes at once: smaller films leave a large one idle otherwise

Run = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Film:
    """Stylizes the frames of one clip, in their order.

    Args:
        stylize: the model.
        rate: frames a second.
        strength, preserve_color: as for pictures.
        motion_blend: the share of each frame that is taken from the one before, along the motion.
    """

    def __init__(
        self, stylize: "Stylizer", rate: float, strength: float, preserve_color: bool, motion_blend: float
    ):
        self.stylize, self.seconds = stylize, 1 / rate
        self.options = strength, preserve_color
        self.shots = Shots()
        self.blend = Blend(motion_blend) if motion_blend else None
        self.run: Run | None = None
        self.memory = torch.zeros(1, 0)

    def load(self, height: int, width: int) -> Run:
        """What stylizes frames of this size."""
        stylize = self.stylize
        # Exported norms have no memory, and tiles norms of their own: there each frame stands for itself.
        network = stylize.network
        if stylize.engine == "onnx" or isinstance(network, Exported) or stylize.tile_for(width, height):
            return self.one_by_one
        steady = SteadyNetwork(network, stylize.margin, *self.options)
        steady = steady.to(stylize.device).eval()
        self.memory = steady.blank().to(stylize.device)
        return ENGINES[stylize.engine].build(steady, stylize.device, stylize.dtype)

    def one_by_one(self, frames: Tensor, memory: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        pictures = [np.asarray(self.stylize(Image.fromarray(one.numpy()), *self.options)) for one in frames]
        return torch.from_numpy(np.stack(pictures)), torch.zeros(len(frames), 0)

    def __call__(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        """Stylize frames of one size, (H,W,3) uint8 RGB each."""
        height, width, _ = frames[0].shape
        self.run = self.run or self.load(height, width)
        shares = [self.shots.share(frame, self.seconds) for frame in frames]
        batch, device = torch.from_numpy(np.stack(frames)), self.stylize.device
        if device.type == "cuda":
            batch = batch.pin_memory()  # which is copied at twice the speed
        with memory_errors(f"frames of {width}x{height} pixels", "a smaller --max-size (max_size)"):
            mix = mixing(shares).to(device)
            result, own = self.run(batch.to(device), self.memory, mix)
        self.memory = mixed(mix, self.memory, own)[-1:]
        pictures = list(result.cpu().numpy())
        if self.blend:
            for number, (frame, share) in enumerate(zip(frames, shares, strict=True)):
                pictures[number] = self.blend(pictures[number], frame, cut=not share)
        return pictures


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


def like(item: Any, pixels: np.ndarray) -> Any:
    """The pixels as what the frame was given as."""
    if isinstance(item, Frame):
        return item._replace(pixels=pixels)
    return Image.fromarray(pixels) if isinstance(item, Image.Image) else pixels


def batches(items: Iterable[Any], most: int) -> Iterator[tuple[list[Any], list[np.ndarray]]]:
    """Consecutive frames of one size, at most so many, and their pixels."""
    batch: list[Any] = []
    frames: list[np.ndarray] = []
    for item in items:
        pixels = pixels_of(item)
        if frames and frames[0].shape != pixels.shape:
            yield batch, frames
            batch, frames = [], []
        batch.append(item)
        frames.append(pixels)
        if len(frames) == most:  # without waiting for the next
            yield batch, frames
            batch, frames = [], []
    if frames:
        yield batch, frames


def stylize_film(
    stylize: "Stylizer", source: Any, max_size: int | None, live: bool, *options: Any
) -> Iterator[Any]:
    """What ``Stylizer.video`` yields."""
    if isinstance(source, str | Path):
        with open_clip(source, max_size=max_size) as clip:
            for frame in stylize_film(stylize, clip, None, live, *options):
                yield frame.pixels
        if clip.damage:
            raise InputError(clip.damage)
        return
    if max_size is not None:
        raise InputError("max_size shrinks clips that are read here: give frames in the size that you want")
    rate = float(getattr(source, "rate", None) or RATE)
    film = Film(stylize, rate, *options)
    most = BATCH if stylize.device.type == "cuda" and not live else 1
    frames = ahead(source) if isinstance(source, Clip) and not live else source
    for items, pixels in batches(frames, most):
        for item, result in zip(items, film(pixels), strict=True):
            yield like(item, result)
