"""Any painting at once: an encoder that predicts a network's norms from a painting.

Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization network", BMVC
2017, https://arxiv.org/abs/1705.06830.
"""

import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor, nn

from faststyle.errors import InputError
from faststyle.image.color import is_blank
from faststyle.image.convert import scale_to, to_tensor
from faststyle.image.files import open_image
from faststyle.losses.painting import STYLE_SIZE
from faststyle.models.card import ModelCard, StyleImage
from faststyle.models.network import DEFAULT_SIZE, TransformerNetwork
from faststyle.models.pretrained import ENCODER
from faststyle.models.quantization import dequantize, quantize

CHANNELS = (3, 32, 64, 128, 192, 256)  # of the convolutions on the painting, all with stride 2
STATISTICS = 1920  # logarithms of means and standard deviations of VGG's features at four layers
HIDDEN = 512, 256
OUTPUT_SCALE = 0.1  # so that one update of the last layer changes the norms little


def norm_parameters(network: nn.Module) -> dict[str, Tensor]:
    """Return the scales and shifts of a network's norms by name, each (C,)."""
    norms = [name for name, module in network.named_modules() if isinstance(module, nn.InstanceNorm2d)]
    parameters = dict(network.named_parameters())
    return {f"{name}.{kind}": parameters[f"{name}.{kind}"] for name in norms for kind in ("weight", "bias")}


def pool(features: Tensor) -> Tensor:
    """Return mean and standard deviation of each channel: (B,C,H,W) to (B,2C)."""
    flat = features.float().flatten(2)
    return torch.cat([flat.mean(2), (flat.var(2, correction=0) + 1e-4).sqrt()], 1)


class StyleEncoder(nn.Module):
    """A network whose norms follow from a painting; its convolutions serve all paintings.

    The painting's description is what VGG's statistics of it would be. It is predicted, so that VGG is needed
    only in training.

    Args:
        size: Size of the network, a key of ``SIZES``.
    """

    def __init__(self, size: str = DEFAULT_SIZE):
        super().__init__()
        self.network = TransformerNetwork(size)
        self.counts = [len(one) for one in norm_parameters(self.network).values()]
        pairs = itertools.pairwise(CHANNELS)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5 if a == 3 else 3, 2, padding=1) for a, b in pairs)
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # type: ignore[arg-type]
        inputs = 2 * sum(CHANNELS)
        self.describe = nn.Sequential(
            nn.LayerNorm(inputs), nn.Linear(inputs, HIDDEN[0]), nn.ReLU(), nn.Linear(HIDDEN[0], STATISTICS)
        )
        last = nn.Linear(HIDDEN[1], sum(self.counts))
        nn.init.zeros_(last.weight)  # start with the network's own norms
        nn.init.zeros_(last.bias)
        self.predict = nn.Sequential(nn.Linear(STATISTICS, HIDDEN[1]), nn.ReLU(), last)

    def description(self, paintings: Tensor) -> Tensor:
        """Describe paintings, (B,3,H,W), RGB in [0,1]: (B,1920), standardized over many paintings."""
        x = paintings - 0.5
        pooled = [pool(x)]
        for conv in self.convs:
            x = F.relu(conv(x))
            pooled.append(pool(x))
        return self.describe(torch.cat(pooled, 1))

    def norms(self, description: Tensor) -> dict[str, Tensor]:
        """Return scales and shifts of the network's norms, by name, for one painting's (1,1920)."""
        changes = (OUTPUT_SCALE * self.predict(description)[0]).split(self.counts)
        own = norm_parameters(self.network)
        return {name: value + change for (name, value), change in zip(own.items(), changes, strict=True)}

    def stylize(self, photos: Tensor, norms: Mapping[str, Tensor], position: Tensor | None = None) -> Tensor:
        """Stylize (B,3,H,W), RGB in [0,1], with the norms of one painting."""
        return torch.func.functional_call(self.network, dict(norms), (photos, 0, position))

    @torch.no_grad()
    def bake(
        self, paintings: Sequence[Image.Image], weights: Sequence[float] | None = None
    ) -> TransformerNetwork:
        """Return a plain network for a painting, or a blend of several, to be used like any trained one.

        Args:
            paintings: RGB images.
            weights: Weight of each painting, divided by their sum; by default equal.
        """
        images = [to_tensor(scale_to(painting, STYLE_SIZE))[None] for painting in paintings]
        shares = torch.tensor(weights or [1.0] * len(images))
        norms = [self.norms(self.description(image)) for image in images]
        mean = {
            name: torch.tensordot(shares / shares.sum(), torch.stack([one[name] for one in norms]), 1)
            for name in norms[0]
        }
        network = TransformerNetwork(**self.network.config)
        network.load_state_dict(self.network.state_dict() | mean)
        return network.eval().requires_grad_(False)


def save_encoder(path: Path, encoder: StyleEncoder) -> None:
    """Write an encoder with weights of 8 bits. The write is not atomic."""
    weights = {name: tensor.detach().contiguous() for name, tensor in encoder.state_dict().items()}
    path.write_bytes(save(quantize(weights)))


@functools.cache
def load_encoder(path: Path = ENCODER) -> StyleEncoder:
    """Load an encoder of the default network size, in eval mode and without gradients."""
    encoder = StyleEncoder()
    encoder.load_state_dict(dequantize(load_file(path)))
    return encoder.eval().requires_grad_(False)


def bake_painting(path: Path) -> tuple[TransformerNetwork, ModelCard]:
    """Return a network with the style of an image file, and its metadata.

    Raises:
        InputError: The file is no image, or has one colour.
    """
    painting = open_image(path).convert("RGB")
    if is_blank(painting):
        raise InputError(f"{path} has one colour in all of its pixels: give a painting", file=path)
    network = load_encoder().bake([painting])
    style = StyleImage(path.stem, hashlib.sha256(path.read_bytes()).hexdigest())
    return network, ModelCard(network.config, style=(style,))
