"""The measure of images by a painting and a photo."""

import numpy as np
import pytest
from PIL import Image

from faststyle.evaluation.measure import LAYERS, Measure
from faststyle.losses.vgg import VGG
from tests.support.images import draw_image


@pytest.fixture
def vgg(random_vgg) -> VGG:
    return VGG(random_vgg, layers=LAYERS)


def test_painting_itself_has_no_distance(vgg):
    painting = draw_image(384, 256, seed=9)
    enlarged = painting.resize((512, 341))
    found = Measure(painting, vgg)(enlarged, enlarged)
    assert found.content == 0 and found.light == pytest.approx(1)
    assert found.contrast == pytest.approx(1, abs=0.05)
    other = Measure(draw_image(384, 256, seed=2), vgg)(enlarged, enlarged)
    for name in ("fine", "half", "quarter"):
        assert getattr(found, name) < 0.2 * getattr(other, name)


def test_image_painted_on_one_side_only_has_a_high_tiles_distance(vgg):
    painting = draw_image(384, 384, seed=9)
    whole = np.asarray(painting.resize((512, 512)))
    half = whole.copy()
    half[:, 256:] = whole.mean((0, 1))
    photo = draw_image(512, 512, seed=1)
    measure = Measure(painting, vgg)
    painted, bare = measure(Image.fromarray(whole), photo), measure(Image.fromarray(half), photo)
    assert bare.fine > painted.fine and bare.tiles > 0.9


def test_inverted_image_has_negative_light(vgg):
    photo = draw_image(512, 384, seed=1)
    inverted = Image.fromarray(255 - np.asarray(photo))
    assert Measure(draw_image(96, 96, seed=9), vgg)(inverted, photo).light == pytest.approx(-1, abs=0.02)


def test_image_narrower_than_a_window_is_measured(vgg):
    found = Measure(draw_image(96, 96, seed=9), vgg)(draw_image(512, 96, seed=2), draw_image(512, 96, seed=1))
    assert all(np.isfinite(found))
