"""Masks of the per-image baseline, for the photo and for the paintings."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.optimization.optimization import Optimization, optimize
from tests.support.images import draw_image

PHOTO, STYLE, OTHER = draw_image(64, 48, seed=1), draw_image(56, 40, seed=9), draw_image(40, 56, seed=4)


@pytest.fixture
def quick(random_vgg) -> dict:
    """Options of a run from noise with few steps and random VGG weights."""
    return {"size": 64, "steps": 3, "init": "noise", "vgg": random_vgg, "device": "cpu", "precision": "fp32"}


def draw_half_mask(width: int = 64, height: int = 48, left: bool = True) -> Image.Image:
    """Draw a mask that is white on one half."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rectangle(
        (0, 0, width // 2 - 1, height) if left else (width // 2, 0, width, height), "white"
    )
    return mask


def difference(a: Image.Image, b: Image.Image) -> np.ndarray:
    """Return the absolute difference of two images in levels from 0 to 255, (H,W,3)."""
    return np.abs(np.asarray(a, int) - np.asarray(b, int))


def test_photo_stays_where_no_mask_is_white(quick):
    changed = difference(optimize(PHOTO, STYLE, masks=[draw_half_mask()], **quick), PHOTO)
    assert changed[:, 32:].max() == 0
    assert changed[:, :32].mean() > 5


def test_mask_is_stretched_to_the_photo(quick):
    changed = difference(optimize(PHOTO, STYLE, masks=[draw_half_mask(300, 10)], **quick), PHOTO)
    assert changed[:, 33:].max() == 0 and changed[:, :31].mean() > 5


def test_grey_of_a_mask_blends_photo_and_result(quick):
    mask = Image.linear_gradient("L").resize((64, 48))
    run = Optimization(PHOTO, STYLE, masks=[mask], **quick)
    for _ in run:
        pass
    expected = torch.lerp(run.photo[0], run.image[0], to_tensor(mask.convert("RGB"))[:1])
    assert (to_tensor(run.result()) - expected).abs().max() < 0.01


def test_each_region_takes_the_style_of_its_own_painting(quick):
    photo = Image.new("RGB", (64, 64), "gray")
    styles = [Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")]
    masks = [draw_half_mask(64, 64), draw_half_mask(64, 64, left=False)]
    options = {**quick, "init": "content", "steps": 40, "vgg": "vgg19-caffe", "scales": 1}
    options |= {"content_weight": 0, "style_layers": {"relu1_1": 1.0}}
    pixels = np.asarray(optimize(photo, styles, masks=masks, **options), float)
    left, right = pixels[:, 4:28].mean((0, 1)), pixels[:, 36:60].mean((0, 1))
    assert left[0] - left[2] > 60 and right[2] - right[0] > 60


def test_style_mask_chooses_the_part_of_the_painting(quick):
    other = STYLE.copy()
    other.paste("black", (28, 0, 56, 40))  # the right half, which the mask leaves out
    mask = draw_half_mask(56, 40)
    mask.paste("black", (24, 0, 28, 40))  # a convolution sees its neighbours
    options = {**quick, "init": "content", "style_layers": {"relu1_1": 1.0}, "style_size": 56}
    whole, parts = [], []
    for painting in (STYLE, other):
        whole.append(next(iter(Optimization(PHOTO, painting, **options))).terms["style"])
        run = Optimization(PHOTO, painting, style_masks=[mask], **options)
        parts.append(next(iter(run)).terms["style"])
    assert parts[0] == pytest.approx(parts[1], rel=1e-5)
    assert whole[0] != pytest.approx(whole[1], rel=1e-2)


def test_painting_without_a_mask_is_everywhere(quick):
    result = optimize(PHOTO, [STYLE, OTHER], masks=[draw_half_mask(), None], **quick)
    assert difference(result, PHOTO)[:, 40:].mean() > 5


@pytest.mark.parametrize("which", ["masks", "style_masks"])
def test_black_mask_is_refused(quick, which):
    with pytest.raises(InputError, match="black all over"):
        optimize(PHOTO, STYLE, **quick, **{which: [Image.new("L", (20, 20))]})


@pytest.mark.parametrize("statistic", ["mrf", "style-swap", "deep-correlation"])
def test_mask_with_a_statistic_of_neighbours_is_refused(quick, statistic):
    with pytest.raises(InputError, match="masks"):
        optimize(PHOTO, STYLE, masks=[draw_half_mask()], statistic=statistic, **quick)
