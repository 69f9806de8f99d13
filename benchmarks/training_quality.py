"""Train faststyle and pytorch/examples for the same time, and measure which model is nearer the style.

Both train on the CPU, and are measured on held-out photos at 512 pixels. Style is the relative distance of
the Gram matrices at relu1_1 … relu5_1, which neither loss uses. Content is the relative distance at relu2_2,
which both losses use, at relu3_3, which faststyle's uses, and at relu4_2, which neither uses.

    python -m benchmarks.training_quality --peer-path examples/fast_neural_style/neural_style \\
        --photos photos/ --held-out validation/ --style painting.jpg --minutes 10 --output out/
"""

import subprocess
import sys
from pathlib import Path

import torch

from benchmarks import peer
from benchmarks.common import ROOT, find_photos, make_parser, open_rgb, time_call
from faststyle.image.convert import limit_size, to_image, to_tensor
from faststyle.image.files import save_image
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.statistics import gram, relative
from faststyle.losses.vgg import VGG
from faststyle.training.module import load_style

STYLE_LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
CONTENT_LAYERS = ["relu2_2", "relu3_3", "relu4_2"]
STYLE_SIZE = 512  # the default of train.py
SIZE = 512  # pixels of a held-out photo's longer side, at most
MARGIN = 0.93  # share of the time that the estimated number of steps should take


def measure(stylize: Stylizer, photos: list[Path], style: torch.Tensor, folder: Path) -> dict[str, float]:
    """Return the mean distance over the photos by layer, and save the images in a folder."""
    vgg = VGG()
    with torch.no_grad():
        targets = {layer: gram(feature) for layer, feature in vgg(style, STYLE_LAYERS).items()}
    sums = dict.fromkeys([*STYLE_LAYERS, *CONTENT_LAYERS], 0.0)
    for path in photos:
        photo = to_tensor(limit_size(open_rgb(path), SIZE))[None]
        image = stylize(photo)
        save_image(to_image(image[0]), folder / f"{path.stem}.jpg")
        with torch.no_grad():
            made, given = vgg(image, sums), vgg(photo, CONTENT_LAYERS)
        for layer in STYLE_LAYERS:
            sums[layer] += relative(gram(made[layer]), targets[layer]).item()
        for layer in CONTENT_LAYERS:
            sums[layer] += relative(made[layer], given[layer]).item()
    return {layer: value / len(photos) for layer, value in sums.items()}


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--peer-path", type=Path, required=True, help="neural_style of pytorch/examples")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos to train on")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of other photos; ten are used")
    parser.add_argument("--style", type=Path, required=True, help="painting")
    parser.add_argument("--minutes", type=float, default=10, help="duration of each training")
    parser.add_argument("--output", type=Path, required=True, help="folder")
    parser.add_argument("train_options", nargs="*", help="after --: more options of train.py")
    options = parser.parse_args(argv)
    command = [sys.executable, str(ROOT / "train.py"), f"--style={options.style}"]
    command += [f"--content={options.photos}", "--trainer.accelerator=cpu", *options.train_options]
    folder, limit = options.output, 60 * options.minutes

    def train(steps: int, name: str) -> float:
        rest = [f"--trainer.max_steps={steps}", f"--output={folder / name}"]
        return time_call(lambda: subprocess.run([*command, *rest], check=True))

    # faststyle's time is that of the whole command, with its start, previews and validations. Two short runs
    # give the number of steps that fit into the limit.
    short, longer = train(10, "short"), train(60, "longer")
    steps = int(MARGIN * (limit - short) / ((longer - short) / 50))
    runs = {"faststyle": (train(steps, "ours"), steps, folder / "ours" / "ours.safetensors")}

    style = load_style(str(options.style), STYLE_SIZE)
    network, times = peer.train(options.peer_path, options.photos, style, seconds=limit)
    torch.save(network.state_dict(), folder / "peer.pth")
    runs["pytorch/examples"] = (sum(times), len(times), folder / "peer.pth")

    photos = find_photos(options.held_out, 10)
    layers = [*STYLE_LAYERS, *CONTENT_LAYERS]
    print(f"{'':18}{'minutes':>9}{'steps':>7}", *(f"{layer:>9}" for layer in layers))
    for name, (seconds, steps, path) in runs.items():
        images = folder / f"{path.stem}_images"
        figures = measure(Stylizer.load(path, precision="fp32"), photos, style, images)
        print(f"{name:18}{seconds / 60:9.1f}{steps:7}", *(f"{figures[layer]:9.3f}" for layer in layers))


if __name__ == "__main__":
    main()
