"""The same wall clock for ours and for pytorch/examples' own loop: which model is nearer the style?

Judged on held-out photos by VGG layers that neither loss uses: style by the relative distance of
the Gram matrices at relu1_1 … relu5_1, content by the relative distance at relu4_2.

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
from faststyle.images import find_images, fit, open_image, save_image, to_image, to_tensor
from faststyle.module import load_style
from faststyle.objective import relative_content, relative_style
from faststyle.statistics import gram
from faststyle.stylizer import Stylizer
from faststyle.vgg import VGG

STYLE_LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
CONTENT_LAYERS = ["relu2_2", "relu3_3", "relu4_2"]  # the peer's own, ours, and neither's


def judge(stylize: Stylizer, photos: list[Path], style: torch.Tensor, folder: Path) -> dict[str, float]:
    """Mean distances over the photos at 512 pixels; the pictures are kept in ``folder``."""
    vgg = VGG()
    with torch.no_grad():
        targets = {layer: gram(feature) for layer, feature in vgg(style, STYLE_LAYERS).items()}
    sums = dict.fromkeys([*STYLE_LAYERS, *CONTENT_LAYERS], 0.0)
    for path in photos:
        photo = to_tensor(fit(open_image(path).convert("RGB"), 512))[None]
        picture = stylize(photo)
        save_image(to_image(picture[0]), folder / f"{path.stem}.jpg")
        with torch.no_grad():
            made, given = vgg(picture, sums), vgg(photo, CONTENT_LAYERS)
        for layer in STYLE_LAYERS:
            sums[layer] += relative_style(made[layer], targets[layer]).item()
        for layer in CONTENT_LAYERS:
            sums[layer] += relative_content(made[layer], given[layer]).item()
    return {layer: value / len(photos) for layer, value in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-path", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--style-size", type=int, default=512)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("train_flags", nargs="*", help="after --: more flags for train.py")
    arguments = parser.parse_args()
    given = [
        f"--style={arguments.style}",
        f"--content={arguments.photos}",
        f"--model.style_size={arguments.style_size}",
    ]

    # Ours is the whole command, its start and its last validation included: how many steps that
    # makes is found by a short run, and the time it took is printed.
    def ours(steps: int, folder: Path) -> float:
        begin = time.perf_counter()
        command = [sys.executable, "train.py", *given, *arguments.train_flags]
        subprocess.run([*command, f"--trainer.max_steps={steps}", f"--output={folder}"], check=True)
        return time.perf_counter() - begin

    short, long = ours(10, arguments.output / "short"), ours(60, arguments.output / "longer")
    step = (long - short) / 50
    steps = int((60 * arguments.minutes - short) / step) + 10
    minutes = {"faststyle": ours(steps, arguments.output / "ours") / 60}
    counts = {"faststyle": steps}

    begin = time.perf_counter()
    network, seconds = peer.train(
        arguments.peer_path,
        arguments.photos,
        arguments.style,
        arguments.style_size,
        seconds=60 * arguments.minutes,
    )
    minutes["pytorch/examples"], counts["pytorch/examples"] = (time.perf_counter() - begin) / 60, len(seconds)
    torch.save(network.state_dict(), arguments.output / "peer.pth")

    photos, style = (
        find_images(arguments.held_out)[:10],
        load_style(str(arguments.style), arguments.style_size),
    )
    models = {
        "faststyle": arguments.output / "ours" / "ours.safetensors",
        "pytorch/examples": arguments.output / "peer.pth",
    }
    print(
        f"{'':18}{'minutes':>9}{'steps':>7}", *(f"{layer:>9}" for layer in [*STYLE_LAYERS, *CONTENT_LAYERS])
    )
    for name, path in models.items():
        stylize = Stylizer.load(path, precision="fp32")
        figures = judge(stylize, photos, style, arguments.output / path.stem)
        row = (f"{figures[layer]:9.3f}" for layer in [*STYLE_LAYERS, *CONTENT_LAYERS])
        print(f"{name:18}{minutes[name]:9.1f}{counts[name]:7}", *row)


if __name__ == "__main__":
    main()
