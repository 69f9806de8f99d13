import pytest
import torch

from faststyle.image.color import luminance
from faststyle.image.convert import to_tensor
from faststyle.losses.light import light_lost
from tests.support.images import sample

PHOTO = to_tensor(sample("coffee", 160))[None]


def test_nothing_is_lost_whatever_the_palette():
    painted = 0.2 + 0.5 * luminance(PHOTO) * torch.tensor([1.0, 0.6, 0.3]).view(1, 3, 1, 1)
    assert light_lost(PHOTO, PHOTO) < 0.05
    assert light_lost(painted, PHOTO) < 0.1


def test_swapped_light_and_dark_lose_it_all():
    assert light_lost(1 - PHOTO, PHOTO) > 1.9


def test_strokes_within_a_square_are_free():
    strokes = torch.ones(1, 1, *PHOTO.shape[-2:])
    strokes[..., ::2] = -1
    assert (light_lost(PHOTO + 0.3 * strokes, PHOTO) - light_lost(PHOTO, PHOTO)).abs() < 1e-4


@pytest.mark.parametrize("flat", ["image", "photo"])
def test_flat_images_have_a_finite_gradient(flat):
    image, photo = (
        torch.full_like(PHOTO, 0.4) if one == flat else PHOTO.clone() for one in ("image", "photo")
    )
    image.requires_grad_(True)
    lost = light_lost(image, photo)
    lost.sum().backward()
    assert lost.item() == pytest.approx(1, abs=0.01)
    assert image.grad.isfinite().all()


def test_each_image_of_a_batch_counts_by_itself():
    both = light_lost(torch.cat([PHOTO, 1 - PHOTO]), torch.cat([PHOTO, PHOTO]))
    assert both.shape == (2,)
    assert torch.allclose(both, torch.cat([light_lost(PHOTO, PHOTO), light_lost(1 - PHOTO, PHOTO)]))
