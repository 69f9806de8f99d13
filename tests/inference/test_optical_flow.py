import sys

import numpy as np
import pytest

from faststyle.errors import InputError
from faststyle.inference.optical_flow import Blend, Motion
from tests.support.images import sample

pytest.importorskip("cv2")
PHOTO = np.asarray(sample("coffee", 200))


def moved(x: int, y: int) -> np.ndarray:
    return np.roll(PHOTO, (y, x), (0, 1))


def test_optical_flow_finds_a_shift():
    flow, sure = Motion().between(moved(5, -3), PHOTO)
    middle = slice(20, -20), slice(20, -20)
    assert flow.shape == (*PHOTO.shape[:2], 2) and sure.shape == PHOTO.shape[:2]
    assert np.abs(flow[middle].mean((0, 1)) - [-5, 3]).max() < 0.3
    assert sure[middle].mean() > 0.9


def test_confidence_is_low_for_unrelated_images():
    other = np.asarray(sample("astronaut", 200))[: PHOTO.shape[0]]
    _, sure = Motion().between(PHOTO[:, : other.shape[1]][: other.shape[0]], other)
    assert sure.mean() < 0.5


def test_blending_reduces_flicker():
    random, blend = np.random.default_rng(0), Blend(0.7)
    results, given = [], []
    for number in range(6):
        image = np.clip(moved(2 * number, 0) + random.normal(0, 20, PHOTO.shape), 0, 255).astype(np.uint8)
        given.append(image)
        results.append(blend(image, moved(2 * number, 0), cut=number == 0))
    inner = slice(20, -20), slice(30, -30)

    def flicker(images):
        follow = np.roll(images[-2], 2, 1)
        return np.abs(images[-1][inner].astype(float) - follow[inner]).mean()

    assert results[0] is given[0] and results[-1].dtype == np.uint8
    assert flicker(results) < 0.5 * flicker(given)


def test_blending_skips_cuts_and_changed_areas():
    blend, other = Blend(0.9), 255 - PHOTO
    blend(PHOTO, PHOTO, cut=True)
    assert np.array_equal(blend(other, other, cut=True), other)
    blend(PHOTO, PHOTO, cut=True)
    assert np.abs(blend(other, other, cut=False).astype(int) - other).mean() < 2


def test_missing_opencv_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install -e '.\[flow\]'"):
        Blend(0.5)
