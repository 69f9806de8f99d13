"""Measure what models add to regions without detail: a mesh in the sky, or a frame around a plain background.

    python -m benchmarks.flat_regions starry_night great_wave --photo photo.jpg --sky 80 10 400 100

Mesh: the share of the fine variance that repeats every 4 pixels, and every 8, in the sky, and every 4 in a
noisy gradient; 0 means none. Backgrounds: how much the averages over a quarter of the width differ, as a
multiple of the input's, for a studio's wall that is five levels brighter in the middle, and for the gradient.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.common import make_parser, open_rgb, print_head, print_row
from faststyle.device import keep_freed_memory
from faststyle.image.convert import to_tensor
from faststyle.image.files import save_image
from faststyle.inference.stylizer import Stylizer

SIZE = 512  # pixels of the photo's longer side
FINE = 17  # pixels: fine detail is what differs from the mean over a window of this side
WIDTH, HEIGHT = 900, 600
GRADIENT_BOX = (300, 50, 600, 550)


def measure_mesh(image: Image.Image, box: tuple[int, int, int, int], cell: int) -> float:
    """Compute the share of the fine variance in a box that repeats every ``cell`` pixels."""
    left, top, right, bottom = box
    x = to_tensor(image).mean(0)[top:bottom, left:right]
    x = x - F.avg_pool2d(x[None, None], FINE, 1, FINE // 2, count_include_pad=False)[0, 0]
    rows, columns = x.shape[0] // cell, x.shape[1] // cell
    cells = x[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    repeated = cells.mean((0, 2)).var(correction=0) / x.var()
    return (repeated - (cell**2 - 1) / x.numel()).item()  # noise alone has the share subtracted here


def draw_backgrounds() -> dict[str, Image.Image]:
    """Draw a studio's wall and a noisy gradient."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j][..., None]
    noise = np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3))
    wall = 200 + 5 * np.clip(1 - np.hypot(x, y), 0, 1).repeat(3, 2)
    dark, light = np.array([90, 140, 210]), np.array([170, 210, 235])
    gradient = dark + (light - dark) * (y + 1) / 2 + 1.5 * noise
    return {
        name: Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
        for name, pixels in (("studio", wall), ("gradient", gradient))
    }


def measure_spread(image: Image.Image) -> float:
    """Compute by how many levels the averages over squares of a quarter of the width differ."""
    x = 255 * to_tensor(image).mean(0)
    means = F.avg_pool2d(x[None, None], image.width // 4, image.width // 16)
    return (means.max() - means.min()).item()


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument(
        "--sky",
        type=int,
        nargs=4,
        required=True,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help=f"box in pixels of the photo at {SIZE} pixels",
    )
    parser.add_argument("--out", type=Path, help="folder for the stylized backgrounds")
    options = parser.parse_args(argv)
    keep_freed_memory()
    photo, backgrounds = open_rgb(options.photo, SIZE), draw_backgrounds()
    print_head("model", "mesh, 4 px", "mesh, 8 px", "mesh of the gradient, 4 px", *backgrounds)
    for name in [None, *options.models]:
        model = Stylizer.load(name) if name else lambda image: image
        label = Path(name).stem if name else "the photo"
        with torch.no_grad():
            image = model(photo)
            stylized = {kind: model(background) for kind, background in backgrounds.items()}
        figures = [measure_mesh(image, tuple(options.sky), cell) for cell in (4, 8)]
        figures.append(measure_mesh(stylized["gradient"], GRADIENT_BOX, 4))
        ratios = [measure_spread(stylized[kind]) / measure_spread(backgrounds[kind]) for kind in backgrounds]
        print_row(label, *(f"{value:.3f}" for value in figures), *(f"{value:.1f}" for value in ratios))
        if options.out and name:
            for kind, made in stylized.items():
                save_image(made, options.out / f"{label}_{kind}.png")


if __name__ == "__main__":
    main()
