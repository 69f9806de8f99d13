"""The network that learns any painting: an encoder that predicts a transformer network's style parameters."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.numpy import save
from torch import Tensor, nn

from faststyle.models.layout import DEFAULT_SIZE
from faststyle.models.network import TransformerNetwork
from faststyle.models.quantization import quantize
from faststyle.models.style_encoder import CHANNELS, OUTPUT_SCALE

STATISTICS = 1920  # logarithms of means and standard deviations of VGG's features at four layers
HIDDEN = 512, 256
MIX_VALUES = 9  # of the matrix (3,3) that mixes the output's colours


def pool(features: Tensor) -> Tensor:
    """Return mean and standard deviation of each channel: (B,C,H,W) to (B,2C)."""
    flat = features.float().flatten(2)
    return torch.cat([flat.mean(2), (flat.var(2, correction=0) + 1e-4).sqrt()], 1)


class StyleEncoder(nn.Module):
    """A network whose norms and output colours follow from a painting; the rest serves all paintings.

    The painting's description is what VGG's statistics of it would be. It is predicted, so that VGG is needed
    only in training. ``models.style_encoder`` computes the same without torch.

    Args:
        size: Size of the network, a key of ``SIZES``.
    """

    def __init__(self, size: str = DEFAULT_SIZE):
        super().__init__()
        self.network = TransformerNetwork(size)
        self.lengths = self.network.layout.style_parameters()
        pairs = itertools.pairwise(CHANNELS)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5 if a == 3 else 3, 2, padding=1) for a, b in pairs)
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # type: ignore[arg-type]
        inputs = 2 * sum(CHANNELS)
        self.describe = nn.Sequential(
            nn.LayerNorm(inputs), nn.Linear(inputs, HIDDEN[0]), nn.ReLU(), nn.Linear(HIDDEN[0], STATISTICS)
        )
        last = nn.Linear(HIDDEN[1], sum(self.lengths.values()) + MIX_VALUES)
        nn.init.zeros_(last.weight)  # start with the network's own style
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

    def style(self, description: Tensor) -> dict[str, Tensor]:
        """Return the network's parameters that depend on the style, by name, for one painting's (1,1920)."""
        outputs = OUTPUT_SCALE * self.predict(description)[0]
        *changes, mix = outputs.split([*self.lengths.values(), MIX_VALUES])
        own = dict(self.network.named_parameters())
        style = {name: own[name] + change for name, change in zip(self.lengths, changes, strict=True)}
        colors = torch.eye(3) + mix.view(3, 3)
        return style | {"last.weight": torch.tensordot(colors, own["last.weight"], 1)}

    def stylize(self, photos: Tensor, style: Mapping[str, Tensor], position: Tensor | None = None) -> Tensor:
        """Stylize (B,3,H,W), RGB in [0,1], with the parameters of one painting's style."""
        return torch.func.functional_call(self.network, dict(style), (photos, 0, position))


def save_encoder(path: Path, encoder: StyleEncoder) -> None:
    """Write an encoder with weights of 8 bits. The write is not atomic."""
    weights = {name: tensor.detach().numpy() for name, tensor in encoder.state_dict().items()}
    path.write_bytes(save(quantize(weights)))
