"""Temporal instance norm: the network for video frames, with running statistics over a shot.

Instance norm takes its statistics from one image. When something enters a video they jump, and the whole
image changes its tone. Here they are running means over the frames.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faststyle.models.layers import MIN_SIDE
from faststyle.models.network import TransformerNetwork


def running_norm(norm: nn.InstanceNorm2d, x: Tensor, memory: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
    """Apply instance norm with running statistics.

    Args:
        norm: The layer, for its weight, bias and eps.
        x: (B,C,H,W).
        memory: (1,2C), mean and variance of the frames before.
        mix: (B,1+B), the weights of ``memory`` and of each of the B frames in the statistics of each frame.

    Returns:
        The normalized features, and each frame's own statistics, (B,2C).
    """
    exact = x.float()
    mean = exact.mean((2, 3))  # (B,C)
    variance = (exact * exact).mean((2, 3)) - mean * mean
    own = expand_to_nchw(torch.cat([mean, variance], 1)).flatten(1)
    mean, variance = mix_statistics(mix, memory, own).chunk(2, 1)
    scale = norm.weight * (variance.clamp(min=0) + norm.eps).rsqrt()
    return x * expand_to_nchw(scale).to(x.dtype) + expand_to_nchw(norm.bias - mean * scale).to(x.dtype), own


def expand_to_nchw(values: Tensor) -> Tensor:
    """Reshape (B,N) to (B,N,1,1), in a trace through an identity convolution.

    OpenVINO keeps every tensor that feeds an output in float32 unless it passes through a convolution;
    without this a frame takes 1.6 times as long.
    """
    values = values[..., None, None]
    if not torch.jit.is_tracing():
        return values
    return F.conv2d(values, torch.eye(values.shape[1])[..., None, None])


class VideoNetwork(nn.Module):
    """The network for video frames, (B,H,W,3) uint8 RGB to the same, normalized with running statistics.

    Args:
        network: The trained network.
        margin: Pixels of the mirrored border.
    """

    def __init__(self, network: TransformerNetwork, margin: int):
        super().__init__()
        self.network, self.margin = network, margin
        self.norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
        self.widths = [2 * norm.num_features for norm in self.norms]

    def blank(self) -> Tensor:
        """Return the memory before the first frame: (1,S)."""
        return torch.zeros(1, sum(self.widths))

    def example_inputs(self) -> list[tuple[Tensor, list[int]]]:
        """Return inputs for tracing, and the sizes that they can have; -1 is any."""
        frames = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
        memory = self.blank()
        # One frame: OpenVINO would compute a part of several in float32.
        return [(frames, [1, -1, -1, 3]), (memory, [*memory.shape]), (mixing_weights([0.0]), [1, 2])]

    def can_use_trace(self, frames: Tensor, *_: Tensor) -> bool:
        """Return True where the trace serves these frames too; smaller ones are padded."""
        return min(frames.shape[1:3]) >= MIN_SIDE

    def forward(self, frames: Tensor, memory: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Stylize frames.

        Args:
            frames: (B,H,W,3) uint8.
            memory: (1,S), the running statistics before these frames.
            mix: (B,1+B), see ``mixing_weights``.

        Returns:
            The frames, and the statistics of each, (B,S). The next memory is
            ``mix_statistics(mix, memory, statistics)[-1:]``, in float32 whatever the network computes in.
        """
        before = dict(zip(self.norms, memory.split(self.widths, 1), strict=True))
        own: dict[nn.InstanceNorm2d, Tensor] = {}

        def normalize(norm: nn.Module, x: Tensor) -> Tensor:
            assert isinstance(norm, nn.InstanceNorm2d)
            x, own[norm] = running_norm(norm, x, before[norm], mix)
            return x

        x = frames.permute(0, 3, 1, 2).float() / 255
        y = self.network(x, self.margin, normalize=normalize).clamp(0, 1)
        pixels = (y * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return pixels, torch.cat([own[norm] for norm in self.norms], 1)


def mix_statistics(mix: Tensor, memory: Tensor, own: Tensor) -> Tensor:
    """Return the statistics that normalize each frame: (B,1+B), (1,S) and (B,S) to (B,S)."""
    # Not a matrix product, whose result would be rounded in bfloat16.
    return (mix[..., None] * torch.cat([memory, own])).sum(1)


def mixing_weights(shares: Sequence[float]) -> Tensor:
    """Return the weights of memory and frames in the statistics of each frame: (B,1+B), rows sum to 1.

    Args:
        shares: For each frame, the share of the memory before it.
    """
    rows = []
    before = F.one_hot(torch.tensor(0), 1 + len(shares)).float()
    for number, share in enumerate(shares):
        own = F.one_hot(torch.tensor(1 + number), 1 + len(shares)).float()
        before = share * before + (1 - share) * own
        rows.append(before)
    return torch.stack(rows)
