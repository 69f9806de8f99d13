"""The same wall clock for ours and for pytorch/examples' own loop: which model is nearer the style?

Judged on held-out photos at 512 pixels. Style: the relative distance of the Gram matrices at
relu1_1 … relu5_1, which neither loss uses. Content: the relative distance at relu2_2, which both
use, at relu3_3, which ours uses, and at relu4_2, which neither does. Both train on the CPU.

    python -m benchmarks.training_quality --peer-path examples/fast_neural_style/neural_style \
        --photos photos/ --held-out validation/ --style painting.jpg --minutes 10 --output out/
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks import peer
from faststyle.image.convert import limit_size, to_image, to_tensor
from faststyle.image.files import find_images, open_image, save_image
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.statistics import gram, relative
from faststyle.losses.vgg import VGG
from faststyle.training.module import load_style

STYLE_LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
CONTENT_LAYERS = ["relu2_2", "relu3_3", "relu4_2"]
STYLE_SIZE = 512  # the default of train.py


def judge(stylize: Stylizer, photos: list[Path], style: torch.Tensor, folder: Path) -> dict[str, float]:
    """Mean distances over the photos at 512 pixels; the pictures are kept in ``folder``."""
    vgg = VGG()
    with torch.no_grad():
        targets = {layer: gram(feature) for layer, feature in vgg(style, STYLE_LAYERS).items()}
    sums = dict.fromkeys([*STYLE_LAYERS, *CONTENT_LAYERS], 0.0)
    for path in photos:
        photo = to_tensor(limit_size(open_image(path).convert("RGB"), 512))[None]
        picture = stylize(photo)
        save_image(to_image(picture[0]), folder / f"{path.stem}.jpg")
        with torch.no_grad():
            made, given = vgg(picture, sums), vgg(photo, CONTENT_LAYERS)
        for layer in STYLE_LAYERS:
            sums[layer] += relative(gram(made[layer]), targets[layer]).item()
        for layer in CONTENT_LAYERS:
            sums[layer] += relative(made[layer], given[layer]).item()
    return {layer: value / len(photos) for layer, value in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-path", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("train_flags", nargs="*", help="after --: more flags for train.py")
    arguments = parser.parse_args()
    begin = [
        "train.py",
        f"--style={arguments.style}",
        f"--content={arguments.photos}",
        "--trainer.accelerator=cpu",
    ]
    folder, limit = arguments.output, 60 * arguments.minutes

    # Ours is the whole command, with its start, previews and validations. How many steps fit in is
    # found by two short runs.
    def ours(steps: int, name: str) -> float:
        start = time.perf_counter()
        rest = [*arguments.train_flags, f"--trainer.max_steps={steps}", f"--output={folder / name}"]
        subprocess.run([sys.executable, *begin, *rest], check=True)
        return time.perf_counter() - start

    short, longer = ours(10, "short"), ours(60, "longer")
    steps = int(0.93 * (limit - short) / ((longer - short) / 50))
    runs = {"faststyle": (ours(steps, "ours"), steps, folder / "ours" / "ours.safetensors")}

    style = load_style(str(arguments.style), STYLE_SIZE)
    network, times = peer.train(arguments.peer_path, arguments.photos, style, seconds=limit)
    torch.save(network.state_dict(), folder / "peer.pth")
    runs["pytorch/examples"] = (sum(times), len(times), folder / "peer.pth")

    photos = find_images(arguments.held_out)[:10]
    layers = [*STYLE_LAYERS, *CONTENT_LAYERS]
    print(f"{'':18}{'minutes':>9}{'steps':>7}", *(f"{layer:>9}" for layer in layers))
    for name, (seconds, steps, path) in runs.items():
        figures = judge(
            Stylizer.load(path, precision="fp32"), photos, style, folder / f"{path.stem}_pictures"
        )
        print(f"{name:18}{seconds / 60:9.1f}{steps:7}", *(f"{figures[layer]:9.3f}" for layer in layers))


if __name__ == "__main__":
    main()
