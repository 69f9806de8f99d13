"""Measure the time from starting infer.py to the stylized file, beside two lower bounds.

The bounds are the time to import torch, and the network's own time on the image.

    python -m benchmarks.cold_start photo.jpg --checkpoint runs/mosaic/mosaic.safetensors
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.common import infer_command, make_parser, open_rgb, time_call
from faststyle.image.convert import to_tensor
from faststyle.image.files import save_image
from faststyle.inference.stylizer import Stylizer


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--checkpoint", required=True, help="model")
    parser.add_argument("--size", type=int, default=1024, help="longer side of the photo in pixels")
    parser.add_argument("--runs", type=int, default=5, help="number of runs, after one that does not count")
    options = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        image = open_rgb(options.photo, options.size)
        save_image(image, photo)
        infer = infer_command(photo, "--checkpoint", options.checkpoint, "-o", Path(folder) / "result.jpg")
        stylize, tensor = Stylizer.load(options.checkpoint), to_tensor(image)
        calls = {
            "import torch": lambda: run([sys.executable, "-c", "import torch"]),
            "the network": lambda: stylize(tensor),
            "infer.py": lambda: run(infer),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(options.runs + 1):
            for name, call in calls.items():
                times[name].append(time_call(call))
    medians = {name: median(found[1:]) for name, found in times.items()}
    for name, seconds in medians.items():
        print(f"{name:14}{seconds:8.2f} s")
    bound = medians["import torch"] + medians["the network"]
    print(f"infer.py takes {medians['infer.py'] / bound:.2f} times as long as both together")


if __name__ == "__main__":
    main()
