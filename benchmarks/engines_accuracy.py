"""Measure how far each engine's images are from eager torch in float32, in grey levels from 0 to 255.

    python -m benchmarks.engines_accuracy --photos photos/
    python -m benchmarks.engines_accuracy --photos photos/ --model great_wave --precision auto fp32

The figures are over all values of all photos, for each engine that can run here.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import find_photos, make_parser, open_rgb, print_head, print_row
from faststyle.device import pick_device
from faststyle.image.convert import limit_size
from faststyle.inference.engines.kinds import available_engines
from faststyle.inference.stylizer import Stylizer

NEAR = 2  # grey levels


def count_differences(one: Image.Image, other: Image.Image) -> np.ndarray:
    """Count the values by how many grey levels they differ: 256 counts."""
    apart = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16))
    return np.bincount(apart.ravel(), minlength=256)


def summarize(counts: np.ndarray) -> tuple[str, ...]:
    """Return the largest difference, the 99.9th percentile, the mean, and the share above ``NEAR``."""
    total, levels = counts.sum(), np.arange(256)
    percentile = int(np.searchsorted(np.cumsum(counts), 0.999 * total))
    mean = (counts * levels).sum() / total
    largest = levels[counts > 0].max()
    return f"{largest}", f"{percentile}", f"{mean:.3f}", f"{counts[NEAR + 1 :].sum() / total:.4%}"


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--count", type=int, default=20, help="number of photos, spread over the folder")
    parser.add_argument("--size", type=int, default=1024, help="shrink larger photos to this longer side")
    parser.add_argument("--model", nargs="+", default=["starry_night"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--engines", nargs="+", help="engines to compare (default all that can run here)")
    options = parser.parse_args(argv)
    paths = find_photos(options.photos)
    paths = paths[:: max(1, len(paths) // options.count)][: options.count]
    device = pick_device(options.device)

    print_head("model", "precision", "engine", "max", "99.9 %", "mean", f"more than {NEAR} off")
    for model in options.model:
        exact = Stylizer.load(model, device=str(device), precision="fp32", engine="torch")
        stylizers = {}
        for precision in options.precision:
            for engine in options.engines or available_engines(str(device), precision):
                stylize = Stylizer.load(model, device=str(device), precision=precision, engine=engine)
                stylizers[stylize.precision, engine] = stylize
        counts = {name: np.zeros(256, dtype=np.int64) for name in stylizers}
        for path in paths:
            photo = limit_size(open_rgb(path), options.size)
            expected = exact(photo, stroke_scale=1)
            for name, stylize in stylizers.items():
                counts[name] += count_differences(stylize(photo, stroke_scale=1), expected)
        for name, found in counts.items():
            print_row(model, *name, *summarize(found))


if __name__ == "__main__":
    main()
