"""Convert decoded frames to upright RGB of one size."""

from typing import Any

import numpy as np

from faststyle.video.clips import shrunk_size
from faststyle.video.containers import import_av
from faststyle.video.hdr import HLG, PQ, tone_map
from faststyle.video.tags import EXACT, FULL, SCALED, colors, upright


class RgbConverter:
    """Converts the frames of a video to RGB as its first frame says.

    Args:
        first: The first frame, with the video's orientation and colour tags.
        max_size: Shrink frames whose longer side has more pixels.

    Attributes:
        width, height: Size in pixels, upright.
        turned: True if the frames are stored with their sides swapped.
        colors: Tags for a recording.
    """

    def __init__(self, first: Any, max_size: int | None):
        self.turned, self.flip_x, self.flip_y = upright(first)
        width, height = (first.height, first.width) if self.turned else (first.width, first.height)
        self.width, self.height = shrunk_size(width, height, max_size)
        self.size = (self.height, self.width) if self.turned else (self.width, self.height)
        self.hdr = first.color_trc if first.color_trc in (PQ, HLG) else None
        self.matrix, self.range, self.colors = colors(first, self.hdr is not None)
        self.reformatter = import_av().video.reformatter.VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """Return a frame as (H,W,3) uint8 RGB, upright."""
        alpha = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
        rgb = self.reformatter.reformat(
            frame,
            *self.size,
            "rgba" if alpha else "rgb24",
            src_colorspace=None if frame.format.is_rgb else self.matrix,
            src_color_range=self.range,
            dst_color_range=FULL,
            interpolation=EXACT if self.size == (frame.width, frame.height) else SCALED,
        ).to_ndarray()
        if alpha:  # composited on white
            weight = rgb[..., 3:].astype(np.uint16)
            rgb = ((rgb[..., :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
        if self.hdr is not None:
            rgb = tone_map(np.ascontiguousarray(rgb), self.hdr)
        rgb = rgb.swapaxes(0, 1) if self.turned else rgb
        return np.ascontiguousarray(rgb[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])
