"""Tests of the Gram matrix."""

import torch

from faststyle.losses.statistics import gram


def test_gram_is_the_mean_product_of_channel_pairs():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3)
    for b in range(2):
        for i in range(3):
            for j in range(3):
                for y in range(4):
                    for x in range(5):
                        expected[b, i, j] += features[b, i, y, x] * features[b, j, y, x] / (4 * 5)
    assert torch.allclose(gram(features), expected, atol=1e-6)


def test_gram_does_not_depend_on_the_size_of_a_repeating_pattern():
    torch.manual_seed(0)
    tile = torch.randn(1, 6, 5, 7)
    assert torch.allclose(gram(tile.repeat(1, 1, 3, 2)), gram(tile), atol=1e-5)


def test_gram_does_not_depend_on_positions():
    torch.manual_seed(0)
    features = torch.randn(1, 6, 5, 7)
    shuffled = features.flatten(2)[:, :, torch.randperm(35)].view(1, 6, 5, 7)
    assert torch.allclose(gram(shuffled), gram(features), atol=1e-5)


def test_gram_is_float32_under_autocast():
    torch.manual_seed(0)
    features = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        under = gram(features)
    assert under.dtype == torch.float32
    assert torch.equal(under, gram(features))


def test_gram_of_half_precision_features_is_accurate():
    torch.manual_seed(0)
    # bfloat16 rounds the products themselves to 8 bits.
    for dtype, within in ((torch.bfloat16, 2**-7), (torch.float16, 1e-5)):
        features = (300 * torch.rand(1, 4, 32, 32)).to(dtype)  # Squares exceed float16's maximum, 65504.
        expected = torch.einsum("bchw,bdhw->bcd", features.double(), features.double()) / 1024
        assert torch.allclose(gram(features).double(), expected, rtol=within)


def test_custom_gradient_equals_autograd():
    # The incoming gradient is not symmetric, as from a loss that uses only some entries.
    weight = torch.randn(2, 5, 5)
    ours, plain = (torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    ours.requires_grad_(), plain.requires_grad_()
    (weight * gram(ours)).sum().backward()
    flat = plain.flatten(2)
    (weight * (flat @ flat.transpose(1, 2)) / 12).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)
