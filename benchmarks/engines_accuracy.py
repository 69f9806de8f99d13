"""How far each engine's pictures are from those of torch, eager, in float32: in grey levels, 0 to 255.

    python -m benchmarks.engines_accuracy --photos photos/
    python -m benchmarks.engines_accuracy --photos photos/ --model great_wave --precision auto fp32

For each engine that can run here, over all values of all photos.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from faststyle.device import pick_device, pick_precision
from faststyle.image.convert import limit_size
from faststyle.image.files import find_images, open_image
from faststyle.inference.engines import available
from faststyle.inference.stylizer import Stylizer

NEAR = 2  # grey levels


def differences(one: Image.Image, other: Image.Image) -> np.ndarray:
    """How many values lie how far apart: 256 counts."""
    apart = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16))
    return np.bincount(apart.ravel(), minlength=256)


def figures(counts: np.ndarray) -> str:
    """Largest, 99.9th percentile, mean, and the share that is more than NEAR off."""
    total, levels = counts.sum(), np.arange(256)
    percentile = int(np.searchsorted(np.cumsum(counts), 0.999 * total))
    mean = (counts * levels).sum() / total
    return f"{levels[counts > 0].max()} | {percentile} | {mean:.3f} | {counts[NEAR + 1 :].sum() / total:.4%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20, help="of the photos, evenly over the folder")
    parser.add_argument("--size", type=int, default=1024, help="larger photos are brought down to it")
    parser.add_argument("--model", nargs="+", default=["starry_night"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--engines", nargs="+", help="all that can run here, without it")
    arguments = parser.parse_args()
    paths = find_images(arguments.photos) or sys.exit(f"error: there are no pictures in {arguments.photos}")
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    device = pick_device(arguments.device)

    print(f"| model | precision | engine | max | 99.9 % | mean | more than {NEAR} off |\n|{' --- |' * 7}")
    for model in arguments.model:
        exact = Stylizer.load(model, device=str(device), precision="fp32", engine="torch")
        engines = {}
        for asked in arguments.precision:
            dtype = pick_precision(asked, device)
            for name in arguments.engines or available(device, dtype):
                stylize = Stylizer.load(model, device=str(device), precision=asked, engine=name)
                engines[f"{str(stylize.dtype).removeprefix('torch.')} | {name}"] = stylize
        counts = {name: np.zeros(256, dtype=np.int64) for name in engines}
        for path in paths:
            photo = limit_size(open_image(path).convert("RGB"), arguments.size)
            expected = exact(photo, stroke_scale=1)
            for name, stylize in engines.items():
                counts[name] += differences(stylize(photo, stroke_scale=1), expected)
        for name, found in counts.items():
            print(f"| {model} | {name} | {figures(found)} |", flush=True)


if __name__ == "__main__":
    main()
