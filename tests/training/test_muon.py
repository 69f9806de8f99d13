import copy

import pytest
import torch

from faststyle.models.network import TransformerNetwork
from faststyle.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (48, 20)])
def test_orthogonalized_matrix_has_singular_values_near_1_and_the_same_directions(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    turned = orthogonalize(matrix)
    values = torch.linalg.svdvals(turned)
    assert values.max() < 1.3 and values.median() > 0.6
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ turned @ right.T  # diagonal where the directions are the matrix's own
    assert (inner - torch.diag(inner.diag())).abs().max() < 1e-3


def test_zero_gradient_leaves_the_kernel_unchanged():
    kernel = torch.nn.Parameter(torch.ones(4, 3, 3, 3))
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], lr=0.1).step()
    assert torch.equal(kernel, torch.ones(4, 3, 3, 3))


def test_vectors_are_updated_as_by_adam():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))
    muon, adam = Muon([ours], lr=0.01), torch.optim.Adam([theirs], lr=0.01)
    for _ in range(4):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        muon.step(), adam.step()
    torch.testing.assert_close(ours, theirs)


def test_kernel_updates_have_the_size_of_adams():
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
    kernel.grad = torch.randn(32, 16, 3, 3)
    Muon([kernel], lr=1.0).step()
    assert 0.1 < kernel.square().mean().sqrt() < 0.4


def test_network_learns_and_state_can_be_restored():
    def run(network, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (network(photos) - 0.3).square().mean()
            loss.backward()
            optimizer.step()
        return loss.item()

    torch.manual_seed(0)
    photos = torch.rand(1, 3, 24, 24)
    network = TransformerNetwork("half", blocks=1)
    optimizer = Muon(network.parameters(), lr=1e-2)
    before = run(network, optimizer, 1)
    assert run(network, optimizer, 10) < 0.5 * before

    twin = TransformerNetwork("half", blocks=1)
    twin.load_state_dict(network.state_dict())
    other = Muon(twin.parameters(), lr=1e-2)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch shares its tensors
    assert run(twin, other, 3) == run(network, optimizer, 3)


def test_closure_is_run_with_gradients():
    vector = torch.nn.Parameter(torch.ones(3))
    optimizer = Muon([vector], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = vector.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 3
    assert (vector < 1).all()
