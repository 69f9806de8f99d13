"""The network of pytorch/examples, written from its published layer table, and its command's whole call.

The layers have that project's names, so that its own weights fit. Random weights suffice for timing.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_tensor


class ConvLayer(nn.Module):
    """Nearest-neighbour upsampling if any, a reflected border, and a convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, upsample: int = 1):
        super().__init__()
        self.upsample = upsample
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample > 1:
            x = F.interpolate(x, scale_factor=self.upsample, mode="nearest")
        return self.conv2d(self.reflection_pad(x))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.in1 = ConvLayer(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)
        self.conv2, self.in2 = ConvLayer(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))


class TransformerNet(nn.Module):
    """(B,3,H,W) RGB in 0…255 to the same; sides must be multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.in1 = ConvLayer(3, 32, 9), nn.InstanceNorm2d(32, affine=True)
        self.conv2, self.in2 = ConvLayer(32, 64, 3, stride=2), nn.InstanceNorm2d(64, affine=True)
        self.conv3, self.in3 = ConvLayer(64, 128, 3, stride=2), nn.InstanceNorm2d(128, affine=True)
        self.res1, self.res2, self.res3, self.res4, self.res5 = (ResidualBlock(128) for _ in range(5))
        self.deconv1, self.in4 = ConvLayer(128, 64, 3, upsample=2), nn.InstanceNorm2d(64, affine=True)
        self.deconv2, self.in5 = ConvLayer(64, 32, 3, upsample=2), nn.InstanceNorm2d(32, affine=True)
        self.deconv3 = ConvLayer(32, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.in1(self.conv1(x)))
        x = F.relu(self.in2(self.conv2(x)))
        x = F.relu(self.in3(self.conv3(x)))
        for block in (self.res1, self.res2, self.res3, self.res4, self.res5):
            x = block(x)
        x = F.relu(self.in4(self.deconv1(x)))
        x = F.relu(self.in5(self.deconv2(x)))
        return self.deconv3(x)


class Examples:
    """Stylizes PIL images as neural_style.py of pytorch/examples does, eagerly in float32.

    Args:
        device: Device to compute on.
        path: Folder fast_neural_style/neural_style of a clone, to take the network from.
    """

    def __init__(self, device: torch.device, path: Path | None = None):
        torch.manual_seed(0)
        network = import_from(path, "transformer_net").TransformerNet() if path else TransformerNet()
        self.device, self.network = device, network.to(device).eval()

    def __call__(self, image: Image.Image) -> Image.Image:
        x = (to_tensor(image) * 255)[None].to(self.device)
        with torch.no_grad():
            y = self.network(x).cpu()
        pixels = y[0].clone().clamp(0, 255).numpy().transpose(1, 2, 0).astype(np.uint8)
        return Image.fromarray(pixels)


def import_from(path: Path, name: str) -> ModuleType:
    """Import a module of a clone of pytorch/examples; end the command where there is none."""
    if not (path / f"{name}.py").exists():
        sys.exit(f"error: {path} has no {name}.py: give fast_neural_style/neural_style of pytorch/examples")
    sys.path.insert(0, str(path))
    return importlib.import_module(name)
