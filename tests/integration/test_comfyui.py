"""Tests of the nodes for ComfyUI, through its node interface."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from faststyle import Stylizer, __version__
from faststyle.errors import InputError

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"


@pytest.fixture(scope="module")
def nodes():
    """Load the folder as ComfyUI does: as a package of any name, by its path."""
    spec = importlib.util.spec_from_file_location("custom_node", FOLDER / "__init__.py")
    package = importlib.util.module_from_spec(spec)
    sys.modules["custom_node"] = package
    spec.loader.exec_module(package)
    assert package.NODE_CLASS_MAPPINGS.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys()
    return package.NODE_CLASS_MAPPINGS


def run(node, **given):
    """Run a node as ComfyUI does: with its defaults, and only with inputs that it declares."""
    declared = node.INPUT_TYPES()
    inputs = {**declared["required"], **declared.get("optional", {})}
    assert given.keys() <= inputs.keys()
    for name, (kind, *options) in declared["required"].items():
        if name not in given:
            given[name] = kind[0] if isinstance(kind, list) else options[0]["default"]
    result = getattr(node(), node.FUNCTION)(**given)
    assert isinstance(result, tuple) and len(result) == len(node.RETURN_TYPES)
    return result[0]


@pytest.fixture
def images():
    return torch.rand(2, 40, 56, 3, generator=torch.Generator().manual_seed(0))


def test_images_are_stylized_as_by_the_library(nodes, images):
    model = run(nodes["FastStyleModel"], style="great_wave")
    result = run(nodes["FastStyleStylize"], image=images, model=model)
    assert result.shape == images.shape and result.dtype == images.dtype
    expected = Stylizer.load("great_wave")(images.movedim(-1, 1)).movedim(1, -1)
    assert (result - expected).abs().mean() < 0.01
    photo = run(nodes["FastStyleStylize"], image=images, model=model, strength=0.0)
    assert photo.allclose(images, atol=0.003)


def test_painting_and_name_replace_the_style(nodes, images):
    painted = run(nodes["FastStyleModel"], painting=torch.cat([images[:1], images[:1, ..., :1]], -1))
    named = run(nodes["FastStyleModel"], name="great_wave:1")
    assert named == "great_wave:1"
    results = [run(nodes["FastStyleStylize"], image=images, model=model) for model in (painted, named)]
    assert (results[0] - results[1]).abs().mean() > 0.02


@pytest.mark.parametrize("count", [1, 2])
def test_mask_keeps_the_image_where_it_is_black(nodes, images, count):
    mask = torch.zeros(count, 40, 56)
    mask[..., :28] = 1
    result = run(nodes["FastStyleStylize"], image=images, model="great_wave", mask=mask)
    assert torch.equal(result[:, :, 28:], images[:, :, 28:])
    assert (result[:, :, :28] - images[:, :, :28]).abs().mean() > 0.05


def test_masks_of_other_shapes_and_levels(nodes, images):
    stylize = nodes["FastStyleStylize"]
    whole = run(stylize, image=images, model="great_wave")
    assert torch.equal(run(stylize, image=images, model="great_wave", mask=torch.full((20, 28), 2.0)), whole)
    with pytest.raises(InputError, match="3 masks for 2 images"):
        run(stylize, image=images, model="great_wave", mask=torch.ones(3, 40, 56))


def test_frames_of_a_video_use_the_temporally_consistent_model(nodes, images):
    frames = run(nodes["FastStyleStylize"], image=images, model="great_wave", frames_of_a_video=True)
    alone = run(nodes["FastStyleStylize"], image=images, model="great_wave")
    assert frames.shape == images.shape and not torch.allclose(frames, alone, atol=0.1)


def test_unknown_name_and_blank_painting_are_refused_with_a_remedy(nodes, images):
    with pytest.raises(InputError, match="great_wave"):
        run(nodes["FastStyleStylize"], image=images, model="great_wav")
    with pytest.raises(InputError, match="one colour"):
        run(nodes["FastStyleModel"], painting=torch.ones(1, 40, 40, 3))


def test_metadata_of_the_registry_names_this_version():
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    metadata = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert metadata["project"]["version"] == __version__
    assert {"PublisherId", "DisplayName"} <= metadata["tool"]["comfy"].keys()
    assert metadata["project"]["dependencies"] == (FOLDER / "requirements.txt").read_text().split()
