import numpy as np

from faststyle.image.mosaic import GLASS_COLORS, LEAD_COLOR, draw_mosaic


def test_same_seed_gives_the_same_image():
    assert draw_mosaic(64).tobytes() == draw_mosaic(64).tobytes()
    assert draw_mosaic(64).tobytes() != draw_mosaic(64, seed=1).tobytes()


def test_mosaic_is_an_rgb_image_of_the_given_size():
    image = draw_mosaic(65, pane=20)
    assert image.mode == "RGB"
    assert image.size == (65, 65)


def test_panes_larger_than_the_image_can_be_drawn():
    assert draw_mosaic(16, pane=200).size == (16, 16)


def test_mosaic_has_lead_between_glass_of_several_colours():
    pixels = np.asarray(draw_mosaic(128, pane=32), float).reshape(-1, 3)
    lead = np.abs(pixels - LEAD_COLOR).max(1) < 8
    assert 0.02 < lead.mean() < 0.5
    # Assign each pixel of glass to the nearest hue, independent of its brightness.
    glass = pixels[~lead] / np.linalg.norm(pixels[~lead], axis=1, keepdims=True)
    hues = np.array(GLASS_COLORS) / np.linalg.norm(GLASS_COLORS, axis=1, keepdims=True)
    nearest = (glass @ hues.T).argmax(1)
    assert (np.bincount(nearest, minlength=len(GLASS_COLORS)) > 0.02 * len(glass)).sum() >= 4
