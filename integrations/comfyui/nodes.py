"""ComfyUI's nodes. An IMAGE is a tensor (B,H,W,3) and a MASK a tensor (B,H,W), both floats in [0,1]."""

import functools
from collections.abc import Iterable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from faststyle import InputError, Stylizer
from faststyle.image.convert import to_image, to_tensor
from faststyle.inference.settings import MAX_STROKE_SCALE, StylizeSettings
from faststyle.models.pretrained import built_in_styles, style_for_videos
from faststyle.models.style_encoder import bake_style


@functools.lru_cache(maxsize=4)
def load(name: str) -> Stylizer:
    """Load a model once."""
    return Stylizer.load(name)


def to_images(tensor: Tensor) -> list[Image.Image]:
    """Convert an IMAGE to PIL images."""
    return [to_image(one.movedim(-1, 0)) for one in tensor]


def to_batch(images: Iterable[Image.Image]) -> Tensor:
    """Convert RGB images of one size to an IMAGE."""
    return torch.stack([to_tensor(image).movedim(0, -1) for image in images])


class StyleModel:
    """Choose a model: a built-in style, a painting at once, or a file, hf://USER/REPO or a blend by name."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("FASTSTYLE",), "choose", "faststyle"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"style": (list(built_in_styles()),)},
            "optional": {
                "name": ("STRING", {"default": "", "tooltip": "replaces the style: a file, hf://…, a blend"}),
                "painting": ("IMAGE", {"tooltip": "replaces the style and the name"}),
            },
        }

    def choose(self, style: str, name: str = "", painting: Tensor | None = None) -> tuple[str | Stylizer]:
        """Return the model, by name where it has one."""
        if painting is not None:
            return (Stylizer(bake_style(to_images(painting[:1, ..., :3])[0], "the painting")),)
        return (name.strip() or style,)


class Stylize:
    """Stylize images, or the frames of one video."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "stylize", "faststyle"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        strength = {"default": StylizeSettings.strength, "min": 0.0, "max": 1.0, "step": 0.05}
        strokes = {
            "default": 0.0,
            "min": 0.0,
            "max": MAX_STROKE_SCALE,
            "step": 0.5,
            "tooltip": "below 1: automatic; not for frames of a video",
        }
        return {
            "required": {
                "image": ("IMAGE",),
                "model": ("FASTSTYLE",),
                "strength": ("FLOAT", strength),
                "preserve_color": ("BOOLEAN", {"default": StylizeSettings.preserve_color}),
                "stroke_scale": ("FLOAT", strokes),
                "frames_of_a_video": ("BOOLEAN", {"default": False, "tooltip": "less flicker"}),
            },
            "optional": {"mask": ("MASK", {"tooltip": "white where the style is wanted"})},
        }

    def stylize(
        self,
        image: Tensor,
        model: str | Stylizer,
        strength: float,
        preserve_color: bool,
        stroke_scale: float,
        frames_of_a_video: bool,
        mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        """Stylize (B,H,W,3); the images stay as they are where the mask, (B,H,W) or (1,H,W), is 0."""
        if isinstance(model, str):
            model = load(style_for_videos(model) if frames_of_a_video else model)
        photos = to_images(image[..., :3])
        if frames_of_a_video:
            images = model.video(photos, strength, preserve_color)
        else:
            scale = stroke_scale if stroke_scale >= 1 else "auto"
            images = model(photos, strength=strength, preserve_color=preserve_color, stroke_scale=scale)
        result = to_batch(images).to(image)
        if mask is not None:
            result = torch.lerp(image[..., :3], result, stretch_mask(mask, image))
        return (result,)


def stretch_mask(mask: Tensor, image: Tensor) -> Tensor:
    """Stretch a MASK to an IMAGE: (B,H,W,1) or (1,H,W,1).

    Raises:
        InputError: There is neither one mask nor one for each image.
    """
    masks = mask.reshape(-1, 1, *mask.shape[-2:]).to(image)
    if len(masks) not in (1, len(image)):
        raise InputError(f"{len(masks)} masks for {len(image)} images: give one, or one for each image")
    return interpolate(masks.clamp(0, 1), image.shape[1:3], mode="bilinear").movedim(1, -1)


NODE_CLASS_MAPPINGS = {"FastStyleModel": StyleModel, "FastStyleStylize": Stylize}
NODE_DISPLAY_NAME_MAPPINGS = {"FastStyleModel": "Style model", "FastStyleStylize": "Stylize"}
