import torch

from faststyle.image.color import luminance
from faststyle.image.convert import to_tensor
from faststyle.training.light import luminance_loss
from tests.support.images import sample

PHOTO = to_tensor(sample("coffee", 160))[None]


def test_palette_does_not_count():
    painted = 0.2 + 0.5 * luminance(PHOTO) * torch.tensor([1.0, 0.6, 0.3]).view(1, 3, 1, 1)
    assert luminance_loss(PHOTO, PHOTO) < 1e-6
    assert luminance_loss(painted, PHOTO) < 1e-6


def test_swapped_light_and_dark_count_in_full():
    assert torch.allclose(luminance_loss(1 - PHOTO, PHOTO), torch.ones(1), rtol=1e-4)


def test_strokes_within_an_area_do_not_count():
    photo = PHOTO[..., :96, :96]  # areas of 12 pixels
    strokes = torch.ones(1, 1, 96, 96)
    strokes[..., ::2] = -1
    assert luminance_loss(photo + 0.3 * strokes, photo) < 1e-3


def test_contrast_may_rise_to_three_times_the_photos():
    wall = 0.5 + 0.02 * torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert luminance_loss(0.5 + 2.9 * (wall - 0.5), wall) < 1e-6
    assert luminance_loss(0.5 + 12 * (wall - 0.5), wall) > 0.1


def test_flat_photos_have_a_finite_gradient():
    image = PHOTO.clone().requires_grad_(True)
    loss = luminance_loss(image, torch.full_like(PHOTO, 0.4))
    loss.sum().backward()
    assert loss.item() > 0.1 and image.grad.isfinite().all()


def test_images_of_a_batch_are_independent():
    both = luminance_loss(torch.cat([PHOTO, 1 - PHOTO]), torch.cat([PHOTO, PHOTO]))
    assert both.shape == (2,)
    assert torch.allclose(both, torch.cat([luminance_loss(PHOTO, PHOTO), luminance_loss(1 - PHOTO, PHOTO)]))
