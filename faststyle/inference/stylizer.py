"""The public class to stylize images and videos with a model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from PIL import Image

from faststyle.device import describe_cpu, describe_device, memory_errors, pick_device
from faststyle.errors import InputError
from faststyle.image.arrays import Array, array_namespace, is_tensor
from faststyle.image.convert import from_array, limit_size, to_array, to_rgb
from faststyle.inference.engines.base import Engine
from faststyle.inference.engines.onnx_model import Exported
from faststyle.inference.network_runner import NetworkRunner
from faststyle.inference.settings import StrokeScale, StylizeSettings, VideoSettings
from faststyle.models import hub
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import write_model
from faststyle.models.find import find_grams, find_model
from faststyle.models.model import Model, model_of

if TYPE_CHECKING:
    from torch import Tensor

    from faststyle.models.network import TransformerNetwork

Images = TypeVar("Images", bound=Any)  # an image, a tensor, or a list of images


class Stylizer(NetworkRunner):
    """Stylizes images and videos with one trained network.

    Args:
        network: The trained network, a model in memory, or an exported one.
        card: Metadata of the model; by default that of the model in memory.
        device: auto, cpu, cuda, cuda:1, mps, …
        precision: auto (bf16 where the hardware computes in it), fp32, bf16 or fp16.
        engine: auto (OpenVINO on a CPU where it is installed, else torch), or a key of ``ENGINES``.

    Raises:
        InputError: There is no such device, precision or engine on this machine.
    """

    def __init__(
        self,
        network: TransformerNetwork | Model | Exported,
        card: ModelCard | None = None,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ):
        if not isinstance(network, Model | Exported):
            network = model_of(network, card or ModelCard())
        self.card = card or network.card
        self.source: str | Path | None = None  # name or file of the model
        self.choice = device, precision, engine
        super().__init__(network, self.card.margin, device, precision, engine)

    @classmethod
    def load(
        cls, checkpoint: str | Path, device: str = "auto", precision: str = "auto", engine: str = "auto"
    ) -> Stylizer:
        """Load a built-in style, a model file, ``hf://user/repo``, a blend such as ``"a:0.6,b:0.4"``, or an
        exported model.

        Raises:
            InputError: There is no such model, the file is no model, or there is no such device, precision
                or engine on this machine.
        """
        is_exported = Path(checkpoint).suffix == ".onnx"
        model = Exported(Path(checkpoint)) if is_exported else find_model(checkpoint)
        stylizer = cls(model, None, device, precision, engine)
        stylizer.source = checkpoint
        return stylizer

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the stylizer was made of; another process loads the model again."""
        if self.source is not None:
            return Stylizer.load, (self.source, *self.choice)
        return Stylizer, (self.model, self.card, *self.choice)

    @cached_property
    def network(self) -> TransformerNetwork:
        """The network, in eval mode on the CPU.

        Raises:
            InputError: The model is exported.
        """
        return self.check_model().build_network()

    def grams(self) -> dict[str, Tensor]:
        """Return the painting's Gram matrices by layer; none where the model's file has none."""
        try:
            return find_grams(self.source) if self.source is not None else {}
        except InputError:
            return {}

    def __str__(self) -> str:
        where = describe_cpu() if self.device == "cpu" else describe_device(pick_device(self.device))
        return f"{self.engine}, {self.precision}, {where}"

    def push_to_hub(self, repo: str, sample: Path | None = None) -> str:
        """Publish the model in ``user/repo`` on the Hugging Face Hub, and return its page's address.

        Args:
            repo: user/repo; created if there is none.
            sample: Image file to show on the page.

        Raises:
            InputError: There is no login, no permission to write, or no network.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            write_model(path, self.check_model(), self.grams())
            return hub.push(path, repo, self.card, sample)

    def __call__(
        self,
        image: Images,
        strength: float = StylizeSettings.strength,
        preserve_color: bool = StylizeSettings.preserve_color,
        max_size: int | None = StylizeSettings.max_size,
        tile: int | None = StylizeSettings.tile,
        stroke_scale: StrokeScale = StylizeSettings.stroke_scale,
    ) -> Images:
        """Stylize an image, a batch, or a list, and return the same type.

        Args:
            image: A PIL image of any mode (alpha is kept, the result is RGB or RGBA), a list of images of
                any sizes, or a tensor (3,H,W) or (B,3,H,W), RGB in [0,1].
            strength: 0 gives the photo, 1 the stylization, between them a blend.
            preserve_color: Keep the photo's colours, and take only light and dark from the style.
            max_size: Shrink a PIL image first to this many pixels of the longer side.
            tile: Stylize in tiles of this many pixels a side, in little memory. By default only images
                larger than memory are stylized so, in tiles that fit.
            stroke_scale: Strokes so many times as large: the network sees the image smaller by as much, and
                the photo's edges come back when the result is enlarged. auto keeps the strokes' size
                relative to the image above 640 pixels; 1 is the network's own strokes.

        Raises:
            InputError: A value out of the range of ``StylizeSettings``, or a tensor of another shape.
        """
        self.check_process()
        settings = StylizeSettings(strength, preserve_color, max_size, stroke_scale, tile)
        return self._stylize(image, settings)

    def _stylize(self, image: Any, settings: StylizeSettings) -> Any:
        if is_tensor(image):
            return self._stylize_tensor(image, settings)
        if isinstance(image, list | tuple):
            return [self._stylize(one, settings) for one in image]
        if not isinstance(image, Image.Image):
            raise InputError(
                f"expected a PIL image, a list of images, or a tensor, not {type(image).__name__}"
            )
        image = limit_size(to_rgb(image), settings.max_size)
        opaque = image if image.mode == "RGB" else image.convert("RGB")
        width, height = image.size
        scale = self.scale_for(width, height, settings.stroke_scale)
        if scale > 1 or settings.tile or self.tile_for(width, height):
            pixels = np.array(opaque)
            stylized = np.empty_like(pixels)
            self.stylize_pixels(pixels, stylized, settings)
            result = Image.fromarray(stylized)
        else:
            with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
                result = from_array(self._stylize_batch(to_array(opaque)[None], settings)[0])
        if image.mode == "RGBA":
            result.putalpha(image.getchannel("A"))
        return result

    def video(
        self,
        source: str | Path | Iterable[Any],
        strength: float = VideoSettings.strength,
        preserve_color: bool = VideoSettings.preserve_color,
        max_size: int | None = VideoSettings.max_size,
        motion_blend: float = VideoSettings.motion_blend,
        live: bool = False,
    ) -> Iterator[Any]:
        """Stylize a video, frame after frame, in memory that does not grow with its length.

        The norms use running means over the frames of a shot as statistics, so that the image does not
        change its tone when something enters. The engine onnx and frames larger than memory have no
        running means. A thread decodes frames while others are stylized.

        Args:
            source: A video file, which yields arrays (H,W,3) of uint8; or frames as PIL images, such
                arrays, or a ``Clip``, which yield the same type.
            strength, preserve_color: As for images.
            max_size: Shrink a video file to this many pixels of the longer side.
            motion_blend: Share of each frame, from 0 to below 1, that is taken from the frame before it,
                moved along the motion, where the two agree. It reduces flicker, and takes time.
            live: Yield each frame before the next is read.

        Returns:
            An iterator over the stylized frames.

        Raises:
            InputError: A value out of the range of ``VideoSettings``; there is no such video; it is damaged
                (raised after the frames before the damage); or OpenCV, for motion_blend, is missing.
        """
        self.check_process()
        from faststyle.inference.video import VideoStylizer

        settings = VideoSettings(strength, preserve_color, max_size, motion_blend)
        whole = partial(self._stylize, settings=StylizeSettings(strength, preserve_color, stroke_scale=1.0))
        # The engine onnx runs norms without running means.
        backend = None if self.engine == "onnx" else cast(Engine, self.backend)
        return VideoStylizer(backend, whole, self.tile_for, settings).stream(source, live)

    def _stylize_tensor(self, photos: Tensor, settings: StylizeSettings) -> Tensor:
        if photos.ndim not in (3, 4) or photos.shape[-3] != 3 or 0 in photos.shape:
            raise InputError(f"expected a tensor (3,H,W) or (B,3,H,W), not {tuple(photos.shape)}")
        if not photos.is_floating_point():
            raise InputError(f"expected floats in [0,1], not {photos.dtype}: divide by 255 first")
        height, width = photos.shape[-2:]
        batch = photos.detach() if photos.ndim == 4 else photos.detach()[None]
        with memory_errors(
            f"{width}x{height} pixels", "take a smaller image, lower `max_size`, or set `device` to cpu"
        ):
            result = self._stylize_photos(batch.float(), settings)
        return result.to(photos.dtype).view_as(photos)

    def _stylize_photos(self, batch: Array, settings: StylizeSettings) -> Array:
        """Stylize (B,3,H,W) at its own size or smaller."""
        scale = self.scale_for(batch.shape[3], batch.shape[2], settings.stroke_scale)
        if scale == 1:
            return self._stylize_batch(batch, settings)
        result = array_namespace(batch).empty_like(batch)
        for photo, out in zip(batch, result, strict=True):
            self._scaled(photo, out, settings, scale)
        return result
