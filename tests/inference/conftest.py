"""Fixtures of the tests of inference."""

import pytest
import torch

from faststyle.models.network import Inference, TransformerNetwork


@pytest.fixture(scope="module")
def module() -> Inference:
    """Return a small network as the engines run it."""
    torch.manual_seed(0)
    return Inference(TransformerNetwork("fast", blocks=1).eval().requires_grad_(False), 8)
