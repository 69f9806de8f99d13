import numpy as np
import pytest
import torch

from faststyle.errors import InputError, OutOfMemoryError
from faststyle.inference.export import export
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.network import TransformerNetwork
from tests.support.images import draw_image

pytestmark = pytest.mark.slow  # Each test converts networks.


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the path of a model and the path of its ONNX export."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    save_model(folder / "model.safetensors", TransformerNetwork("fast", blocks=1), ModelCard(name="it"))
    export(folder / "model.safetensors", folder / "model.onnx")
    return folder / "model.safetensors", folder / "model.onnx"


def test_exported_model_stylizes_like_the_model(exported):
    model, export = (Stylizer.load(path, "cpu", "fp32") for path in exported)
    image = draw_image(50, 37)
    image.putalpha(100)
    assert np.abs(np.asarray(model(image), int) - np.asarray(export(image), int)).max() <= 1
    assert (export.engine, export.precision, export.card.name) == ("onnx", "float32", "it")
    assert export(torch.rand(2, 3, 33, 40), strength=0.5, preserve_color=True).shape == (2, 3, 33, 40)


def test_out_of_memory_with_exported_model_is_not_reported_as_damage(exported, monkeypatch):
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    def full(*_):
        raise RuntimeException("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer")

    stylize = Stylizer.load(exported[1])
    monkeypatch.setattr(stylize.model, "run", full)
    with pytest.raises(OutOfMemoryError, match="50x37 pixels") as caught:
        stylize(draw_image(50, 37))
    assert "max_size" in caught.value.parameters


def test_unsupported_use_of_exported_model_is_rejected(exported, tmp_path):
    stylize = Stylizer.load(exported[1])
    with pytest.raises(InputError, match="the model that it was exported from"):
        stylize(draw_image(400, 300), tile=256)
    with pytest.raises(InputError, match="the model that it was exported from"):
        stylize.push_to_hub("user/repo")
    with pytest.raises(InputError) as caught:
        Stylizer.load(exported[1], engine="openvino")
    assert caught.value.parameters == ["engine"]
    with pytest.raises(InputError, match="there is no model"):
        Stylizer.load("nowhere.onnx")
    (tmp_path / "broken.onnx").write_bytes(exported[1].read_bytes()[:500])
    with pytest.raises(InputError, match="is no model that faststyle exported"):
        Stylizer.load(tmp_path / "broken.onnx")
