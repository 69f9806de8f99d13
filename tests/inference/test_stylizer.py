from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from faststyle import device
from faststyle.device import has_fast_bfloat16, pick_device
from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import MARGIN, ModelCard
from faststyle.models.network import TransformerNetwork
from tests.support.images import chroma, draw_image, level_differences


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "I;16"])
def test_opaque_image_of_any_mode_becomes_rgb(stylize, mode):
    if mode == "I;16":
        image = Image.fromarray(np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(30, 40))
    else:
        image = draw_image(40, 30).convert(mode)
    result = stylize(image)
    assert isinstance(result, Image.Image)
    assert (result.mode, result.size) == ("RGB", (40, 30))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_preserved(stylize, mode):
    image = draw_image(40, 30).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((40, 30)))
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    result = stylize(image)
    assert (result.mode, result.size) == ("RGBA", (40, 30))
    assert level_differences(result.getchannel("A"), image.convert("RGBA").getchannel("A")).max() == 0


def test_exif_orientation_is_applied(stylize):
    image = draw_image(40, 30)
    image.getexif()[0x0112] = 6
    assert stylize(image).size == (30, 40)


def test_result_equals_the_networks_output(stylize, network):
    image = draw_image(40, 32)
    with torch.no_grad():
        wide = F.pad(to_tensor(image)[None], (MARGIN,) * 4, mode="reflect")
        expected = network(wide)[0, :, MARGIN:-MARGIN, MARGIN:-MARGIN].clamp(0, 1) * 255
    result = torch.from_numpy(np.array(stylize(image))).permute(2, 0, 1)
    assert (result - expected).abs().max() <= 0.51
    assert level_differences(stylize(image), image).mean() > 5  # The network changes the image.


@pytest.mark.parametrize("shape", [(3, 33, 47), (1, 3, 33, 47), (2, 3, 16, 16), (3, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensor_keeps_its_shape_and_dtype(stylize, shape, dtype):
    images = torch.rand(shape).to(dtype)
    result = stylize(images)
    assert result.shape == shape and result.dtype == dtype
    assert result.min() >= 0 and result.max() <= 1
    assert not result.requires_grad


def test_image_tensor_and_batch_give_equal_results(stylize):
    images = [draw_image(40, 30, seed) for seed in range(2)]
    batch = stylize(torch.stack([to_tensor(image) for image in images]))
    for image, result in zip(images, batch, strict=True):
        single = stylize(to_tensor(image))
        assert torch.allclose(single, result, atol=1e-5)
        assert (to_tensor(stylize(image)) - single).abs().max() <= 0.51 / 255


def test_list_of_images_of_mixed_sizes_and_modes_is_stylized(stylize):
    images = [draw_image(40, 30), draw_image(17, 65).convert("L"), draw_image(20, 20).convert("RGBA")]
    results = stylize(images)
    assert isinstance(results, list)
    assert [result.size for result in results] == [(40, 30), (17, 65), (20, 20)]
    assert [result.mode for result in results] == ["RGB", "RGB", "RGBA"]
    assert level_differences(results[0], stylize(images[0])).max() == 0
    assert stylize([]) == []


def test_strength_zero_returns_the_photo_exactly(stylize):
    image = draw_image(41, 30)
    assert level_differences(stylize(image, strength=0), image).max() == 0
    assert level_differences(stylize(image, strength=0, preserve_color=True), image).max() == 0
    tensor = to_tensor(image)
    assert torch.equal(stylize(tensor, strength=0.0), tensor)


def test_partial_strength_blends_photo_and_result(stylize):
    image = draw_image(40, 30)
    photo, full = np.asarray(image, float), np.asarray(stylize(image), float)
    half = np.asarray(stylize(image, strength=0.5), float)
    assert np.abs(half - (photo + full) / 2).max() <= 1
    quarter = np.asarray(stylize(image, strength=0.25), float)
    assert np.abs(quarter - (0.75 * photo + 0.25 * full)).max() <= 1


def test_preserved_colours_equal_the_photos(stylize):
    # Muted colours are not clamped except where the image is very light or dark.
    image = Image.blend(Image.new("RGB", (40, 30), "gray"), draw_image(40, 30), 0.3)
    result = to_tensor(stylize(image, preserve_color=True))
    inside = (result.amin(0) > 0.01) & (result.amax(0) < 0.99)
    assert inside.float().mean() > 0.5
    difference = (chroma(result) - chroma(to_tensor(image))).abs()[:, inside]
    assert difference.max() <= 1.5 / 255


def test_grey_photo_stays_grey_with_preserved_colours(stylize):
    result = np.asarray(stylize(draw_image(40, 30).convert("L"), preserve_color=True), int)
    assert (result.max(-1) - result.min(-1)).max() <= 1


def test_input_is_not_modified(stylize):
    image = draw_image(40, 30)
    image.getexif()[0x0112] = 3
    image.putalpha(90)
    tensor = torch.rand(3, 20, 20)
    before, values = image.tobytes(), tensor.clone()
    for strength in (0, 0.5, 1):
        stylize(image, strength, preserve_color=True, max_size=20)
        stylize(tensor, strength, preserve_color=True).zero_()
    assert image.tobytes() == before and image.getexif()[0x0112] == 3
    assert torch.equal(tensor, values)


def test_max_size_shrinks_and_never_enlarges(stylize):
    image = draw_image(80, 40).convert("RGBA")
    assert stylize(image, max_size=40).size == (40, 20)
    assert stylize(image, max_size=200).size == (80, 40)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), float("inf")])
def test_strength_outside_0_and_1_is_rejected(stylize, strength):
    with pytest.raises(InputError, match="strength"):
        stylize(draw_image(20, 20), strength=strength)


@pytest.mark.parametrize(
    "shape", [(20, 20), (1, 20, 20), (4, 20, 20), (2, 4, 20, 20), (1, 1, 3, 8, 8), (3, 0, 8)]
)
def test_tensor_of_invalid_shape_is_rejected(stylize, shape):
    with pytest.raises(InputError, match=r"\(3,H,W\)"):
        stylize(torch.zeros(shape))


def test_integer_tensor_is_rejected(stylize):
    # Bytes in [0, 255] would be clamped to 0 and 1.
    with pytest.raises(InputError, match=r"\[0,1\]"):
        stylize(torch.full((3, 20, 20), 100, dtype=torch.uint8))


@pytest.mark.parametrize("given", ["photo.jpg", Path("photo.jpg")])
def test_file_name_instead_of_an_image_is_rejected(stylize, given):
    with pytest.raises((InputError, TypeError)):
        stylize(given)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "xpu", "", "cpu:x"])
def test_unavailable_device_is_rejected(model, device):
    with pytest.raises(InputError, match="device"):
        Stylizer.load(model, device=device)


def test_unknown_precision_suggests_the_nearest(model):
    with pytest.raises(InputError, match="did you mean 'bf16'"):
        Stylizer.load(model, device="cpu", precision="bf61")


def test_default_device_and_precision_suit_the_machine(model, monkeypatch):
    for fast, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(device, "has_fast_bfloat16", lambda _, fast=fast: fast)
        assert Stylizer.load(model, device="cpu").precision == precision
    assert Stylizer.load(model).device == str(pick_device("auto"))
    assert not has_fast_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_to_full_precision(network, precision):
    image = draw_image(64, 48)
    full = Stylizer(network, ModelCard(), device="cpu", precision="fp32")(image)
    half = Stylizer(network, ModelCard(), device="cpu", precision=precision)(image)
    assert level_differences(half, full).mean() < 2
    assert level_differences(half, full).max() < 20


def test_stylizer_freezes_the_network(painting):
    network = TransformerNetwork(blocks=1).train()
    stylize = Stylizer(network, ModelCard(), device="cpu")
    network = stylize.backend.network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_loaded_model_has_its_metadata(model):
    assert Stylizer.load(model, device="cpu").card.name == "small"


def test_package_exports_the_stylizer_and_its_error():
    import faststyle

    assert faststyle.Stylizer is Stylizer
    assert faststyle.InputError is InputError
    with pytest.raises(AttributeError):
        faststyle.Stylist  # noqa: B018


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_result_equals_cpu_result(network):
    image = draw_image(64, 48)
    cpu = Stylizer(network, ModelCard(), device="cpu", precision="fp32")(image)
    gpu = Stylizer(network, ModelCard(), device="cuda", precision="fp32")(image)
    assert level_differences(gpu, cpu).max() <= 2


def test_batch_too_large_for_memory_is_stylized_image_by_image(stylize, monkeypatch):
    batch = torch.rand(3, 3, 280, 300)
    expected = stylize(batch)
    monkeypatch.setattr(
        "faststyle.inference.network_runner.max_whole_pixels", lambda network, device: 100_000
    )  # One image fits.
    monkeypatch.setattr(stylize, "_tiled", None)
    assert torch.allclose(stylize(batch), expected, atol=1e-5)


def test_result_of_a_tensor_requires_no_gradient(stylize):
    images = torch.rand(1, 3, 20, 20, requires_grad=True)
    for options in ({"strength": 0.5}, {"preserve_color": True}, {"stroke_scale": 2.0}):
        assert not stylize(images, **options).requires_grad
