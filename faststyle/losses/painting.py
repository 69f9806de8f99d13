"""The style of a painting as Gram matrices."""

import torch
from PIL import Image
from torch import Tensor

from faststyle.image.convert import scale_to, to_opaque, to_tensor
from faststyle.losses.objective import Objective
from faststyle.losses.settings import STYLE_SIZE
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG


@torch.no_grad()
def measure_grams(painting: Image.Image, vgg: str = "vgg19-caffe", pooling: str = "max") -> dict[str, Tensor]:
    """Measure the Gram matrices of a painting, brought to ``STYLE_SIZE``: (1,C,C) by layer."""
    objective = Objective()
    images = to_tensor(scale_to(to_opaque(painting), STYLE_SIZE))[None]
    layers = objective.existing(*images.shape[-2:])
    return {layer: gram(x) for layer, x in VGG(vgg, pooling, layers)(images, layers).items()}
