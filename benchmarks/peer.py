"""Run the training of pytorch/examples' fast_neural_style from a clone (commit 77f55b9), with our VGG.

The training loop is the peer's own. Only its VGG, its folder of photos and its end are replaced.
"""

import argparse
import contextlib
import itertools
import tempfile
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.examples_network import import_from
from faststyle.image.convert import to_image
from faststyle.image.files import save_image
from faststyle.losses.vgg import IMAGENET, VGG

LAYERS = ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]
Outputs = namedtuple("Outputs", LAYERS)

# The inputs of Caffe's VGG are 255 times ImageNet's standard deviation larger than those of torchvision's,
# and so are its features. The peer's loss weights are made for torchvision's.
SCALE = 255 * sum(IMAGENET[1]) / 3


class SameVGG:
    """Replaces the peer's Vgg16: maps ImageNet-normalized images to four layers of our VGG."""

    def __init__(self, requires_grad: bool = False):
        self.vgg = VGG(layers=LAYERS)
        self.mean, self.std = (torch.tensor(figures).view(1, 3, 1, 1) for figures in IMAGENET)

    def to(self, device: torch.device) -> "SameVGG":
        return self

    def __call__(self, images: Tensor) -> Outputs:
        features = self.vgg(images * self.std + self.mean, LAYERS)
        return Outputs(**{name: feature / SCALE for name, feature in features.items()})


class LimitReached(Exception):
    """Ends the peer's loop at the limit of its time or steps."""


def train(
    path: Path,
    photos: Path,
    style: Tensor,
    steps: int | None = None,
    seconds: float | None = None,
) -> tuple[torch.nn.Module, list[float]]:
    """Run the peer's training at its defaults: 256 pixels, batches of 4, Adam 1e-3, weights 1e5 and 1e10.

    Args:
        path: Folder fast_neural_style/neural_style of the peer's repository.
        photos: Folder of photos.
        style: The painting, (1,3,H,W), in its own size: the peer's resizing would make it square.
        steps: Maximum number of steps.
        seconds: Maximum duration.

    Returns:
        The peer's network, and the seconds of each step.
    """
    peer = import_from(path, "neural_style")
    starts: list[float] = []
    networks = []

    class TimedNet(peer.TransformerNet):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            networks.append(self)

        def forward(self, x: Tensor) -> Tensor:
            starts.append(time.perf_counter())
            if (steps and len(starts) > steps) or (seconds and starts[-1] - starts[0] > seconds):
                raise LimitReached
            return super().forward(x)

    peer.TransformerNet, peer.Vgg16 = TimedNet, SameVGG
    with tempfile.TemporaryDirectory() as folder:
        save_image(to_image(style[0]), Path(folder) / "style.png")
        (Path(folder) / "photos").symlink_to(photos.resolve())  # the peer expects a folder of folders
        arguments: dict[str, Any] = {
            "accel": False,
            "seed": 42,
            "dataset": folder,
            "image_size": 256,
            "batch_size": 4,
            "epochs": 1000,
            "lr": 1e-3,
            "style_image": str(Path(folder) / "style.png"),
            "style_size": None,
            "content_weight": 1e5,
            "style_weight": 1e10,
            "log_interval": 100,
            "checkpoint_model_dir": None,
            "save_model_dir": folder,
        }
        with contextlib.suppress(LimitReached):
            peer.train(argparse.Namespace(**arguments))
    return networks[0].eval(), [after - before for before, after in itertools.pairwise(starts)]
