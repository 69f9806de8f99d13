import pytest
import torch

from faststyle.image.color import luminance
from faststyle.image.convert import to_tensor
from faststyle.inference import stroke_scale
from faststyle.inference.stroke_scale import auto_scale, highest, shrink
from tests.support.images import enlarge, sample


def photo(name: str = "astronaut", longer: int = 192) -> torch.Tensor:
    """Load a sample photo as (1,3,H,W)."""
    return to_tensor(sample(name, longer))[None]


def resize(images: torch.Tensor, size) -> torch.Tensor:
    return torch.nn.functional.interpolate(images, tuple(size), mode="bicubic", antialias=True)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


def gradient(images: torch.Tensor) -> torch.Tensor:
    """Return the steepest horizontal step in the middle row of each image, (B,3)."""
    return images[:, :, images.shape[2] // 2].diff(dim=-1).abs().amax(-1)


@pytest.mark.parametrize("size", [(64, 64), (61, 47), (17, 90), (5, 1)])
@pytest.mark.parametrize("scale", [1, 1.5, 2, 4, 16])
def test_enlarged_result_has_the_photos_shape_and_range(size, scale):
    torch.manual_seed(0)
    large = torch.rand(2, 3, *size)
    small = shrink(large, scale)
    assert small.shape == (2, 3, *(max(1, round(side / scale)) for side in size))
    for stylized in (torch.rand_like(small), torch.rand_like(small).round()):
        result = enlarge(stylized, large)
        assert result.shape == large.shape and result.dtype == large.dtype
        assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_the_small_photo_restores_the_photo(name, scale):
    large = luminance(photo(name)).expand(-1, 3, -1, -1)
    small = shrink(large, scale)
    plain, result = resize(small, large.shape[-2:]), enlarge(small, large)
    error, plain_error = ((images - large).square().mean().sqrt() for images in (result, plain))
    assert error < 0.04 and error < 0.6 * plain_error
    assert correlation(result, large) > 0.985


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_uniform_colour_is_preserved_for_any_photo(value):
    result = enlarge(torch.full((1, 3, 24, 32), value), photo("coffee", 128))
    assert (result - value).abs().max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_uniform_photo_adds_no_detail(value):
    torch.manual_seed(0)
    strokes = shrink(torch.rand(1, 3, 64, 64), 2)
    result = enlarge(strokes, torch.full((1, 3, 64, 64), value))
    assert result.isfinite().all()
    assert correlation(result, resize(strokes, (64, 64))) > 0.95


@pytest.mark.parametrize("dark, light", [(0.1, 0.9), (0.9, 0.1)])
def test_edge_is_as_sharp_as_in_the_photo_without_halo(dark, light):
    # In the second case, the stylization inverts light and dark.
    large = torch.zeros(1, 3, 64, 64)
    large[..., 30:] = 1
    stylized = dark + (light - dark) * shrink(large, 4)
    plain, result = resize(stylized, (64, 64)), enlarge(stylized, large)
    assert (gradient(result) > 2.5 * gradient(plain)).all()
    assert (gradient(result) > 0.7 * 0.8).all()
    assert result.min() > 0.1 - 0.03 and result.max() < 0.9 + 0.03


def test_detail_lost_in_the_small_image_is_restored():
    large = photo("astronaut", 256)
    small = shrink(large, 4)
    plain, result = resize(small, large.shape[-2:]), enlarge(small, large)
    fine = luminance(large - resize(shrink(large, 2), large.shape[-2:]))

    def share(images):
        return (luminance(images) * fine).sum() / fine.square().sum()

    assert share(plain) < 0.2 < 0.5 < share(result)


@pytest.mark.parametrize("scale", [2, 4])
def test_strokes_absent_from_the_photo_survive(scale):
    torch.manual_seed(0)
    large = photo("coffee", 256)
    small = shrink(large, scale)
    strokes = resize(torch.rand(1, 3, small.shape[2] // 3, small.shape[3] // 3), small.shape[-2:]).clamp(0, 1)
    plain, result = resize(strokes, large.shape[-2:]), enlarge(strokes, large)
    assert correlation(result, plain) > 0.95
    assert result.std() > 0.9 * plain.std()
    # The strokes are also sharper: their steepest steps are steeper.
    steps, plain_steps = (images.diff(dim=-1).abs().flatten().quantile(0.95) for images in (result, plain))
    assert steps > 1.05 * plain_steps


@pytest.mark.parametrize("size", [(131, 97), (64, 200)])
def test_result_in_bands_equals_the_whole_result(size, monkeypatch):
    torch.manual_seed(0)
    large = torch.rand(1, 3, *size)
    stylized = torch.rand_like(shrink(large, 3))
    whole = enlarge(stylized, large)
    monkeypatch.setattr(stroke_scale, "BAND_PIXELS", 7 * size[1])
    assert torch.allclose(enlarge(stylized, large), whole, atol=1e-5)
    # The same holds for bytes, within half a level per channel.
    out = torch.zeros(3, *size, dtype=torch.uint8)
    levels = large[0].mul(255).round().byte()
    stroke_scale.enlarge(resize(large, stylized.shape[-2:])[0], stylized[0], levels, out)
    assert (out / 255 - whole[0]).abs().max() < 3 / 255


def test_rows_equal_bicubic_interpolation():
    torch.manual_seed(0)
    x = torch.rand(1, 2, 11, 7)
    expected = resize(x, (34, 23))
    rows = stroke_scale.upsample(x, 23, slice(8, 26), 34 / 11, 0)
    assert torch.allclose(rows, expected[:, :, 8:26], atol=1e-5)


@pytest.mark.parametrize(
    "height, width, scale",
    [(480, 640, 1), (100, 90, 1), (960, 1280, 2), (4000, 6000, 9.375), (500, 4000, 1.5625), (300, 4000, 1)],
)
def test_automatic_scale_limits_long_side_to_640_and_keeps_short_side_above_320(height, width, scale):
    assert auto_scale(height, width) == auto_scale(width, height) == scale


@pytest.mark.parametrize("reach", [1, 2, 3, 8])
def test_highest_equals_max_pooling(reach):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 19, 23)
    expected = torch.nn.functional.max_pool2d(x, 2 * reach + 1, 1, reach)
    assert torch.equal(highest(x, reach), expected)


def test_input_images_are_not_modified():
    large = photo("chelsea", 64)
    small = shrink(large, 2)
    before = large.clone(), small.clone()
    enlarge(small, large)
    assert torch.equal(large, before[0]) and torch.equal(small, before[1])
