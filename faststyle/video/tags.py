"""Colour tags and orientation of frames."""

from typing import Any

import numpy as np

from faststyle.video.clips import Colors

# Matrices as in ITU-T H.273.
BT709, UNKNOWN, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020, BT2020C = 1, 2, 4, 5, 6, 7, 9, 10
# Their numbers in swscale.
SWSCALE = {BT709: 1, FCC: 4, BT470BG: 5, SMPTE170M: 5, SMPTE240M: 7, BT2020: 9, BT2020C: 9}
LIMITED, FULL = 1, 2
# Swscale's full chroma and accurate rounding; without these, colours are off by two levels. Bilinear serves
# half-size chroma; bicubic takes twice the time, and serves where the image is scaled.
EXACT = 0x2 | 0x2000 | 0x40000
SCALED = 0x4 | 0x2000 | 0x40000


def upright(frame: Any) -> tuple[bool, bool, bool]:
    """Return how to turn a frame upright: swap the axes, then mirror x, then mirror y."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), "<i4")[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def colors(frame: Any, hdr: bool) -> tuple[int, int, Colors]:
    """Return swscale's number of the colour matrix, the range, and the tags for a recording."""
    name, given, rgb = frame.format.name, frame.colorspace, frame.format.is_rgb
    full = frame.color_range == FULL or name.startswith("yuvj") or rgb
    full = full or (name.startswith("gray") and frame.color_range != LIMITED)
    if given not in SWSCALE:  # guess as players do
        high = frame.width >= 1280 or frame.height > 576
        given = BT709 if high or rgb else BT470BG if frame.height == 576 else SMPTE170M
    coding = SWSCALE[given], FULL if full else LIMITED
    if hdr:
        return *coding, Colors()
    usual = {BT709: (1, 1), BT470BG: (5, 6), BT2020: (9, 14), BT2020C: (9, 14)}.get(given, (6, 6))
    primaries = frame.color_primaries if frame.color_primaries not in (0, UNKNOWN) else usual[0]
    transfer = frame.color_trc if frame.color_trc not in (0, UNKNOWN) else usual[1]
    return *coding, Colors(BT2020 if given == BT2020C else given, primaries, transfer)
