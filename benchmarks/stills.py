"""Consecutive frames of a clip by each model, and what changed between them beyond the motion.

    python -m benchmarks.stills clip.mp4 starry_night starry_night-steady --at 2 --crop 400 200 400 300 \\
        --output stills.webp
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.flicker import to_pixels
from faststyle.image.files import save_image
from faststyle.image.warp import warp
from faststyle.inference.optical_flow import Motion
from faststyle.inference.stylizer import Stylizer
from faststyle.video.opening import open_clip

FRAMES = 3
GAIN = 4  # by which changes are brightened
GAP = 6  # pixels


def change(frames: list[np.ndarray], pictures: list[np.ndarray]) -> np.ndarray:
    """Mean difference of each picture from the one before, moved along the frames' motion: (H,W,3) bytes."""
    motion, found = Motion(), []
    for (before, frame), (earlier, later) in zip(pairwise(frames), pairwise(pictures), strict=True):
        flow, sure = motion.between(frame, before)
        found.append(sure * (to_pixels(later) - warp(to_pixels(earlier), flow)).abs().mean(1, keepdim=True))
    grey = (GAIN * sum(found) / len(found)).clamp(0, 1)[0, 0].numpy()  # type: ignore[union-attr]
    return np.repeat((255 * grey).astype(np.uint8)[..., None], 3, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--at", type=float, default=1.0, help="seconds")
    parser.add_argument("--crop", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"))
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    with open_clip(arguments.clip, start=arguments.at) as clip:
        frames = [frame.pixels for frame, _ in zip(clip, range(FRAMES), strict=False)]
    height, width, _ = frames[0].shape
    x, y, w, h = arguments.crop or (0, 0, width, height)
    rows = []
    for name in arguments.models:
        pictures = [np.asarray(one) for one in Stylizer.load(name).video(frames)]
        cells = [one[y : y + h, x : x + w] for one in (*pictures, change(frames, pictures))]
        row = Image.new("RGB", (len(cells) * (w + GAP) - GAP, h), "white")
        for number, cell in enumerate(cells):
            row.paste(Image.fromarray(np.ascontiguousarray(cell)), (number * (w + GAP), 0))
        rows.append(row)
    sheet = Image.new("RGB", (rows[0].width, len(rows) * (h + GAP) - GAP), "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * (h + GAP)))
    save_image(sheet, arguments.output, quality=80)
    print(arguments.output)


if __name__ == "__main__":
    main()
