"""Tests of masks."""

import numpy as np
import pytest
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.masks import describe_stretching, fit_mask


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I;16"])
def test_mask_of_any_mode_becomes_grey_of_the_image_size(mode):
    mask = Image.new(mode, (20, 10), "white" if mode in ("1", "L", "RGB", "RGBA") else 65535)
    fitted = fit_mask(mask, (40, 20))
    assert (fitted.mode, fitted.size) == ("L", (40, 20))
    assert np.asarray(fitted).min() == 255


def test_black_mask_is_refused():
    with pytest.raises(InputError, match="black all over"):
        fit_mask(Image.new("L", (20, 10)), (20, 10))


def test_only_another_proportion_is_described():
    assert describe_stretching(Image.new("L", (300, 201)), (100, 67)) is None
    assert (
        describe_stretching(Image.new("L", (300, 100)), (100, 67)) == "300x100 pixels are stretched to 100x67"
    )
