"""Load a model and stylize pictures with it."""

import tempfile
from pathlib import Path
from typing import overload

import torch
from PIL import Image
from torch import Tensor

from faststyle import hub
from faststyle.checkpoint import Card, save_model
from faststyle.color import keep_color
from faststyle.device import describe_device, memory_errors, pick_device, pick_precision
from faststyle.engines import ENGINES, pick_engine
from faststyle.errors import InputError
from faststyle.images import fit, to_image, to_rgb, to_tensor
from faststyle.models import find_model
from faststyle.transformer import MARGIN, Inference, TransformerNetwork


class Stylizer:
    """Stylizes pictures with one trained network.

    Args:
        network: the trained network.
        card: what it was trained with.
        device: auto, cpu, cuda, cuda:1, mps, …
        precision: auto (bf16 where the hardware computes in it), fp32, bf16 or fp16.
        engine: auto (OpenVINO on a CPU where it is installed, else torch), or a key of ``ENGINES``.

    Raises:
        InputError: no such device, precision or engine here.
    """

    def __init__(
        self,
        network: TransformerNetwork,
        card: Card,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ):
        self.card = card
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.engine = pick_engine(engine, self.device, self.dtype)
        # A peer's model gives the very picture that it gives there.
        self.margin = 0 if "source" in card else MARGIN
        self.run = ENGINES[self.engine].build(Inference(self.network, self.margin), self.device, self.dtype)

    @classmethod
    def load(
        cls, checkpoint: str | Path, device: str = "auto", precision: str = "auto", engine: str = "auto"
    ) -> "Stylizer":
        """Load a ready style, a model file, ``hf://user/repo``, or a blend such as ``"a:0.6,b:0.4"``.

        Raises:
            InputError: no such model, not a model, or no such device, precision or engine here.
        """
        return cls(*find_model(checkpoint), device=device, precision=precision, engine=engine)

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
            save_model(path, self.network, self.card)
            return hub.push(path, repo, self.card, sample)

    @overload
    def __call__(
        self,
        picture: Image.Image,
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
    ) -> Image.Image: ...

    @overload
    def __call__(
        self,
        picture: Tensor,
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
    ) -> Tensor: ...

    @overload
    def __call__(
        self,
        picture: list[Image.Image],
        strength: float = 1.0,
        preserve_color: bool = False,
        max_size: int | None = None,
    ) -> list[Image.Image]: ...

    def __call__(self, picture, strength=1.0, preserve_color=False, max_size=None):
        """Stylize a picture, a batch, or a list, and return what was given.

        Args:
            picture: a PIL picture of any mode (alpha is carried through, the result is RGB or
                RGBA), a list of them in any sizes, or a tensor (3,H,W) or (B,3,H,W), RGB in [0,1].
            strength: 0 gives the photo, 1 the stylization, between them a blend.
            preserve_color: keep the photo's colours, and take only light and dark from the style.
            max_size: shrink a PIL picture first, so that its longer side has at most so many pixels.

        Raises:
            InputError: strength outside 0…1, or a tensor of another shape.
        """
        if not 0 <= strength <= 1:
            raise InputError(f"strength must be from 0 (the photo) to 1 (the stylization), not {strength}")
        if isinstance(picture, Tensor):
            return self._stylize_tensor(picture, strength, preserve_color)
        if isinstance(picture, list | tuple):
            return [self(one, strength, preserve_color, max_size) for one in picture]
        if not isinstance(picture, Image.Image):
            raise InputError(
                f"expected a PIL picture, a list of them, or a tensor, not {type(picture).__name__}"
            )
        picture = fit(to_rgb(picture), max_size)
        photo = to_tensor(picture.convert("RGB"))
        result = to_image(self._stylize_tensor(photo, strength, preserve_color))
        if picture.mode == "RGBA":
            result.putalpha(picture.getchannel("A"))
        return result

    def _stylize_tensor(self, photos: Tensor, strength: float, preserve_color: bool) -> Tensor:
        if photos.ndim not in (3, 4) or photos.shape[-3] != 3 or 0 in photos.shape:
            raise InputError(f"expected a tensor (3,H,W) or (B,3,H,W), not {tuple(photos.shape)}")
        if not photos.is_floating_point():
            raise InputError(f"expected floats in [0,1], not {photos.dtype}: divide by 255 first")
        x = photos.to(self.device, torch.float32)
        height, width = x.shape[-2:]
        with memory_errors(
            f"{width}x{height} pixels", "a smaller picture, --max-size (max_size), or the device cpu"
        ):
            return self._run(x, strength, preserve_color).to(photos.device, photos.dtype)

    def _run(self, x: Tensor, strength: float, preserve_color: bool) -> Tensor:
        y = self.run(x if x.ndim == 4 else x[None])
        y = y if x.ndim == 4 else y[0]
        if preserve_color:
            y = keep_color(y, x).clamp(0, 1)
        return y if strength == 1 else torch.lerp(x, y, strength)
