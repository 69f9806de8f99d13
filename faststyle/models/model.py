"""A trained model in memory, as NumPy arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faststyle.models.card import ModelCard
from faststyle.models.layout import Layout, layout_of

if TYPE_CHECKING:
    from faststyle.models.network import TransformerNetwork


@dataclass(frozen=True)
class Model:
    """A trained model: the weights of a network, and its metadata.

    Attributes:
        weights: Arrays of float32 by name, with the shapes of ``Layout.weight_shapes``.
        card: The metadata. Its ``network`` holds the arguments of ``TransformerNetwork``.
    """

    weights: dict[str, np.ndarray]
    card: ModelCard

    @property
    def layout(self) -> Layout:
        """The layers of the network."""
        return layout_of(self.card.network)

    def digest(self) -> str:
        """Return a digest of the weights and the configuration."""
        key = hashlib.sha256(repr(sorted(self.card.network.items())).encode())
        for name, array in sorted(self.weights.items()):
            key.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return key.hexdigest()

    def build_network(self) -> TransformerNetwork:
        """Return the network in eval mode on the CPU, without gradients."""
        import torch

        from faststyle.models.network import TransformerNetwork

        network = TransformerNetwork(**self.card.network)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in self.weights.items()})
        return network.eval().requires_grad_(False)


def model_of(network: TransformerNetwork, card: ModelCard) -> Model:
    """Return the model of a network, with a copy of its weights."""
    weights = {name: one.detach().cpu().float().numpy().copy() for name, one in network.state_dict().items()}
    return Model(weights, replace(card, network=network.config))
