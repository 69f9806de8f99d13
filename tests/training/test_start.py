"""The network that training starts from."""

import pytest
import torch

from faststyle.models.pretrained import built_in_styles
from faststyle.training.start import find_nearest_style, find_start, gram_distance
from tests.support.images import draw_image


@pytest.fixture
def made_like(tmp_path, monkeypatch):
    """Return a function that lets every painting have the Gram matrices of a built-in style."""
    from faststyle.models.checkpoint import load_grams
    from faststyle.training import start

    def measure(name):
        monkeypatch.setattr(start, "measure_grams", lambda _: load_grams(built_in_styles()[name]))
        path = tmp_path / "painting.png"
        draw_image(60, 40).save(path)
        return str(path)

    return measure


@pytest.mark.parametrize("name", ["great_wave", "the_scream"])
def test_auto_starts_from_the_nearest_built_in_style(made_like, name):
    painting = made_like(name)
    assert find_nearest_style(painting) == name
    network, ancestor = find_start("auto", [painting], None, None)
    assert network.config["size"] == "deep" and ancestor.name == name and ancestor.steps > 0


@pytest.mark.parametrize(
    ("init", "size", "blocks"), [("auto", "half", None), ("auto", None, 1), ("none", None, None)]
)
def test_other_networks_start_from_random_weights(made_like, init, size, blocks):
    assert find_start(init, [made_like("great_wave")], size, blocks) == (None, None)


def test_distance_of_gram_matrices_is_between_0_and_1():
    some, other = {"relu1_1": torch.eye(3)[None]}, {"relu1_1": torch.ones(1, 3, 3)}
    assert gram_distance(some, some) == 0
    assert 0 < gram_distance(some, other) < 1
    assert gram_distance(some, {"relu1_1": torch.zeros(1, 3, 3)}) == 1
