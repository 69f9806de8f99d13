import pytest
import torch

from faststyle.image.color import luminance
from faststyle.image.convert import to_tensor
from faststyle.inference.stroke_scale import enlarge, highest, resize, shrink
from tests.support.images import draw_picture, sample


def photo(name: str = "astronaut", longer: int = 192) -> torch.Tensor:
    """A sample photo as (1,3,H,W)."""
    return to_tensor(sample(name, longer))[None]


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


def gradient(images: torch.Tensor) -> torch.Tensor:
    """The steepest step from left to right in each picture's middle row, (B,3)."""
    return images[:, :, images.shape[2] // 2].diff(dim=-1).abs().amax(-1)


@pytest.mark.parametrize("size", [(64, 64), (61, 47), (17, 90), (5, 1)])
@pytest.mark.parametrize("scale", [1, 1.5, 2, 4, 16])
def test_shapes_and_range(size, scale):
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
def test_stylization_that_is_the_small_photo_gives_the_photo_back(name, scale):
    large = luminance(photo(name)).expand(-1, 3, -1, -1)
    small = shrink(large, scale)
    plain, result = resize(small, large.shape[-2:]), enlarge(small, large)
    error, plain_error = ((images - large).square().mean().sqrt() for images in (result, plain))
    assert error < 0.04 and error < 0.6 * plain_error
    assert correlation(result, large) > 0.985


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_one_colour_stays_whatever_the_photo(value):
    result = enlarge(torch.full((1, 3, 24, 32), value), photo("coffee", 128))
    assert (result - value).abs().max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_photo_of_one_colour_adds_nothing(value):
    torch.manual_seed(0)
    strokes = shrink(torch.rand(1, 3, 64, 64), 2)
    result = enlarge(strokes, torch.full((1, 3, 64, 64), value))
    assert result.isfinite().all()
    assert correlation(result, resize(strokes, (64, 64))) > 0.95


@pytest.mark.parametrize("dark, light", [(0.1, 0.9), (0.9, 0.1)])
def test_edge_is_as_sharp_as_the_photos_and_has_no_halo(dark, light):
    """The stylization may turn light and dark round."""
    large = torch.zeros(1, 3, 64, 64)
    large[..., 30:] = 1
    stylized = dark + (light - dark) * shrink(large, 4)
    plain, result = resize(stylized, (64, 64)), enlarge(stylized, large)
    assert (gradient(result) > 2.5 * gradient(plain)).all()
    assert (gradient(result) > 0.7 * 0.8).all()
    assert result.min() > 0.1 - 0.03 and result.max() < 0.9 + 0.03


def test_detail_too_fine_for_the_small_picture_comes_back():
    large = photo("astronaut", 256)
    small = shrink(large, 4)
    plain, result = resize(small, large.shape[-2:]), enlarge(small, large)
    fine = luminance(large - resize(shrink(large, 2), large.shape[-2:]))

    def share(images):
        return (luminance(images) * fine).sum() / fine.square().sum()

    assert share(plain) < 0.2 < 0.5 < share(result)


@pytest.mark.parametrize("scale", [2, 4])
def test_strokes_that_the_photo_does_not_have_survive(scale):
    torch.manual_seed(0)
    large = photo("coffee", 256)
    small = shrink(large, scale)
    strokes = resize(torch.rand(1, 3, small.shape[2] // 3, small.shape[3] // 3), small.shape[-2:]).clamp(0, 1)
    plain, result = resize(strokes, large.shape[-2:]), enlarge(strokes, large)
    assert correlation(result, plain) > 0.95
    assert result.std() > 0.9 * plain.std()
    # Crisp, too: their steepest steps are steeper.
    steps, plain_steps = (images.diff(dim=-1).abs().flatten().quantile(0.95) for images in (result, plain))
    assert steps > 1.05 * plain_steps


def test_pictures_of_a_batch_know_nothing_of_each_other():
    larges = torch.stack([to_tensor(draw_picture(60, 44, seed)) for seed in (1, 2)])
    smalls = shrink(larges.flip(1), 2)
    together = enlarge(smalls, larges)
    alone = torch.cat([enlarge(smalls[i : i + 1], larges[i : i + 1]) for i in (0, 1)])
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("reach", [1, 2, 3, 8])
def test_highest_is_max_pooling(reach):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 19, 23)
    expected = torch.nn.functional.max_pool2d(x, 2 * reach + 1, 1, reach)
    assert torch.equal(highest(x, reach), expected)


def test_pictures_given_are_not_changed():
    large = photo("chelsea", 64)
    small = shrink(large, 2)
    before = large.clone(), small.clone()
    enlarge(small, large)
    assert torch.equal(large, before[0]) and torch.equal(small, before[1])
