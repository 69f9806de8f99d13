import numpy as np
import pytest
import torch

from faststyle.image.color import keep_color, luminance
from faststyle.image.color_transfer import match_color
from faststyle.image.convert import to_tensor
from tests.support.images import chroma, draw_image, sample


def muted(images: torch.Tensor) -> torch.Tensor:
    """Move colours towards grey, so that linear maps of them stay in [0,1]."""
    return 0.5 + 0.3 * (images - 0.5)


def photo_tensor(name: str, longer: int = 64) -> torch.Tensor:
    """Return a sample photo as (1,3,H,W)."""
    return to_tensor(sample(name, longer))[None]


def mean_and_covariance(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the covariance of the colours of (1,3,H,W), computed by NumPy."""
    pixels = images[0].flatten(1).double().numpy()
    return torch.from_numpy(pixels.mean(1)), torch.from_numpy(np.cov(pixels, bias=True))


def test_keep_color_has_the_photos_chroma_and_the_stylized_luminance():
    torch.manual_seed(0)
    stylized, photo = torch.rand(3, 20, 20), torch.rand(3, 20, 20)
    kept = keep_color(stylized, photo)
    assert torch.allclose(chroma(kept), chroma(photo), atol=1e-6)
    assert torch.allclose(luminance(kept), luminance(stylized), atol=1e-6)


def test_luminance_equals_pillows():
    image = draw_image(40, 30)
    y = np.asarray(image.convert("L"), float)
    assert np.abs(255 * luminance(to_tensor(image))[0].numpy() - y).max() <= 1


@pytest.mark.parametrize("painting, photo", [("coffee", "astronaut"), ("chelsea", "rocket")])
def test_matched_painting_has_the_photos_mean_and_covariance(painting, photo):
    style, photo = muted(photo_tensor(painting)), muted(photo_tensor(photo, 80))
    mean, covariance = mean_and_covariance(photo)
    before = mean_and_covariance(style)
    matched = match_color(style, photo)
    after = mean_and_covariance(matched)
    # Both are between about 0.01 and 0.5, and differ before the match.
    assert (before[0] - mean).abs().max() > 0.02
    assert (after[0] - mean).abs().max() < 1e-3
    assert (after[1] - covariance).abs().max() < 1e-3 * covariance.abs().max() + 1e-5
    assert matched.shape == style.shape and matched.dtype == style.dtype


def test_painting_with_the_same_statistics_is_unchanged():
    photo = photo_tensor("coffee")
    style = photo.flatten(2)[:, :, torch.randperm(photo[0, 0].numel())].view_as(photo)
    assert torch.allclose(match_color(style, photo), style, atol=1e-4)


def test_matching_keeps_the_order_of_light_and_dark():
    # The linear map is symmetric and positive definite, so it reverses no gradient.
    style, photo = muted(photo_tensor("coffee")), muted(photo_tensor("astronaut"))
    a, b = luminance(style).flatten(), luminance(match_color(style, photo)).flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.9


def test_inputs_are_not_changed():
    style, photo = photo_tensor("coffee"), photo_tensor("astronaut")
    before = style.clone(), photo.clone()
    match_color(style, photo)
    assert torch.equal(style, before[0]) and torch.equal(photo, before[1])


def test_vivid_colours_are_clamped_to_0_and_1():
    matched = match_color(photo_tensor("coffee"), (photo_tensor("astronaut") > 0.5).float())
    assert matched.min() == 0 and matched.max() == 1


def grey(images: torch.Tensor) -> torch.Tensor:
    return images.mean(1, keepdim=True).expand_as(images).contiguous()


def test_painting_matched_to_a_grey_photo_is_grey():
    matched = match_color(muted(photo_tensor("coffee")), grey(muted(photo_tensor("astronaut"))))
    assert matched.isfinite().all()
    assert (matched.amax(1) - matched.amin(1)).max() < 2 / 255
    assert matched.std() > 0.02


def test_grey_painting_keeps_its_structure():
    style = grey(muted(photo_tensor("coffee")))
    matched = match_color(style, muted(photo_tensor("astronaut")))
    assert matched.isfinite().all()
    pair = torch.stack([luminance(style).flatten(), luminance(matched).flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.95


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_painting_matched_to_a_photo_of_one_colour_gets_this_colour(value):
    matched = match_color(photo_tensor("coffee"), torch.full((1, 3, 20, 30), value))
    assert (matched - value).abs().max() < 2 / 255


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_painting_of_one_colour_gets_the_photos_mean(value):
    photo = photo_tensor("astronaut")
    matched = match_color(torch.full((1, 3, 20, 30), value), photo)
    assert matched.isfinite().all()
    mean, _ = mean_and_covariance(photo)
    assert (matched.mean((0, 2, 3)) - mean).abs().max() < 1e-3


def test_image_of_one_pixel_gives_finite_colours():
    pixel = torch.full((1, 3, 1, 1), 0.5)
    assert match_color(photo_tensor("coffee"), pixel).isfinite().all()
    assert match_color(pixel, photo_tensor("coffee")).isfinite().all()
