"""Tests of telling whether a painting is the one that a model was trained on."""

import io

import pytest
from PIL import Image

from faststyle.evaluation.same_painting import is_same_painting
from faststyle.image.convert import scale_to
from tests.support.images import sample
from tests.support.networks import grams_of

SIZE = 256


@pytest.fixture(scope="module")
def grams():
    return grams_of(scale_to(sample("coffee", 512), SIZE), "vgg19-caffe")


def test_other_files_of_the_painting_are_the_same_painting(grams):
    whole = sample("coffee", 512)
    compressed = io.BytesIO()
    whole.resize((256, 171)).save(compressed, "JPEG", quality=60)
    cropped = whole.crop((25, 17, 487, 324))
    brighter = whole.point(lambda value: min(255, int(1.15 * value)))
    for image in (whole, Image.open(compressed), cropped, brighter, whole.convert("RGBA")):
        assert is_same_painting(image, grams, SIZE)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "rocket"])
def test_other_images_are_not(grams, name):
    assert not is_same_painting(sample(name, 512), grams, SIZE)
    assert not is_same_painting(sample("coffee", 512).convert("L"), grams, SIZE)
