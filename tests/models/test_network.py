"""The feed-forward network and its layers."""

import pytest
import torch
import torch.nn.functional as F

from faststyle.errors import InputError
from faststyle.models.layers import Noise
from faststyle.models.layout import NOISE_PERIOD, SIZES
from faststyle.models.network import TransformerNetwork

SIDES = [1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 100]


@pytest.mark.parametrize("height", SIDES)
def test_output_has_the_size_of_the_input(network, height):
    for width in SIDES:
        images = torch.rand(1, 3, height, width)
        result = network(images)
        assert result.shape == images.shape
        assert result.isfinite().all()


@pytest.mark.parametrize("size, count", [("full", 1_679_235), ("half", 424_899), ("fast", 322_947)])
def test_sizes_have_their_known_number_of_parameters(size, count):
    # full is the network of pytorch/examples; half has the width of Johnson's instance-norm models.
    assert sum(p.numel() for p in TransformerNetwork(size).parameters()) == count


def test_number_of_parameters_follows_from_the_layers_in_the_paper():
    # Johnson et al. 2016, supplement, with instance norm: k² · in · out + out, and 2 per norm channel.
    def parameters(kernel, inputs, outputs, norm=True):
        return kernel**2 * inputs * outputs + outputs + 2 * outputs * norm

    for size, w, blocks in (("half", 16, 5), ("full", 32, 5), ("half", 16, 2)):
        expected = parameters(9, 3, w) + parameters(3, w, 2 * w) + parameters(3, 2 * w, 4 * w)
        expected += 2 * blocks * parameters(3, 4 * w, 4 * w)
        expected += parameters(3, 4 * w, 2 * w) + parameters(3, 2 * w, w)
        expected += parameters(9, w, 3, norm=False)
        assert sum(p.numel() for p in TransformerNetwork(size, blocks).parameters()) == expected


def test_images_of_a_batch_do_not_affect_each_other(network):
    images = torch.rand(3, 3, 33, 41)
    singles = torch.cat([network(images[i : i + 1]) for i in range(3)])
    assert torch.allclose(network(images), singles, atol=1e-5)


def test_training_mode_and_eval_mode_give_the_same_result(network):
    # Because instance norm has no running statistics.
    images = torch.rand(1, 3, 32, 32)
    expected = network.eval()(images)
    assert torch.equal(network.train()(images), expected)


def test_noise_is_the_same_in_every_network_and_repeats():
    torch.manual_seed(0)
    first, second = Noise(6, 8), Noise(6, 8)
    second.load_state_dict(first.state_dict())  # does not contain the noise
    side = NOISE_PERIOD // 8
    x = torch.zeros(1, 6, side + 5, side + 9)
    noise = first(x, None)
    assert torch.equal(noise, second(x, None))
    assert torch.equal(noise[:, :, side:], noise[:, :, :5])
    assert torch.equal(noise[..., side:], noise[..., :9])
    assert noise.std() > 0.3 and noise[:, :, :side, :side].mean().abs() < 0.05
    # A crop has the noise of its position in the image.
    crop = first(x[:, :, 3:20, 7:30], torch.tensor([24, 56]))
    assert torch.equal(crop, noise[:, :, 3:20, 7:30])


def test_networks_without_noise_do_not_depend_on_the_position(network):
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(network(images), network(images, position=torch.tensor([16, 32])))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(64, 64), (32, 112)])
def test_fused_layers_equal_the_separate_layers(size, shape):
    # Convolutions, norms and nearest-neighbour upsampling one by one, on sizes that need no padding.
    torch.manual_seed(0)
    network = TransformerNetwork(size, blocks=1).requires_grad_(False)
    images = torch.rand(2, 3, *shape)
    x = images
    encoded = []
    for level, (conv, norm) in enumerate(network.down):
        x = conv(x)
        if level == 0 and network.photo_noise is not None:
            x = x + F.conv2d(network.photo_noise(x, None), conv.weight.sum((2, 3), keepdim=True))
        x = norm(x)
        if network.noise is not None:
            x = network.noise[level](x, None)
        x = [*network.shallow, network.residual][level](F.relu(x))
        encoded.append(x)
    for level, (conv, norm) in zip([2, 1, 0][-len(network.up) :], network.up, strict=True):
        x = F.interpolate(x, scale_factor=2.0)
        x = F.relu(norm(F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), conv.weight, conv.bias)))
        x = x + encoded[level] if size == "deep" and level > 0 else x
    if size in ("deep", "fast"):
        x = F.interpolate(F.pad(x, (2,) * 4, mode="reflect"), scale_factor=2.0)
        x = F.conv2d(x, network.last.weight, network.last.bias)
    else:
        x = network.last(x)
    expected = 0.5 + 0.45 * torch.tanh(x / 0.45) + 0.1 * x
    assert torch.allclose(network(images), expected, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5, 65])
def test_margin_is_mirrored_and_cropped(network, size):
    images = torch.rand(1, 3, size, 64)
    if size > 8:
        padded = F.pad(images, (8, 8, 8, 11), mode="reflect")  # 65 + 19 is a multiple of 4
        expected = network(padded)[..., 8 : 8 + size, 8:-8]
        assert torch.allclose(network(images, 8), expected, atol=1e-5)
    assert network(images, 8).shape == images.shape


def test_padding_treats_opposite_borders_alike():
    # With symmetric kernels, the network commutes with mirroring only if its padding does.
    torch.manual_seed(0)
    network = TransformerNetwork("half", blocks=1).requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.copy_((parameter + parameter.flip(2)) / 2)
    images = torch.rand(1, 3, 32, 32)
    # Only the layers without stride, because stride 2 samples even rows, whose mirror images are odd.
    layer = network.down[0]
    assert torch.allclose(layer(images.flip(2)), layer(images).flip(2), atol=1e-4)
    assert torch.allclose(
        network.last(F.relu(layer(images.flip(2)))), network.last(F.relu(layer(images))).flip(2), atol=1e-4
    )


def test_gradient_reaches_every_parameter():
    network = TransformerNetwork("half", blocks=2)
    network(torch.rand(1, 3, 32, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name


def test_config_builds_the_same_network():
    network = TransformerNetwork("full", blocks=2)
    TransformerNetwork(**network.config).load_state_dict(network.state_dict())


def test_unknown_size_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean 'half'"):
        TransformerNetwork("halff")
