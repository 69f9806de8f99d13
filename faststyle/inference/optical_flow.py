"""Optical flow between two frames, by OpenCV's DIS, and blending along it.

Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016, https://arxiv.org/abs/1603.03590.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from faststyle.errors import InputError
from faststyle.image.warp import in_bounds_mask, warp

AGREEMENT = 12.0  # grey levels; frames that differ by more after the motion show different things


class Motion:
    """Estimates the flow from a frame to the one before, for frames of one size.

    Raises:
        InputError: OpenCV is not installed.
    """

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError:
            raise InputError("motion between frames is found by OpenCV: pip install -e '.[flow]'") from None
        self.cv2: Any = cv2
        self.search = self.cv2.DISOpticalFlow_create(self.cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, frame: np.ndarray, before: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return where each pixel of a frame was in the frame before, and where that is reliable.

        Args:
            frame, before: (H,W,3) bytes, RGB.

        Returns:
            Flow (1,2,H,W) in pixels, and (1,1,H,W), 1 where forward and backward flow agree
            (Sundaram et al. 2010) within the image.
        """
        grey, grey_before = (self.cv2.cvtColor(one, self.cv2.COLOR_RGB2GRAY) for one in (frame, before))
        back = to_tensor(self.search.calc(grey, grey_before, None))
        forth = warp(to_tensor(self.search.calc(grey_before, grey, None)), back)
        gap = (back + forth).square().sum(1, keepdim=True)
        length = back.square().sum(1, keepdim=True) + forth.square().sum(1, keepdim=True)
        return back, in_bounds_mask(back) * (gap <= 0.01 * length + 0.5)


def to_tensor(flow: np.ndarray) -> Tensor:
    """Convert (H,W,2) to (1,2,H,W)."""
    return torch.from_numpy(flow).permute(2, 0, 1)[None]


class Blend:
    """Mixes each stylized frame with the one before it, moved along the motion, where the two agree.

    Args:
        share: Weight of the frame before, from 0 to below 1.
    """

    def __init__(self, share: float):
        self.share, self.motion = share, Motion()
        self.before: tuple[np.ndarray, np.ndarray] | None = None  # the frame and its result

    def __call__(self, image: np.ndarray, frame: np.ndarray, cut: bool) -> np.ndarray:
        """Blend a stylized frame with the last result.

        Args:
            image: The stylized frame, (H,W,3) bytes.
            frame: The original frame, likewise.
            cut: A new shot begins with this frame.
        """
        if self.before is not None and not cut and self.before[0].shape == frame.shape:
            frame_before, image_before = self.before
            flow, sure = self.motion.between(frame, frame_before)
            moved_frame, moved_image = (warp(to_floats(one), flow) for one in (frame_before, image_before))
            difference = (to_floats(frame) - moved_frame).square().mean(1, keepdim=True)
            weight = self.share * sure * torch.exp(-difference / AGREEMENT**2)
            mixed = torch.lerp(to_floats(image), moved_image, weight)
            image = mixed[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
        self.before = frame, image
        return image


def to_floats(frame: np.ndarray) -> Tensor:
    """Convert (H,W,3) bytes to (1,3,H,W) in 0…255."""
    return torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1)[None]
