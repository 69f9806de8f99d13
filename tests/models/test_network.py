import pytest
import torch
import torch.nn.functional as F

from faststyle.errors import InputError
from faststyle.models.layers import NOISE_PERIOD, Noise
from faststyle.models.network import SIZES, TransformerNetwork

SIDES = [1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 100]


@pytest.mark.parametrize("height", SIDES)
def test_any_size_comes_out_as_it_went_in(network, height):
    for width in SIDES:
        images = torch.rand(1, 3, height, width)
        out = network(images)
        assert out.shape == images.shape
        assert out.isfinite().all()


@pytest.mark.parametrize("size, count", [("full", 1_679_235), ("half", 424_899), ("fast", 322_947)])
def test_sizes_have_the_parameters_known_of_them(size, count):
    # pytorch/examples' network has 1,679,235; half the width is Johnson's published IN models'.
    assert sum(p.numel() for p in TransformerNetwork(size).parameters()) == count


def test_parameters_follow_from_the_layer_table():
    # Johnson et al. 2016, supplement, with instance norm: k² · in · out + out, and 2 per norm channel.
    def convolution(kernel, inputs, outputs, norm=True):
        return kernel**2 * inputs * outputs + outputs + 2 * outputs * norm

    for size, w, blocks in (("half", 16, 5), ("full", 32, 5), ("half", 16, 2)):
        expected = convolution(9, 3, w) + convolution(3, w, 2 * w) + convolution(3, 2 * w, 4 * w)
        expected += 2 * blocks * convolution(3, 4 * w, 4 * w)
        expected += convolution(3, 4 * w, 2 * w) + convolution(3, 2 * w, w) + convolution(9, w, 3, norm=False)
        assert sum(p.numel() for p in TransformerNetwork(size, blocks).parameters()) == expected


def test_pictures_of_a_batch_do_not_touch_each_other(network):
    images = torch.rand(3, 3, 33, 41)
    singles = torch.cat([network(images[i : i + 1]) for i in range(3)])
    assert torch.allclose(network(images), singles, atol=1e-5)


def test_training_and_eval_mode_give_the_same(network):
    # Instance norm has no running statistics.
    images = torch.rand(1, 3, 32, 32)
    expected = network.eval()(images)
    assert torch.equal(network.train()(images), expected)


def test_noise_is_the_same_in_every_network_and_repeats_itself():
    torch.manual_seed(0)
    first, second = Noise(6, 8), Noise(6, 8)
    second.load_state_dict(first.state_dict())  # which holds no noise
    side = NOISE_PERIOD // 8
    x = torch.zeros(1, 6, side + 5, side + 9)
    noise = first(x, None)
    assert torch.equal(noise, second(x, None))
    assert torch.equal(noise[:, :, side:], noise[:, :, :5])
    assert torch.equal(noise[..., side:], noise[..., :9])
    assert noise.std() > 0.3 and noise[:, :, :side, :side].mean().abs() < 0.05
    # What is cut out of an image has the noise of its place.
    part = first(x[:, :, 3:20, 7:30], torch.tensor([24, 56]))
    assert torch.equal(part, noise[:, :, 3:20, 7:30])


def test_networks_without_noise_do_not_depend_on_the_place(network):
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(network(images), network(images, position=torch.tensor([16, 32])))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(64, 64), (32, 112)])
def test_it_is_the_network_that_its_layers_name(size, shape):
    # Convolutions, norms and nearest-neighbour upsampling one by one, on sizes that need no more pixels.
    torch.manual_seed(0)
    network = TransformerNetwork(size, blocks=1).requires_grad_(False)
    images = torch.rand(2, 3, *shape)
    x = images
    kept = []
    for level, (conv, norm) in enumerate(network.down):
        x = norm(conv(x))
        if network.noise is not None:
            x = network.noise[level](x, None)
        x = [*network.shallow, network.residual][level](F.relu(x))
        kept.append(x)
    for level, (conv, norm) in zip([2, 1, 0][-len(network.up) :], network.up, strict=True):
        x = F.interpolate(x, scale_factor=2.0)
        x = F.relu(norm(F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), conv.weight, conv.bias)))
        x = x + kept[level] if size == "deep" and level > 0 else x
    if size in ("deep", "fast"):
        x = F.interpolate(F.pad(x, (2,) * 4, mode="reflect"), scale_factor=2.0)
        x = F.conv2d(x, network.last.weight, network.last.bias)
    else:
        x = network.last(x)
    expected = 0.5 + 0.45 * torch.tanh(x / 0.45) + 0.1 * x
    assert torch.allclose(network(images), expected, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5, 65])
def test_a_margin_is_mirrored_and_cut_off(network, size):
    images = torch.rand(1, 3, size, 64)
    if size > 8:
        framed = F.pad(images, (8, 8, 8, 11), mode="reflect")  # 65 + 19 is a multiple of 4
        expected = network(framed)[..., 8 : 8 + size, 8:-8]
        assert torch.allclose(network(images, 8), expected, atol=1e-5)
    assert network(images, 8).shape == images.shape


def test_mirrored_photo_is_treated_alike_at_both_borders():
    # With kernels made symmetric, the network commutes with mirroring only if its padding does.
    torch.manual_seed(0)
    network = TransformerNetwork("half", blocks=1).requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.copy_((parameter + parameter.flip(2)) / 2)
    images = torch.rand(1, 3, 32, 32)
    # Stride 2 samples even rows, whose mirror images are odd ones: compare without the strides.
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


def test_config_builds_the_same_network_again():
    network = TransformerNetwork("full", blocks=2)
    TransformerNetwork(**network.config).load_state_dict(network.state_dict())


def test_unknown_size_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'half'"):
        TransformerNetwork("halff")
