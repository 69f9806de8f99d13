"""A synthetic style image: a stained-glass mosaic, which needs no file and has no copyright."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from faststyle.image.convert import to_opaque
from faststyle.image.files import open_image

# RGB: blues and reds, some gold and green, purple and white, as in the windows of cathedrals.
GLASS_COLORS = [
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
LEAD_COLOR = (12, 10, 16)
MOSAIC = "mosaic"  # the name that stands for this image in place of a style file


def open_style(name: str | Path) -> Image.Image:
    """Read a style image as RGB, or draw the mosaic if its name is ``MOSAIC``.

    Raises:
        InputError: The file is missing, no image, or damaged.
    """
    return draw_mosaic() if str(name) == MOSAIC else to_opaque(open_image(name))


def draw_mosaic(size: int = 512, pane: int = 24, seed: int = 0) -> Image.Image:
    """Draw panes of coloured glass (Voronoi cells) between lines of lead.

    Args:
        size: Width and height of the image in pixels.
        pane: Mean width of a pane in pixels.
        seed: Seed of the positions and colours of the panes.

    Returns:
        An RGB image.
    """
    rng = np.random.default_rng(seed)
    cells = max(1, round(size / pane))
    # A jittered grid: one random centre in each square, so that no pane is tiny.
    grid = np.stack(np.meshgrid(np.arange(-1, cells + 1), np.arange(-1, cells + 1)), -1).reshape(-1, 2)
    centres = (grid + rng.uniform(0.05, 0.95, grid.shape)) * size / cells
    y, x = np.mgrid[:size, :size]

    nearest = np.full((size, size), np.inf)  # distance to the nearest centre
    second = nearest  # distance to the second nearest centre
    pane_index = np.zeros((size, size), int)
    for index, (cx, cy) in enumerate(centres):
        distance = np.hypot(x - cx, y - cy)
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        nearest = np.where(closer, distance, nearest)
        pane_index[closer] = index

    colours = np.array(GLASS_COLORS, float)[rng.integers(len(GLASS_COLORS), size=len(centres))]
    colours *= rng.uniform(0.75, 1.15, (len(centres), 1))
    # Panes are brighter in the middle, and the glass has streaks.
    streaks = np.asarray(
        Image.fromarray(rng.integers(0, 256, (size, size), dtype=np.uint8)).filter(
            ImageFilter.GaussianBlur(pane / 10)
        ),
        float,
    )
    streaks = (streaks - streaks.mean()) / streaks.std()
    light = 1.2 - 0.35 * nearest / pane + 0.07 * streaks
    image = colours[pane_index] * light[..., None]

    # 0 at the border between two panes, 1 inside a pane.
    glass = np.clip((second - nearest) / (pane * 0.09) - 0.6, 0, 1)[..., None]
    image = image * glass + np.array(LEAD_COLOR) * (1 - glass)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))
