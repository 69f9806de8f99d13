"""Fixtures of the tests of inference."""

import pytest
import torch

from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.model import Model, model_of
from faststyle.models.network import Inference, TransformerNetwork


@pytest.fixture(scope="module")
def module() -> Inference:
    """Return a small network as the engines run it."""
    torch.manual_seed(0)
    return Inference(TransformerNetwork("fast", blocks=1).eval().requires_grad_(False), 8)


@pytest.fixture(scope="module")
def small(module) -> Model:
    """Return the same network as a model in memory."""
    return model_of(module.network, ModelCard())


@pytest.fixture
def stylize(network) -> Stylizer:
    """Return a stylizer of a small random network on the CPU."""
    return Stylizer(network, ModelCard(name="small"), device="cpu", precision="fp32")
