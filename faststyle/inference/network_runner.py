"""Run a network over images of any size: whole, at a smaller size, or in tiles."""

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from faststyle.device import memory_errors, survive_fork
from faststyle.errors import InputError
from faststyle.image.arrays import Array, array_namespace, like
from faststyle.image.color import blend_with_photo
from faststyle.inference.engines.base import Engine, ImageEngine
from faststyle.inference.engines.kinds import build_engine
from faststyle.inference.engines.onnx_model import WHOLE_IMAGES_ONLY, Exported
from faststyle.inference.settings import StrokeScale, StylizeSettings
from faststyle.inference.stroke_scale import auto_scale, enlarge, shrink
from faststyle.inference.tiling import (
    MAX_TILE,
    MIN_TILE,
    max_whole_pixels,
    pick_tile,
    stylize_tiled,
    thumbnail,
)
from faststyle.models.model import Model

if TYPE_CHECKING:
    import torch


class NetworkRunner:
    """A model in an engine, for images of any size.

    Args:
        source: The trained model, or an exported one.
        margin: Width in pixels of the mirrored border that is added to images.
        device, precision, engine: As for ``Stylizer``.

    Raises:
        InputError: There is no such device, precision or engine on this machine.
    """

    def __init__(
        self,
        source: Model | Exported,
        margin: int,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ):
        self.model, self.margin = source, margin
        self.backend: ImageEngine = build_engine(source, margin, device, precision, engine)
        self.process = os.getpid()

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.backend.name

    @property
    def device(self) -> str:
        """The device's name."""
        return self.backend.device

    @property
    def precision(self) -> str:
        """The precision, such as float32."""
        return self.backend.precision

    def on_torch(self) -> "tuple[torch.device, torch.dtype]":
        """Return the device and the precision as torch has them."""
        import torch

        return torch.device(self.device), getattr(torch, self.precision)

    def check_process(self) -> None:
        """Check that this process can use the network. A forked child can on a CPU, except with ``compile``.

        Raises:
            InputError: This is a forked child, and the device or the engine works only in the parent.
        """
        if os.getpid() == self.process:
            return
        if "torch" in sys.modules:
            survive_fork()
        if self.device != "cpu" or self.engine == "compile":
            raise InputError(
                f"{self.engine} on {self.device} cannot be used in a forked process: start processes with "
                "multiprocessing.get_context('spawn'), or load the model in each"
            )

    def tile_for(self, width: int, height: int) -> int | None:
        """Return the tile for an image of this size and the free memory; None if it is stylized whole."""
        if isinstance(self.model, Exported) or max(width, height) <= MIN_TILE:
            return None
        limit = max_whole_pixels(self.model.layout, self.device)
        return pick_tile(limit, self.model.layout) if width * height > limit else None

    def scale_for(self, width: int, height: int, stroke_scale: StrokeScale = "auto") -> float:
        """Return by how much smaller an image of this size is stylized."""
        if not isinstance(stroke_scale, str):
            return stroke_scale
        if isinstance(self.model, Exported) and self.model.size:
            return 1.0  # a file of a fixed size takes nothing smaller
        return auto_scale(height, width)

    def check_model(self) -> Model:
        """Return the model.

        Raises:
            InputError: The model is exported.
        """
        if isinstance(self.model, Exported):
            raise InputError(WHOLE_IMAGES_ONLY)
        return self.model

    def stylize_pixels(self, photo: np.ndarray, out: np.ndarray, settings: StylizeSettings) -> None:
        """Stylize an image of any size, in bands at a smaller size, or in tiles.

        Tiles use the statistics of the image's thumbnail.

        Args:
            photo: (H,W,3) bytes; it may be a file that is mapped into memory.
            out: (H,W,3) bytes, for the result.
            settings: As for a whole image.

        Raises:
            InputError: Not even a tile fits into memory.
        """
        self.check_process()
        pixels, result = photo.transpose(2, 0, 1), out.transpose(2, 0, 1)
        height, width = photo.shape[:2]
        scale = self.scale_for(width, height, settings.stroke_scale)
        if scale > 1:
            self._scaled(pixels, result, settings, scale)
        else:
            self._tiled(pixels, result, settings, settings.tile or self.tile_for(width, height) or MAX_TILE)

    def _scaled(self, photo: Array, out: Array, settings: StylizeSettings, scale: float) -> None:
        """Stylize (3,H,W) bytes or floats at a smaller size, and enlarge the result into ``out``."""

        def blend(image: Array, given: Array) -> Array:
            return blend_with_photo(image, given, settings.strength, settings.preserve_color)

        height, width = photo.shape[1:]
        with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
            small = self.backend.array(shrink(photo[None], scale))  # (1,3,h,w)
            stylized = self._stylize_batch(small, replace(settings, strength=1.0, preserve_color=False))
            enlarge(small[0], stylized[0], photo, out, blend)

    def _tiled(self, photo: Array, out: Array, settings: StylizeSettings, tile: int) -> None:
        """Stylize (3,H,W) bytes or floats into ``out``, tile by tile."""
        layout, backend = self.check_model().layout, cast(Engine, self.backend)

        def run(x: Array, position: tuple[int, int]) -> Array:
            x = backend.array(x)
            y = backend.stylize_tile(x, position, statistics)
            return like(out, blend_with_photo(y, x, settings.strength, settings.preserve_color))

        with memory_errors(f"tiles of {tile} pixels", f"lower `tile`, such as to {MIN_TILE}"):
            statistics = backend.measure(backend.array(thumbnail(photo)))
            stylize_tiled(run, photo, out, tile, layout.receptive_radius(), self.margin, layout.stride)

    def _stylize_batch(self, batch: Array, settings: StylizeSettings) -> Array:
        """Stylize (B,3,H,W) at its own size: whole, one by one, or in tiles.

        Only what the engine computes at once goes to its device.
        """
        size, _, height, width = batch.shape
        xp = array_namespace(batch)
        if tile := settings.tile or self.tile_for(width, height):
            out = xp.empty_like(batch)
            for photo, result in zip(batch, out, strict=True):
                self._tiled(photo, result, settings, tile)
            return out
        if size > 1 and self.tile_for(width, size * height):
            return xp.concat([self._stylize_batch(one[None], settings) for one in batch])
        x = self.backend.array(batch)
        y = self.backend.stylize(x)
        return like(batch, blend_with_photo(y, x, settings.strength, settings.preserve_color))
