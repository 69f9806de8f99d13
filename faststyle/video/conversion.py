"""Convert decoded frames to upright RGB of one size."""

from typing import Any

import numpy as np

from faststyle.video.clips import shrunk_size
from faststyle.video.containers import import_av
from faststyle.video.hdr import HLG, PQ, tone_map
from faststyle.video.tags import EXACT, FULL, SCALED, colors, upright


class RgbConverter:
    """Converts the frames of a video to RGB, by the orientation and the colour tags of the first.

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
        if has_alpha(frame.format):
            frame = self.on_white(frame)
        rgb = self.reformat(frame, self.size, "rgb24").to_ndarray()
        if self.hdr is not None:
            rgb = tone_map(np.ascontiguousarray(rgb), self.hdr)
        rgb = rgb.swapaxes(0, 1) if self.turned else rgb
        return np.ascontiguousarray(rgb[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    def on_white(self, frame: Any) -> Any:
        """Composite a frame on white before it shrinks, so that hidden colours do not spread."""
        rgba = self.reformat(frame, (frame.width, frame.height), "rgba").to_ndarray()
        weight = rgba[..., 3:].astype(np.uint16)
        rgb = ((rgba[..., :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
        return import_av().VideoFrame.from_ndarray(rgb, "rgb24")

    def reformat(self, frame: Any, size: tuple[int, int], form: str) -> Any:
        """Convert a frame to a format of RGB, by the video's colour matrix and range."""
        return self.reformatter.reformat(
            frame,
            *size,
            form,
            src_colorspace=None if frame.format.is_rgb else self.matrix,
            src_color_range=FULL if frame.format.is_rgb else self.range,
            dst_color_range=FULL,
            interpolation=EXACT if size == (frame.width, frame.height) else SCALED,
        )


def has_alpha(form: Any) -> bool:
    """Return True for a pixel format that can hold transparency."""
    return form.has_palette or any(component.is_alpha for component in form.components)
