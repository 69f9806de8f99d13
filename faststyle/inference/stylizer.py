"""Load a model and stylize pictures with it."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faststyle.device import describe_device, memory_errors, pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.image.color import finish
from faststyle.image.convert import fit, to_image, to_rgb, to_tensor
from faststyle.inference.engines import ENGINES, Run, pick_engine
from faststyle.inference.onnx_model import Exported
from faststyle.inference.stroke_scale import AUTO, StrokeScale, auto_scale, enlarge, shrink
from faststyle.inference.temporal_norm import SteadyNetwork
from faststyle.inference.tiling import (
    LEAST_TILE,
    TILE,
    Tile,
    freeze,
    most_pixels,
    pick_tile,
    reach,
    stylize_tiled,
    thumbnail,
)
from faststyle.inference.video import Item, VideoStylizer
from faststyle.models import hub
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.find import find_grams, find_model
from faststyle.models.network import Inference, TransformerNetwork


class Stylizer:
    """Stylizes pictures with one trained network.

    Args:
        network: the trained network, or what was exported of one.
        card: what it was trained with.
        device: auto, cpu, cuda, cuda:1, mps, …
        precision: auto (bf16 where the hardware computes in it), fp32, bf16 or fp16.
        engine: auto (OpenVINO on a CPU where it is installed, else torch), or a key of ``ENGINES``.

    Raises:
        InputError: no such device, precision or engine here.
    """

    def __init__(
        self,
        network: TransformerNetwork | Exported,
        card: ModelCard,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ):
        self.card = card
        self.source: str | Path | None = None  # what it was loaded from
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
        self.margin = card.margin
        self.run = ENGINES[self.engine].build(Inference(self.network, self.margin), self.device, self.dtype)

    @classmethod
    def load(
        cls, checkpoint: str | Path, device: str = "auto", precision: str = "auto", engine: str = "auto"
    ) -> "Stylizer":
        """Load a ready style, a model file, ``hf://user/repo``, a blend such as ``"a:0.6,b:0.4"``, or an
        exported model.

        Raises:
            InputError: no such model, not a model, or no such device, precision or engine here.
        """
        if Path(checkpoint).suffix == ".onnx":
            exported = Exported(Path(checkpoint))
            return cls(exported, exported.card, device, precision, engine)
        stylizer = cls(*find_model(checkpoint), device=device, precision=precision, engine=engine)
        stylizer.source = checkpoint
        return stylizer

    def grams(self) -> dict[str, Tensor]:
        """Read the painting's Gram matrices from the model's file; nothing where it has none."""
        try:
            return find_grams(self.source) if self.source is not None else {}
        except InputError:
            return {}

    def __str__(self) -> str:
        precision = str(self.dtype).removeprefix("torch.")
        return f"{self.engine}, {precision}, {describe_device(self.device)}"

    def push_to_hub(self, repo: str, sample: Path | None = None) -> str:
        """Publish the model in ``user/repo`` on the Hugging Face Hub, and return its page's address.

        Args:
            repo: user/repo; made if there is none.
            sample: the file of a picture to show on the page.

        Raises:
            InputError: no login, no right to write there, or no network.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_model(path, self._weights(), self.card, self.grams())
            return hub.push(path, repo, self.card, sample)

    @overload
    def __call__(
        self,
        picture: Image.Image,
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
        tile: int | None = None,
        stroke_scale: StrokeScale = AUTO,
    ) -> Image.Image: ...

    @overload
    def __call__(
        self,
        picture: Tensor,
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
        tile: int | None = None,
        stroke_scale: StrokeScale = AUTO,
    ) -> Tensor: ...

    @overload
    def __call__(
        self,
        picture: list[Image.Image],
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
        tile: int | None = None,
        stroke_scale: StrokeScale = AUTO,
    ) -> list[Image.Image]: ...

    def __call__(
        self, picture, strength=1.0, preserve_color=False, max_size=None, tile=None, stroke_scale=AUTO
    ):
        """Stylize a picture, a batch, or a list, and return what was given.

        Args:
            picture: a PIL picture of any mode (alpha is carried through, the result is RGB or
                RGBA), a list of them in any sizes, or a tensor (3,H,W) or (B,3,H,W), RGB in [0,1].
            strength: 0 gives the photo, 1 the stylization, between them a blend.
            preserve_color: keep the photo's colours, and take only light and dark from the style.
            max_size: shrink a PIL picture first, so that its longer side has at most so many pixels.
            tile: stylize tile by tile, in little memory, each of so many pixels a side; without it
                that is done, with a size that fits, where the memory there is does not hold the whole.
            stroke_scale: strokes so many times as large: the network sees the image smaller by so much, and
                the photo's edges come back when it is enlarged. auto keeps their size relative to the image
                above 640 pixels, where the networks are at their best; 1 is the network's own strokes.

        Raises:
            InputError: strength outside 0…1, a tile or stroke_scale below 1, or a tensor of another shape.
        """
        check_strength(strength)
        if tile is not None and tile < 1:
            raise InputError(f"`tile` must be 1 pixel or more, such as {TILE}, not {tile}")
        if stroke_scale != AUTO and not (isinstance(stroke_scale, int | float) and stroke_scale >= 1):
            raise InputError(
                f"`stroke_scale` must be auto, or 1 (the network's strokes) or more, not {stroke_scale}"
            )
        if isinstance(picture, Tensor):
            return self._stylize_tensor(picture, strength, preserve_color, tile, stroke_scale)
        if isinstance(picture, list | tuple):
            return [self(one, strength, preserve_color, max_size, tile, stroke_scale) for one in picture]
        if not isinstance(picture, Image.Image):
            raise InputError(
                f"expected a PIL picture, a list of them, or a tensor, not {type(picture).__name__}"
            )
        picture = fit(to_rgb(picture), max_size)
        opaque = picture if picture.mode == "RGB" else picture.convert("RGB")
        width, height = picture.size
        scale = self.scale_for(width, height, stroke_scale)
        if scale > 1 or tile or self.tile_for(width, height):
            pixels = np.array(opaque)
            stylized = np.empty_like(pixels)
            self.stylize_pixels(pixels, stylized, strength, preserve_color, tile, scale)
            result = Image.fromarray(stylized)
        else:
            photo = to_tensor(opaque, self.device)
            result = to_image(self._stylize_tensor(photo, strength, preserve_color, None, 1.0))
        if picture.mode == "RGBA":
            result.putalpha(picture.getchannel("A"))
        return result

    @overload
    def video(
        self,
        source: str | Path,
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
        motion_blend: float = 0.0,
        live: bool = False,
    ) -> Iterator[np.ndarray]: ...

    @overload
    def video(
        self,
        source: Iterable[Item],
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
        motion_blend: float = 0.0,
        live: bool = False,
    ) -> Iterator[Item]: ...

    def video(self, source, strength=1.0, preserve_color=False, max_size=None, motion_blend=0.0, live=False):
        """Stylize a video, frame after frame, in memory that does not grow with its length.

        The norms use running means over the frames of a shot as statistics, so that the image does not
        change its tone when something enters. The engine onnx and frames larger than memory have no
        running means. A thread decodes frames while others are stylized.

        Args:
            source: A video file, which yields arrays (H,W,3) of uint8; or frames as PIL images, such
                arrays, or a ``Clip``, which yield the same type.
            strength: 0 gives the frame, 1 the stylization, between them a blend.
            preserve_color: Keep the frame's colours, and take only light and dark from the style.
            max_size: Shrink a video file to this many pixels of the longer side.
            motion_blend: Share of each frame, from 0 to below 1, that is taken from the frame before it,
                moved along the motion, where the two agree. It reduces flicker, and takes time.
            live: Yield each frame before the next is read.

        Returns:
            An iterator over the stylized frames.

        Raises:
            InputError: There is no such video; the video is damaged (raised after the frames before the
                damage); strength or motion_blend is out of range; or motion_blend needs OpenCV, which is
                missing.
        """
        check_strength(strength)
        if not 0 <= motion_blend < 1:
            raise InputError(f"`motion_blend` must be from 0 to below 1, such as 0.5, not {motion_blend}")
        whole = partial(self, strength=strength, preserve_color=preserve_color, stroke_scale=1)
        # The engine onnx runs norms without running means.
        build = None if self.engine == "onnx" else lambda: self._video_network
        video = VideoStylizer(
            build, whole, self.tile_for, self.device, strength, preserve_color, motion_blend
        )
        return video.stream(source, max_size, live)

    @cached_property
    def _video_network(self) -> tuple[Run, Tensor]:
        """The network for video frames, and the statistics of its norms before the first frame."""
        network = SteadyNetwork(self._weights(), self.margin).to(self.device).eval()
        run = ENGINES[self.engine].build(network, self.device, self.dtype)
        return run, network.blank().to(self.device)

    def tile_for(self, width: int, height: int) -> int | None:
        """The tile by which a picture of this size is stylized here now; None where it is whole."""
        if isinstance(self.network, Exported) or max(width, height) <= LEAST_TILE:
            return None
        most = most_pixels(self.network, self.device)
        return pick_tile(most, self.network) if width * height > most else None

    def scale_for(self, width: int, height: int, stroke_scale: StrokeScale = AUTO) -> float:
        """Return by how much smaller an image of this size is stylized."""
        return auto_scale(height, width) if isinstance(stroke_scale, str) else stroke_scale

    def _weights(self) -> TransformerNetwork:
        if isinstance(self.network, Exported):
            raise InputError(
                "an exported model only stylizes pictures whole: take the model it was exported from"
            )
        return self.network

    def stylize_pixels(
        self,
        photo: np.ndarray,
        out: np.ndarray,
        strength: float = 1.0,
        preserve_color: bool = False,
        tile: int | None = None,
        stroke_scale: StrokeScale = AUTO,
    ) -> None:
        """Stylize an image of any size, in strips at a smaller size, or tile by tile.

        Tiles have the statistics of the image's thumbnail.

        Args:
            photo: (H,W,3) bytes; it may be a file that is mapped into memory.
            out: (H,W,3) bytes, another: where the result goes.
            strength, preserve_color, tile, stroke_scale: as for a whole picture.

        Raises:
            InputError: not even a tile fits into memory.
        """
        pixels, result = torch.from_numpy(photo).permute(2, 0, 1), torch.from_numpy(out).permute(2, 0, 1)
        scale = self.scale_for(photo.shape[1], photo.shape[0], stroke_scale)
        if scale > 1:
            self._scaled(pixels, result, strength, preserve_color, tile, scale)
        else:
            tile = tile or self.tile_for(photo.shape[1], photo.shape[0]) or TILE
            self._tiled(pixels, result, strength, preserve_color, tile)

    def _scaled(
        self,
        photo: Tensor,
        out: Tensor,
        strength: float,
        preserve_color: bool,
        tile: int | None,
        scale: float,
    ) -> None:
        def blend(image: Tensor, given: Tensor) -> Tensor:
            return finish(image, given, strength, preserve_color)

        height, width = photo.shape[1:]
        with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
            small = shrink(photo[None], scale)
            stylized = self._stylize_batch(small, 1.0, False, tile)
            small, stylized = small[0].to(self.device), stylized[0].to(self.device)
            enlarge(small, stylized, photo, out, blend)

    def _tiled(self, photo: Tensor, out: Tensor, strength: float, preserve_color: bool, tile: int) -> None:
        def run(x: Tensor, place: Tensor) -> Tensor:
            x, place = x.to(self.device), place.to(self.device)
            return finish(engine(x, place), x, strength, preserve_color)

        with memory_errors(f"tiles of {tile} pixels", f"lower `tile`, such as to {LEAST_TILE}"):
            frozen = freeze(self._weights(), thumbnail(photo).to(self.device), self.margin)
            # The others would compile for this image alone, or take half a minute to.
            name = "openvino" if self.engine == "openvino" else "torch"
            engine = ENGINES[name].build(Tile(frozen), self.device, self.dtype)
            stylize_tiled(run, photo, out, tile, reach(frozen), self.margin, frozen.stride)

    @torch.no_grad()
    def _stylize_tensor(
        self,
        photos: Tensor,
        strength: float,
        preserve_color: bool,
        tile: int | None,
        stroke_scale: StrokeScale,
    ) -> Tensor:
        if photos.ndim not in (3, 4) or photos.shape[-3] != 3 or 0 in photos.shape:
            raise InputError(f"expected a tensor (3,H,W) or (B,3,H,W), not {tuple(photos.shape)}")
        if not photos.is_floating_point():
            raise InputError(f"expected floats in [0,1], not {photos.dtype}: divide by 255 first")
        height, width = photos.shape[-2:]
        batch = photos.detach() if photos.ndim == 4 else photos.detach()[None]
        with memory_errors(
            f"{width}x{height} pixels", "take a smaller image, lower `max_size`, or set `device` to cpu"
        ):
            scale = self.scale_for(width, height, stroke_scale)
            if scale == 1:
                return self._stylize_batch(batch, strength, preserve_color, tile).view_as(photos)
            result = torch.empty_like(batch)
            for photo, out in zip(batch, result, strict=True):
                self._scaled(photo, out, strength, preserve_color, tile, scale)
            return result.view_as(photos)

    def _stylize_batch(
        self, batch: Tensor, strength: float, preserve_color: bool, tile: int | None
    ) -> Tensor:
        """(B,3,H,W) to the same, whole, one by one, or by tiles."""
        size, height, width = len(batch), *batch.shape[-2:]
        if tile := tile or self.tile_for(width, height):
            out = torch.empty_like(batch)
            for photo, result in zip(batch, out, strict=True):
                self._tiled(photo, result, strength, preserve_color, tile)
            return out
        if size > 1 and self.tile_for(width, size * height):
            return torch.cat(
                [self._stylize_batch(one, strength, preserve_color, None) for one in batch.split(1)]
            )
        x = batch.to(self.device, torch.float32)
        return finish(self.run(x), x, strength, preserve_color).to(batch.device, batch.dtype)


def check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise InputError(f"`strength` must be from 0 (the photo) to 1 (the stylization), not {strength}")


def finished(image: Image.Image, photo: Image.Image, strength: float, preserve_color: bool) -> Image.Image:
    """Blend a stylization with its photo, as ``Stylizer`` does at the end; both are of one size."""
    if strength == 1 and not preserve_color:
        return image
    stylized, given = (to_tensor(one.convert("RGB"))[None] for one in (image, photo))
    result = to_image(finish(stylized, given, strength, preserve_color)[0])
    if image.mode == "RGBA":
        result.putalpha(image.getchannel("A"))
    return result
