"""A style picture that the package draws itself: a stained-glass window, free to train on."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from faststyle.image.files import open_image

# Glass as cathedrals have it: deep blues and reds, some gold, green and a little white.
GLASS = [
    (18, 46, 138),
    (22, 84, 186),
    (58, 140, 214),
    (168, 18, 38),
    (214, 48, 32),
    (236, 150, 22),
    (248, 206, 72),
    (18, 120, 82),
    (96, 38, 128),
    (238, 232, 208),
]
LEAD = (12, 10, 16)
MOSAIC = "mosaic"  # the style that needs no file


def open_style(name: str | Path) -> Image.Image:
    """Read a style picture's file, or draw the mosaic; RGB.

    Raises:
        InputError: no such picture.
    """
    return draw_mosaic() if str(name) == MOSAIC else open_image(name).convert("RGB")


def draw_mosaic(size: int = 512, pane: int = 24, seed: int = 0) -> Image.Image:
    """Draw panes of coloured glass (Voronoi cells) between lines of lead.

    Args:
        size: width and height in pixels.
        pane: a pane's usual width in pixels.
        seed: another one gives another window.

    Returns:
        RGB.
    """
    random = np.random.default_rng(seed)
    cells = max(1, round(size / pane))
    # One centre in each square of a grid, anywhere in it: irregular, yet with no tiny panes.
    grid = np.stack(np.meshgrid(np.arange(-1, cells + 1), np.arange(-1, cells + 1)), -1).reshape(-1, 2)
    centres = (grid + random.uniform(0.05, 0.95, grid.shape)) * size / cells
    y, x = np.mgrid[:size, :size]

    nearest = np.full((2, size, size), np.inf)  # distances to the nearest centre and the next
    owner = np.zeros((size, size), int)
    for number, (cx, cy) in enumerate(centres):
        distance = np.hypot(x - cx, y - cy)
        closer = distance < nearest[0]
        nearest[1] = np.where(closer, nearest[0], np.minimum(nearest[1], distance))
        nearest[0] = np.where(closer, distance, nearest[0])
        owner[closer] = number

    colours = np.array(GLASS, float)[random.integers(len(GLASS), size=len(centres))]
    colours *= random.uniform(0.75, 1.15, (len(centres), 1))
    # Light falls through the middle of a pane, and the glass has streaks.
    streaks = np.asarray(
        Image.fromarray(random.integers(0, 256, (size, size), dtype=np.uint8)).filter(
            ImageFilter.GaussianBlur(pane / 10)
        ),
        float,
    )
    streaks = (streaks - streaks.mean()) / streaks.std()
    light = 1.2 - 0.35 * nearest[0] / pane + 0.07 * streaks
    picture = colours[owner] * light[..., None]

    lead = np.clip((nearest[1] - nearest[0]) / (pane * 0.09) - 0.6, 0, 1)[..., None]
    picture = picture * lead + np.array(LEAD) * (1 - lead)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))
