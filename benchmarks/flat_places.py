"""What models make of places without detail: a mesh in the sky, a frame around a plain background.

    python -m benchmarks.flat_places starry_night great_wave --photo photo.jpg --sky 80 10 400 100

Mesh: the share of the fine variance in the sky that repeats itself in a cell of 4 pixels, and of 8, and for a
noisy gradient; 0 is none. Backgrounds: how much averages over a quarter of the width differ, as a multiple of
the input's, for a studio's wall that is five levels brighter in the middle, and for the gradient.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from faststyle.device import keep_freed_memory
from faststyle.image.convert import scale_to, to_tensor
from faststyle.image.files import open_image, save_image
from faststyle.inference.stylizer import Stylizer

SIZE = 512  # pixels of the photo's longer side
FINE = 17  # pixels: what is left of a mean over so many is fine
WIDTH, HEIGHT = 900, 600


def mesh(image: Image.Image, box: tuple[int, int, int, int], cell: int) -> float:
    """Compute the share of the fine variance in a box that repeats itself in a cell of so many pixels."""
    left, top, right, bottom = box
    x = to_tensor(image).mean(0)[top:bottom, left:right]
    x = x - F.avg_pool2d(x[None, None], FINE, 1, FINE // 2, count_include_pad=False)[0, 0]
    rows, columns = x.shape[0] // cell, x.shape[1] // cell
    cells = x[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    repeated = cells.mean((0, 2)).var(correction=0) / x.var()
    return (repeated - (cell**2 - 1) / x.numel()).item()  # chance alone leaves so much


def backgrounds() -> dict[str, Image.Image]:
    """Draw a studio's wall and a gradient."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j][..., None]
    noise = np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3))
    wall = 200 + 5 * np.clip(1 - np.hypot(x, y), 0, 1).repeat(3, 2)
    dark, light = np.array([90, 140, 210]), np.array([170, 210, 235])
    gradient = dark + (light - dark) * (y + 1) / 2 + 1.5 * noise
    return {
        name: Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
        for name, pixels in (("studio", wall), ("gradient", gradient))
    }


def spread(image: Image.Image) -> float:
    """Compute by how many levels the averages over squares of a quarter of the width differ."""
    x = 255 * to_tensor(image).mean(0)
    means = F.avg_pool2d(x[None, None], image.width // 4, image.width // 16)
    return (means.max() - means.min()).item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--sky", type=int, nargs=4, required=True, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"))
    parser.add_argument("--out", type=Path, help="folder for the backgrounds' images")
    arguments = parser.parse_args()
    keep_freed_memory()
    photo = scale_to(open_image(arguments.photo).convert("RGB"), SIZE)
    plain = backgrounds()
    print("| model | mesh, 4 px | mesh, 8 px | mesh of the gradient, 4 px | " + " | ".join(plain) + " |")
    print("| --- | --- | --- | --- |" + " --- |" * len(plain))
    for name in [None, *arguments.models]:
        model = Stylizer.load(name) if name else None
        with torch.no_grad():
            image = model(photo) if model else photo
            figures = [f"{mesh(image, tuple(arguments.sky), cell):.3f}" for cell in (4, 8)]
            walls = {kind: model(wall) if model else wall for kind, wall in plain.items()}
            figures.append(f"{mesh(walls['gradient'], (300, 50, 600, 550), 4):.3f}")
            for kind, made in walls.items():
                wall = plain[kind]
                figures.append(f"{spread(made) / spread(wall):.1f}")
                if arguments.out and model:
                    save_image(made, arguments.out / f"{Path(name).stem}_{kind}.png")
        print(f"| {Path(name).stem if name else 'the photo'} | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()
