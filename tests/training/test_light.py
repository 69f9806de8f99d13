import torch

from faststyle.image.color import luminance
from faststyle.image.convert import to_tensor
from faststyle.training.light import AREAS, VARIANCE, light_lost
from tests.support.images import sample

PHOTO = to_tensor(sample("coffee", 160))[None]


def test_nothing_is_lost_whatever_the_palette():
    painted = 0.2 + 0.5 * luminance(PHOTO) * torch.tensor([1.0, 0.6, 0.3]).view(1, 3, 1, 1)
    assert light_lost(PHOTO, PHOTO) < 1e-6
    assert light_lost(painted, PHOTO) < 1e-6


def test_swapped_light_and_dark_lose_it_all():
    area = min(PHOTO.shape[-2:]) // AREAS
    blocks = torch.nn.functional.avg_pool2d(luminance(PHOTO), area)
    assert torch.allclose(light_lost(1 - PHOTO, PHOTO), blocks.var(correction=0) / VARIANCE, rtol=1e-4)


def test_strokes_within_an_area_are_free():
    photo = PHOTO[..., :96, :96]  # areas of 12 pixels
    strokes = torch.ones(1, 1, 96, 96)
    strokes[..., ::2] = -1
    assert light_lost(photo + 0.3 * strokes, photo) < 1e-3


def test_plain_background_may_be_stretched_by_three_and_not_by_more():
    wall = 0.5 + 0.02 * torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert light_lost(0.5 + 2.9 * (wall - 0.5), wall) < 1e-6
    assert light_lost(0.5 + 12 * (wall - 0.5), wall) > 0.1


def test_flat_photos_have_a_finite_gradient():
    image = PHOTO.clone().requires_grad_(True)
    lost = light_lost(image, torch.full_like(PHOTO, 0.4))
    lost.sum().backward()
    assert lost.item() > 0.1 and image.grad.isfinite().all()


def test_each_image_of_a_batch_counts_by_itself():
    both = light_lost(torch.cat([PHOTO, 1 - PHOTO]), torch.cat([PHOTO, PHOTO]))
    assert both.shape == (2,)
    assert torch.allclose(both, torch.cat([light_lost(PHOTO, PHOTO), light_lost(1 - PHOTO, PHOTO)]))
