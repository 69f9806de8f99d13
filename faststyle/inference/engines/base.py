"""Define what every inference backend can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from faststyle.image.arrays import Array


class ImageEngine(Protocol):
    """A network that is ready to stylize images. Its arrays are NumPy arrays, or tensors on its device.

    Attributes:
        name: Key of ``ENGINES``.
        device: Name of the device, such as cpu or cuda:0.
        precision: float32, bfloat16 or float16.
    """

    name: str
    device: str
    precision: str

    def array(self, values: Any) -> Array:
        """Return a NumPy array or a tensor as an array of this engine."""

    def stylize(self, images: Array) -> Array:
        """Stylize images (B,3,H,W), RGB in [0,1], to the same shape."""


class Engine(ImageEngine, Protocol):
    """A network that is ready to stylize images, tiles and video frames.

    The statistics of the norms are (1,S): mean and variance of each norm, in the order of ``Layout.norms``.

    Attributes:
        max_batch: Number of video frames to run at once.
    """

    max_batch: int

    def measure(self, images: Array) -> Array:
        """Return the statistics of the norms for one image, (1,3,H,W)."""

    def stylize_tile(self, tile: Array, position: tuple[int, int], statistics: Array) -> Array:
        """Stylize a part of an image with given statistics, without a border.

        Args:
            tile: (1,3,h,w), RGB in [0,1].
            position: Row and column of the first pixel, multiples of the network's stride.
            statistics: (1,S).
        """

    def blank_memory(self) -> np.ndarray:
        """Return the running statistics before the first frame: (1,S)."""

    def stylize_frames(
        self, frames: np.ndarray, memory: np.ndarray, mix: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        """Stylize video frames with running statistics.

        Args:
            frames: (B,H,W,3) bytes.
            memory: (1,S), the running statistics before these frames.
            mix: (B,1+B), see ``mixing_weights``.

        Returns:
            The frames, (B,H,W,3) bytes, and the statistics of each, (B,S).
        """


def mix_statistics(mix: Array, memory: Array, own: Array) -> Array:
    """Return the statistics that normalize each frame: (B,1+B), (1,S) and (B,S) to (B,S)."""
    # Not a matrix product, whose result would be rounded in bfloat16.
    found = mix[:, :1] * memory
    for number in range(len(own)):
        found = found + mix[:, 1 + number : 2 + number] * own[number : number + 1]
    return found


def mixing_weights(shares: Sequence[float]) -> np.ndarray:
    """Return the weights of memory and frames in the statistics of each frame: (B,1+B), rows sum to 1.

    Args:
        shares: For each frame, the share of the memory before it.
    """
    unit = np.eye(1 + len(shares), dtype=np.float32)
    rows, before = [], unit[0]
    for number, share in enumerate(shares):
        before = np.float32(share) * before + np.float32(1 - share) * unit[1 + number]
        rows.append(before)
    return np.stack(rows)
