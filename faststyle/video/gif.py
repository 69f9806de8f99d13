"""Size, rate and colours of animated GIFs, whose files would be large otherwise."""

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from PIL import Image

from faststyle.video.containers import import_av

MAX_SIDE = 480  # pixels of the longer side, unless the user gives another
MAX_RATE = 15  # frames per second, likewise
COLORS = 128  # a quarter less data than 256, and hardly seen among strokes
# A palette serves until a frame's error exceeds that of the palette's own frame by this factor and levels.
ERROR_FACTOR, ERROR_LEVELS = 1.3, 1
SAMPLE = 2  # palettes and errors are computed from every second pixel in both directions


def gif_rate(rate: Fraction) -> Fraction:
    """Return the rate at which every frame, every second or every third one is shown, up to ``MAX_RATE``."""
    return rate / ceil(rate / MAX_RATE)


class GifPalette:
    """Converts frames to 128 colours, and keeps the palette while its error is small.

    What does not move then has the same values in every frame, so that it takes no space in the file.
    """

    def __init__(self) -> None:
        self.colors: Image.Image | None = None  # an image that has the palette
        self.max_error = 0.0

    def __call__(self, pixels: np.ndarray) -> Any:
        """Convert (H,W,3) uint8 to a frame with a palette."""
        sample = pixels[::SAMPLE, ::SAMPLE]
        if self.colors is None or self.error(sample) > self.max_error:
            self.colors = Image.fromarray(sample).quantize(COLORS)
            self.max_error = self.error(sample) * ERROR_FACTOR + ERROR_LEVELS
        palette = np.zeros((256, 4), np.uint8)
        colors = np.array(self.colors.getpalette(), np.uint8).reshape(-1, 3)
        palette[:, 0] = 255  # opaque; the last entry is transparent, for pixels that stay as they were
        palette[-1, 0] = 0
        palette[: len(colors), 1:] = colors
        indices = np.array(self.quantized(pixels))
        return import_av().VideoFrame.from_ndarray((indices, palette), "pal8")

    def quantized(self, pixels: np.ndarray) -> Image.Image:
        return Image.fromarray(pixels).quantize(palette=self.colors, dither=Image.Dither.NONE)

    def error(self, pixels: np.ndarray) -> float:
        """Return the mean error of the palette's colours, in levels."""
        shown = np.asarray(self.quantized(pixels).convert("RGB"), np.int16)
        return float(np.abs(shown - pixels).mean())
