"""Tests of the stroke scale, as a stylizer applies it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from faststyle.errors import InputError
from faststyle.image.convert import scale_to, to_image, to_tensor
from faststyle.inference.settings import StylizeSettings
from faststyle.inference.stroke_scale import BEST_SIZE, shrink
from tests.support.images import chroma, draw_image, enlarge, level_differences, sample


@pytest.mark.parametrize("scale", [1.5, 2, 4])
def test_larger_strokes_come_from_the_shrunk_image(stylize, scale):
    photos = torch.stack([to_tensor(draw_image(61, 44, seed)) for seed in (1, 2)])
    results = stylize(photos, stroke_scale=scale)
    assert torch.allclose(results, enlarge(stylize(shrink(photos, scale)), photos), atol=1e-4)
    assert torch.allclose(stylize(photos[0], stroke_scale=scale), results[0], atol=1e-5)
    # Images are shrunk as bytes.
    image = draw_image(61, 44, seed=1)
    small = torch.from_numpy(shrink(np.array(image).transpose(2, 0, 1)[None], scale))
    expected = to_image(enlarge(stylize(small), photos[:1])[0])
    differences = level_differences(stylize(image, stroke_scale=scale), expected)
    assert differences.mean() < 0.1 and differences.max() <= 2
    assert torch.equal(stylize(photos, stroke_scale=1), stylize(photos))
    # Tiles are cut from the smaller image.
    tiled = enlarge(stylize(shrink(photos, scale), tile=16), photos)
    assert torch.allclose(stylize(photos, tile=16, stroke_scale=scale), tiled, atol=1e-4)


def test_larger_strokes_work_with_alpha_strength_and_preserved_colours(stylize):
    image = Image.blend(Image.new("RGB", (64, 48), "gray"), draw_image(64, 48), 0.3)
    full = np.asarray(stylize(image, stroke_scale=2), float)
    half = np.asarray(stylize(image, strength=0.5, stroke_scale=2), float)
    assert np.abs(half - (np.asarray(image, float) + full) / 2).max() <= 1
    kept = to_tensor(stylize(image, preserve_color=True, stroke_scale=2))
    inside = (kept.amin(0) > 0.01) & (kept.amax(0) < 0.99)
    assert (chroma(kept) - chroma(to_tensor(image))).abs()[:, inside].max() <= 1.5 / 255
    image.putalpha(90)
    images = stylize([image], stroke_scale=2)
    assert images[0].getchannel("A").getextrema() == (90, 90)
    assert (
        level_differences(images[0].convert("RGB"), stylize(image.convert("RGB"), stroke_scale=2)).max() == 0
    )


def test_stroke_size_is_relative_to_the_image_size(stylize):
    large = sample("coffee", 2 * BEST_SIZE)
    small = scale_to(large, BEST_SIZE)
    expected, result = to_tensor(stylize(small)), stylize(large)
    assert result.size == large.size
    # Smooth the results, because a random network produces pixel noise.
    smooth = [F.avg_pool2d(x, 4).flatten() for x in (expected, to_tensor(scale_to(result, BEST_SIZE)))]
    assert torch.corrcoef(torch.stack(smooth))[0, 1] > 0.97
    # The same holds for arrays, such as memory-mapped files.
    out = np.zeros((large.height, large.width, 3), np.uint8)
    stylize.stylize_pixels(np.array(large), out, StylizeSettings())
    assert np.array_equal(out, np.asarray(result))
    assert np.array_equal(np.asarray(stylize(small, stroke_scale="auto")), np.asarray(stylize(small)))
    assert np.abs(np.asarray(stylize(large, stroke_scale=1), float) - out).mean() > 1


@pytest.mark.parametrize("scale", [0, 0.5, -2, float("nan"), "large"])
def test_invalid_stroke_scale_is_rejected(stylize, scale):
    with pytest.raises(InputError) as caught:
        stylize(draw_image(40, 30), stroke_scale=scale)
    assert caught.value.parameters == ["stroke_scale"]
