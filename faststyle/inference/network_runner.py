"""Run a network over images of any size: whole, at a smaller size, or in tiles."""

import os
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from faststyle.device import memory_errors, pick_device, pick_precision, survive_fork
from faststyle.errors import InputError
from faststyle.image.color import blend_with_photo
from faststyle.inference.engines import ENGINES, pick_engine
from faststyle.inference.onnx_model import Exported
from faststyle.inference.settings import StrokeScale, StylizeSettings
from faststyle.inference.stroke_scale import auto_scale, enlarge, shrink
from faststyle.inference.tiling import (
    MAX_TILE,
    MIN_TILE,
    Tile,
    freeze,
    max_whole_pixels,
    pick_tile,
    receptive_radius,
    stylize_tiled,
    thumbnail,
)
from faststyle.models.network import Inference, TransformerNetwork


class NetworkRunner:
    """A network on a device, in a precision and an engine, for images of any size.

    Args:
        network: The trained network, or an exported one.
        margin: Width in pixels of the mirrored border that is added to images.
        device, precision, engine: As for ``Stylizer``.

    Raises:
        InputError: There is no such device, precision or engine on this machine.
    """

    def __init__(
        self,
        network: TransformerNetwork | Exported,
        margin: int,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ):
        if isinstance(network, Exported):
            if engine not in ("auto", "onnx"):
                raise InputError(f"an exported model runs in onnx, not in {engine}: leave out `engine`")
            engine, device = "onnx", "cpu" if device == "auto" else device
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.engine = pick_engine(engine, self.device, self.dtype)
        if self.engine == "onnx":
            if precision == "bf16":
                raise InputError("the engine onnx computes in fp32: leave out `precision`")
            self.dtype = torch.float32  # it computes as exported
        self.margin = margin
        self.process = os.getpid()
        self.run = ENGINES[self.engine].build(Inference(self.network, self.margin), self.device, self.dtype)

    def check_process(self) -> None:
        """Check that this process can use the network. A forked child can on a CPU, except with ``compile``.

        Raises:
            InputError: This is a forked child, and the device or the engine works only in the parent.
        """
        if os.getpid() == self.process:
            return
        survive_fork()
        if self.device.type != "cpu" or self.engine == "compile":
            raise InputError(
                f"{self.engine} on {self.device} cannot be used in a forked process: start processes with "
                "multiprocessing.get_context('spawn'), or load the model in each"
            )

    def tile_for(self, width: int, height: int) -> int | None:
        """Return the tile for an image of this size and the free memory; None if it is stylized whole."""
        if isinstance(self.network, Exported) or max(width, height) <= MIN_TILE:
            return None
        limit = max_whole_pixels(self.network, self.device)
        return pick_tile(limit, self.network) if width * height > limit else None

    def scale_for(self, width: int, height: int, stroke_scale: StrokeScale = "auto") -> float:
        """Return by how much smaller an image of this size is stylized."""
        if not isinstance(stroke_scale, str):
            return stroke_scale
        if isinstance(self.network, Exported) and self.network.size:
            return 1.0  # a file of a fixed size takes nothing smaller
        return auto_scale(height, width)

    def _weights(self) -> TransformerNetwork:
        if isinstance(self.network, Exported):
            raise InputError(
                "an exported model only stylizes whole images: take the model that it was exported from"
            )
        return self.network

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
        pixels, result = torch.from_numpy(photo).permute(2, 0, 1), torch.from_numpy(out).permute(2, 0, 1)
        height, width = photo.shape[:2]
        scale = self.scale_for(width, height, settings.stroke_scale)
        if scale > 1:
            self._scaled(pixels, result, settings, scale)
        else:
            self._tiled(pixels, result, settings, settings.tile or self.tile_for(width, height) or MAX_TILE)

    def _scaled(self, photo: Tensor, out: Tensor, settings: StylizeSettings, scale: float) -> None:
        """Stylize (3,H,W) bytes or floats at a smaller size, and enlarge the result into ``out``."""

        def blend(image: Tensor, given: Tensor) -> Tensor:
            return blend_with_photo(image, given, settings.strength, settings.preserve_color)

        height, width = photo.shape[1:]
        with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
            small = shrink(photo[None], scale)
            stylized = self._stylize_batch(small, replace(settings, strength=1.0, preserve_color=False))
            small, stylized = small[0].to(self.device), stylized[0].to(self.device)
            enlarge(small, stylized, photo, out, blend)

    def _tiled(self, photo: Tensor, out: Tensor, settings: StylizeSettings, tile: int) -> None:
        """Stylize (3,H,W) bytes or floats into ``out``, tile by tile."""

        def run(x: Tensor, place: Tensor) -> Tensor:
            x, place = x.to(self.device), place.to(self.device)
            return blend_with_photo(engine(x, place), x, settings.strength, settings.preserve_color)

        with memory_errors(f"tiles of {tile} pixels", f"lower `tile`, such as to {MIN_TILE}"):
            frozen = freeze(self._weights(), thumbnail(photo).to(self.device), self.margin)
            # The others would compile for this image alone, or take half a minute to.
            name = "openvino" if self.engine == "openvino" else "torch"
            engine = ENGINES[name].build(Tile(frozen), self.device, self.dtype)
            stylize_tiled(run, photo, out, tile, receptive_radius(frozen), self.margin, frozen.stride)

    def _stylize_batch(self, batch: Tensor, settings: StylizeSettings) -> Tensor:
        """Stylize (B,3,H,W) at its own size: whole, one by one, or in tiles."""
        size, height, width = len(batch), *batch.shape[-2:]
        if tile := settings.tile or self.tile_for(width, height):
            out = torch.empty_like(batch)
            for photo, result in zip(batch, out, strict=True):
                self._tiled(photo, result, settings, tile)
            return out
        if size > 1 and self.tile_for(width, size * height):
            return torch.cat([self._stylize_batch(one, settings) for one in batch.split(1)])
        x = batch.to(self.device, torch.float32)
        y = blend_with_photo(self.run(x), x, settings.strength, settings.preserve_color)
        return y.to(batch.device, batch.dtype)
