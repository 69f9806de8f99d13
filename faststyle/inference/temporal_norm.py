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
    """Instance norm with running statistics.

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
    own = alike(torch.cat([mean, variance], 1)).flatten(1)
    mean, variance = mixed(mix, memory, own).chunk(2, 1)
    scale = norm.weight * (variance.clamp(min=0) + norm.eps).rsqrt()
    return x * alike(scale).to(x.dtype) + alike(norm.bias - mean * scale).to(x.dtype), own


def alike(values: Tensor) -> Tensor:
    """(B,N) to (B,N,1,1), by a convolution that changes nothing.

    For OpenVINO, which is given a trace: it keeps what leads to a result in float32, but for what goes
    through a convolution, and the layout of what is multiplied with the result of one. Without, a frame
    takes 1.6 times as long.
    """
    values = values[..., None, None]
    if not torch.jit.is_tracing():
        return values
    return F.conv2d(values, torch.eye(values.shape[1])[..., None, None])


class SteadyNetwork(nn.Module):
    """Frames (B,H,W,3) uint8 RGB to the same, normalized with running statistics.

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
        """What is remembered before the first frame: (1,S)."""
        return torch.zeros(1, sum(self.widths))

    def example_inputs(self) -> list[tuple[Tensor, list[int]]]:
        """Inputs to trace it with, and the sizes that they may have: -1 is any."""
        frames = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
        memory = self.blank()
        # One frame: of several OpenVINO would compute a part in float32.
        return [(frames, [1, -1, -1, 3]), (memory, [*memory.shape]), (mixing([0.0]), [1, 2])]

    def can_use_trace(self, frames: Tensor, *_: Tensor) -> bool:
        """Whether what was traced does for these too: smaller ones are filled up."""
        return min(frames.shape[1:3]) >= MIN_SIDE

    def forward(self, frames: Tensor, memory: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Stylize frames.

        Args:
            frames: (B,H,W,3) uint8.
            memory: (1,S), the statistics of what was before.
            mix: (B,1+B), see ``mixing``.

        Returns:
            The frames, and the statistics of each, (B,S). What is then remembered is
            ``mixed(mix, memory, statistics)[-1:]``, in float32, whatever the network computes in.
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


def mixed(mix: Tensor, memory: Tensor, own: Tensor) -> Tensor:
    """What each frame is normalized with: (B,1+B), (1,S) and (B,S) to (B,S)."""
    # Not a matrix product: in bfloat16 its result would be rounded.
    return (mix[..., None] * torch.cat([memory, own])).sum(1)


def mixing(shares: Sequence[float]) -> Tensor:
    """How the statistics of frames in a row are mixed: (B,1+B), each row's sum is 1.

    Args:
        shares: for each frame, the share that it leaves to what was remembered before it.
    """
    rows = []
    before = F.one_hot(torch.tensor(0), 1 + len(shares)).float()
    for number, share in enumerate(shares):
        own = F.one_hot(torch.tensor(1 + number), 1 + len(shares)).float()
        before = share * before + (1 - share) * own
        rows.append(before)
    return torch.stack(rows)
