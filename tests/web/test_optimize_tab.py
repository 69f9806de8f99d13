"""Tests of the tab for the per-image optimization."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from faststyle.web import optimize_tab


@pytest.mark.slow
def test_image_is_optimized_within_its_mask(photo, painting, tmp_path, temporary):
    mask = Image.new("L", (10, 10))
    mask.paste(255, (0, 0, 5, 10))
    mask.save(tmp_path / "left.png")
    before = np.asarray(Image.open(photo).convert("RGB"), int)
    *shown, (figure, line, path) = optimize_tab.run(
        photo, str(painting), str(tmp_path / "left.png"), "covariance", 5, 120, 4
    )
    assert 'value="4" max="4"' in shown[-1][1] and "<figure" in figure
    assert path.endswith("_painting_covariance_size120_steps4_sw5.png")
    with Image.open(path) as image:
        assert f"{image.width} × {image.height} pixels" in line
        changes = np.abs(np.asarray(image, int) - before).mean((0, 2))
    assert changes[-40:].mean() < 1 < changes[:40].mean()


def test_missing_painting_is_asked_for(photo, temporary):
    ((_, line, path),) = optimize_tab.run(photo, None, None, "gram", 3, 64, 2)
    assert "Add a painting first" in line and path is None


def test_black_mask_is_reported(photo, painting, tmp_path, temporary):
    Image.new("L", (10, 10)).save(tmp_path / "black.png")
    *_, (_, line, path) = optimize_tab.run(
        photo, str(painting), str(tmp_path / "black.png"), "gram", 3, 64, 2
    )
    assert "black all over" in line and path is None
