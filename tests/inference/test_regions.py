"""Tests of stylizing regions."""

import numpy as np
import pytest
from PIL import Image

from faststyle import Stylizer, stylize_regions
from faststyle.errors import InputError
from tests.support.images import draw_image

PHOTO = draw_image(64, 48)


def draw_mask(left: int, right: int, value: int = 255) -> Image.Image:
    """Return a mask of the photo's size that has a value in some columns."""
    mask = Image.new("L", PHOTO.size)
    mask.paste(value, (left, 0, right, PHOTO.height))
    return mask


@pytest.fixture
def models():
    return [Stylizer.load(name, device="cpu", precision="fp32") for name in ("starry_night", "great_wave")]


def test_each_model_stylizes_its_region_and_the_rest_stays_the_photo(models):
    result = np.asarray(
        stylize_regions(PHOTO, [(models[0], draw_mask(0, 20)), (models[1], draw_mask(30, 50))])
    )
    parts = [(models[0](PHOTO), 0, 20), (PHOTO, 20, 30), (models[1](PHOTO), 30, 50), (PHOTO, 50, 64)]
    for image, left, right in parts:
        assert np.array_equal(result[:, left:right], np.asarray(image)[:, left:right])


def test_later_region_covers_the_earlier_one(models):
    both = [(model, draw_mask(0, 64)) for model in models]
    assert stylize_regions(PHOTO, both) == models[1](PHOTO)


def test_grey_levels_blend(models):
    result = stylize_regions(PHOTO, [(models[0], draw_mask(0, 64, 128))])
    expected = Image.blend(PHOTO, models[0](PHOTO), 128 / 255)
    assert np.abs(np.asarray(result, int) - np.asarray(expected, int)).max() <= 1


def test_options_and_transparency_are_kept(models):
    photo = PHOTO.convert("RGBA")
    photo.putalpha(100)
    result = stylize_regions(photo, [(models[0], draw_mask(0, 32))], max_size=32)
    assert (result.mode, result.size) == ("RGBA", (32, 24))
    assert set(result.getchannel("A").getdata()) == {100}


def test_tiles_give_the_same_region(models):
    region = [(models[0], draw_mask(0, 32))]
    whole, tiled = (stylize_regions(PHOTO, region, tile=tile, stroke_scale=1.0) for tile in (None, 16))
    assert np.array_equal(np.asarray(whole)[:, 32:], np.asarray(tiled)[:, 32:])
    assert np.abs(np.asarray(whole, int) - np.asarray(tiled, int)).mean() < 2


def test_black_mask_changes_nothing(models):
    assert stylize_regions(PHOTO, [(models[0], draw_mask(0, 0))]) == PHOTO


def test_other_types_and_values_are_refused(models):
    with pytest.raises(InputError, match="a mask must be a PIL image, not str"):
        stylize_regions(PHOTO, [(models[0], "left.png")])
    with pytest.raises(InputError, match="the photo must be a PIL image, not ndarray"):
        stylize_regions(np.asarray(PHOTO), [])
    with pytest.raises(InputError, match="strength"):
        stylize_regions(PHOTO, [], strength=7)
