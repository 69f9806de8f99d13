"""Tests of the region that is painted on the page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.support.images import draw_image

pytest.importorskip("gradio")

from faststyle.errors import InputError
from faststyle.web import region, stylize_events
from faststyle.web.selection import Selection
from faststyle.web.stylize import Look, stylize_preview
from faststyle.web.uploads import encode_data_uri


def paint_left_half(size) -> str:
    """Return the value of the field after its left half was painted."""
    mask = Image.new("RGBA", size)
    mask.paste((255, 255, 255, 255), (0, 0, size[0] // 2, size[1]))
    mask.save(stream := io.BytesIO(), "PNG")
    return region.PREFIX + base64.b64encode(stream.getvalue()).decode()


def test_style_is_limited_to_what_is_painted(style):
    photo = draw_image(120, 80)
    mask = region.read_region(paint_left_half((60, 40)))
    whole = np.asarray(stylize_preview(photo, style, Look()), int)
    half = np.asarray(stylize_preview(photo, style, Look(mask=mask)), int)
    assert np.abs(half - np.asarray(photo, int))[:, 62:].max() == 0
    assert np.abs(half - whole)[:, :58].max() == 0


def test_nothing_painted_is_the_whole_photo():
    assert region.read_region("") is None
    assert Selection(None, None, {}).look().mask is None


@pytest.mark.parametrize("value", ["data:image/png;base64,####", "data:image/png;base64,aGVsbG8=", "a", "ä"])
def test_forged_region_is_refused(value):
    with pytest.raises(InputError, match="region"):
        region.read_region(value)


def test_forged_region_of_many_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(InputError, match="too large"):
        region.read_region(paint_left_half((4000, 10)))


def test_forged_region_is_reported_on_the_page(photo):
    ((_, _, line),) = stylize_events.show_preview(
        photo, "ink", {}, 1.0, False, 64, "Medium", None, 0.5, "data:image/png;base64,aGVsbG8="
    )
    assert "the region" in line


def test_field_shows_the_photo_and_asks_for_one(photo):
    field, line = region.open_region(photo)
    assert field.value == "" and "Paint" in line
    _, line = region.open_region(None)
    assert "Add a photo first" in line
    assert encode_data_uri(draw_image(8, 8)).startswith("data:image/jpeg")
