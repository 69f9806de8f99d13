"""Optical flow between two frames, by OpenCV's DIS, and blending along it.

Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016, https://arxiv.org/abs/1603.03590.
"""

from typing import Any

import numpy as np

from faststyle.errors import InputError

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

    def between(self, frame: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where each pixel of a frame was in the frame before, and where that is reliable.

        Args:
            frame, before: (H,W,3) bytes, RGB.

        Returns:
            Flow (H,W,2), x and y in pixels, and (H,W), 1 where forward and backward flow agree (Sundaram et
            al. 2010) within the image.
        """
        grey, grey_before = (self.cv2.cvtColor(one, self.cv2.COLOR_RGB2GRAY) for one in (frame, before))
        back = self.search.calc(grey, grey_before, None)
        forth = self.warp(self.search.calc(grey_before, grey, None), back)
        gap = np.square(back + forth).sum(2)
        length = np.square(back).sum(2) + np.square(forth).sum(2)
        x, y = self.targets(back)
        height, width = back.shape[:2]
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        return back, (inside & (gap <= 0.01 * length + 0.5)).astype(np.float32)

    def warp(self, image: np.ndarray, flow: np.ndarray) -> np.ndarray:
        """Sample (H,W,C) floats where a flow (H,W,2) points to; outside, the nearest pixel of the border."""
        x, y = self.targets(flow)
        return self.cv2.remap(image, x, y, self.cv2.INTER_LINEAR, borderMode=self.cv2.BORDER_REPLICATE)

    @staticmethod
    def targets(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return column and row that each pixel's flow points to, each (H,W)."""
        height, width = flow.shape[:2]
        x = flow[..., 0] + np.arange(width, dtype=np.float32)
        return x, flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]


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
            given, given_before, stylized, stylized_before = (
                one.astype(np.float32) for one in (frame, frame_before, image, image_before)
            )
            difference = np.square(given - self.motion.warp(given_before, flow)).mean(2)
            weight = (self.share * sure * np.exp(-difference / AGREEMENT**2))[..., None]
            mixed = stylized + weight * (self.motion.warp(stylized_before, flow) - stylized)
            image = mixed.round().astype(np.uint8)
        self.before = frame, image
        return image
