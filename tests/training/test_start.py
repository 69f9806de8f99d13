"""The network that training starts from."""

import numpy as np
import pytest
import torch

from faststyle.errors import InputError
from faststyle.image.convert import to_tensor
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import MARGIN
from faststyle.training.start import find_start
from tests.support.images import draw_image, sample


def test_auto_starts_from_the_model_of_the_painting_at_once(painting):
    network, ancestor = find_start("auto", [str(painting)], None, None)
    assert ancestor.name == "style encoder" and network.config["size"] == "deep"
    photo = sample("coffee", 96)
    at_once = np.asarray(Stylizer.load(painting, "cpu", "fp32", "torch")(photo), float)
    with torch.no_grad():
        image = network(to_tensor(photo)[None], MARGIN)[0].clamp(0, 1) * 255
    assert np.abs(image.permute(1, 2, 0).numpy() - at_once).max() <= 1


@pytest.mark.parametrize(
    ("init", "size", "blocks"), [("auto", "half", None), ("auto", None, 1), ("none", None, None)]
)
def test_other_networks_start_from_random_weights(painting, init, size, blocks):
    assert find_start(init, [str(painting)], size, blocks) == (None, None)


def test_painting_of_one_colour_is_refused(tmp_path):
    draw_image(60, 40).point(lambda _: 90).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="has one colour"):
        find_start("auto", [str(tmp_path / "flat.png")], None, None)
