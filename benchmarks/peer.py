"""pytorch/examples' fast_neural_style, from a clone of that repository (77f55b9 was used), run with our VGG.

Its own code trains; only what it loads VGG with, where it finds photos and when it stops are ours.
"""

import argparse
import contextlib
import importlib
import itertools
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from faststyle.image.convert import to_image
from faststyle.image.files import save_image
from faststyle.losses.vgg import IMAGENET, VGG

LAYERS = ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]
Outputs = namedtuple("Outputs", LAYERS)

# Caffe's pixels are 255 times ImageNet's standard deviation larger than torchvision's; so are the
# features, and the peer's weights are made for torchvision's.
SCALE = 255 * sum(IMAGENET[1]) / 3


class SameVGG:
    """Stands in for the peer's Vgg16: ImageNet-normalized pictures in, four layers out."""

    def __init__(self, requires_grad: bool = False):
        self.vgg = VGG(layers=LAYERS)
        self.mean, self.std = (torch.tensor(figures).view(1, 3, 1, 1) for figures in IMAGENET)

    def to(self, device: torch.device) -> "SameVGG":
        return self

    def __call__(self, images: Tensor) -> Outputs:
        features = self.vgg(images * self.std + self.mean, LAYERS)
        return Outputs(**{name: feature / SCALE for name, feature in features.items()})


class Done(Exception):
    """Raised in the peer's loop when its time or its steps are over."""


def train(
    path: Path,
    photos: Path,
    style: Tensor,
    steps: int | None = None,
    seconds: float | None = None,
) -> tuple[torch.nn.Module, list[float]]:
    """Run the peer's training at its defaults: 256 pixels, batches of 4, Adam 1e-3, 1e5 : 1e10.

    Args:
        path: the folder fast_neural_style/neural_style of the peer's repository.
        photos: folder of photos.
        style: (1,3,H,W), the painting; its own resizing would make it square.
        steps: after so many it is stopped,
        seconds: or after so long.

    Returns:
        Its network, and the seconds of each step.
    """
    peer = load(path)
    starts: list[float] = []
    networks = []

    class Watched(peer.TransformerNet):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            networks.append(self)

        def forward(self, x: Tensor) -> Tensor:
            starts.append(time.perf_counter())
            if (steps and len(starts) > steps) or (seconds and starts[-1] - starts[0] > seconds):
                raise Done
            return super().forward(x)

    peer.TransformerNet, peer.Vgg16 = Watched, SameVGG
    with tempfile.TemporaryDirectory() as folder:
        save_image(to_image(style[0]), Path(folder) / "style.png")
        (Path(folder) / "photos").symlink_to(photos.resolve())  # it wants a folder of folders
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
        with contextlib.suppress(Done):
            peer.train(argparse.Namespace(**arguments))
    return networks[0].eval(), [after - before for before, after in itertools.pairwise(starts)]


def load(path: Path) -> ModuleType:
    if not (path / "neural_style.py").exists():
        sys.exit(
            f"error: {path} has no neural_style.py: give fast_neural_style/neural_style of pytorch/examples"
        )
    sys.path.insert(0, str(path))
    return importlib.import_module("neural_style")
