"""From typing ``infer.py`` to the stylized file on disk, beside what cannot be shed.

That is the time that importing torch takes alone, and the network's own time on the picture.

    python -m benchmarks.cold_start photo.jpg --checkpoint runs/mosaic/mosaic.safetensors
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faststyle.image.convert import scale_to, to_tensor
from faststyle.image.files import open_image, save_image
from faststyle.inference.stylizer import Stylizer


def seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        photo, result = Path(folder) / "photo.jpg", str(Path(folder) / "result.jpg")
        picture = scale_to(open_image(arguments.photo).convert("RGB"), arguments.size)
        save_image(picture, photo)
        infer = [sys.executable, "infer.py", str(photo), "--checkpoint", arguments.checkpoint, "-o", result]
        stylize, tensor = Stylizer.load(arguments.checkpoint), to_tensor(picture)
        rows: dict[str, list[float]] = {"import torch": [], "the network": [], "infer.py": []}
        for _ in range(arguments.runs + 1):
            rows["import torch"].append(seconds([sys.executable, "-c", "import torch"]))
            rows["infer.py"].append(seconds(infer))
            begin = time.perf_counter()
            stylize(tensor)
            rows["the network"].append(time.perf_counter() - begin)
    medians = {name: statistics.median(row[1:]) for name, row in rows.items()}
    for name, median in medians.items():
        print(f"{name:14}{median:8.2f} s")
    floor = medians["import torch"] + medians["the network"]
    print(f"infer.py takes {medians['infer.py'] / floor:.2f} times the two")


if __name__ == "__main__":
    main()
