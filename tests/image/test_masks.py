"""Tests of masks."""

import numpy as np
import pytest
from PIL import Image

from faststyle.image.masks import describe_stretching, fit_mask


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I;16"])
def test_mask_of_any_mode_becomes_grey_of_the_image_size(mode):
    mask = Image.new(mode, (20, 10), "white" if mode in ("1", "L", "RGB", "RGBA") else 65535)
    fitted = fit_mask(mask, (40, 20))
    assert (fitted.mode, fitted.size) == ("L", (40, 20))
    assert np.asarray(fitted).min() == 255


def test_transparent_areas_are_black():
    mask = Image.new("LA", (20, 10), (255, 0))
    mask.paste((255, 255), (0, 0, 10, 10))
    fitted = np.asarray(fit_mask(mask, (20, 10)))
    assert fitted[:, :10].min() == 255 and fitted[:, 10:].max() == 0


def test_mask_of_zeros_and_ones_is_black_and_white():
    mask = Image.fromarray(np.eye(10, dtype=np.uint8))
    assert set(np.unique(fit_mask(mask, (10, 10)))) == {0, 255}


def test_only_another_proportion_is_described():
    assert describe_stretching(Image.new("L", (300, 201)), (100, 67)) is None
    assert (
        describe_stretching(Image.new("L", (300, 100)), (100, 67)) == "300x100 pixels are stretched to 100x67"
    )
