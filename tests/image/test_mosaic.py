import numpy as np

from faststyle.image.mosaic import GLASS, LEAD, draw_mosaic


def test_same_seed_gives_the_same_window():
    assert draw_mosaic(64).tobytes() == draw_mosaic(64).tobytes()
    assert draw_mosaic(64).tobytes() != draw_mosaic(64, seed=1).tobytes()


def test_window_is_an_rgb_picture_of_the_size_asked():
    picture = draw_mosaic(65, pane=20)
    assert picture.mode == "RGB"
    assert picture.size == (65, 65)


def test_panes_larger_than_the_window_can_be_drawn():
    assert draw_mosaic(16, pane=200).size == (16, 16)


def test_window_has_lead_between_glass_of_several_colours():
    pixels = np.asarray(draw_mosaic(128, pane=32), float).reshape(-1, 3)
    lead = np.abs(pixels - LEAD).max(1) < 8
    assert 0.02 < lead.mean() < 0.5
    # Each pixel of glass belongs to the hue that is nearest, whatever its brightness.
    glass = pixels[~lead] / np.linalg.norm(pixels[~lead], axis=1, keepdims=True)
    hues = np.array(GLASS) / np.linalg.norm(GLASS, axis=1, keepdims=True)
    nearest = (glass @ hues.T).argmax(1)
    assert (np.bincount(nearest, minlength=len(GLASS)) > 0.02 * len(glass)).sum() >= 4
