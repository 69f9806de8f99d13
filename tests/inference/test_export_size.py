"""Exports of a fixed size, for OpenCV and Core ML."""

import re
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from faststyle.cli.main import infer as main
from faststyle.cli.main import run_command
from faststyle.errors import InputError
from faststyle.inference.export import export, load_inference
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.checkpoint import save_model
from faststyle.models.layout import SIZES
from faststyle.models.network import TransformerNetwork
from tests.support.commands import expect_error_line
from tests.support.export_page import PAGE, run_documented_exports
from tests.support.images import draw_image

WIDTH, HEIGHT = 101, 76  # no multiples of the stride
ENGINES = ["ENGINE_CLASSIC", "ENGINE_NEW"]  # of OpenCV 5; OpenCV 4 has one


@pytest.fixture(scope="module", params=SIZES)
def fixed(request, tmp_path_factory) -> tuple[Path, Path]:
    """Return a model of each network size, and its export of a fixed size."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    network = TransformerNetwork(request.param, blocks=1)
    torch.nn.init.normal_(network.last.weight, std=0.05)
    save_model(folder / "model.safetensors", network, ModelCard(name="it"))
    line = export(folder / "model.safetensors", folder / "fixed.onnx", (WIDTH, HEIGHT))
    assert f"opset 18, images of {WIDTH}x{HEIGHT} pixels; within 0.0000" in line
    return folder / "model.safetensors", folder / "fixed.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_of_opencv_give_the_result_of_torch(fixed, engine):
    if not hasattr(cv2.dnn, engine):
        engines = {}
        if engine == "ENGINE_NEW":
            pytest.skip("OpenCV 4 has one engine")
    else:
        engines = {"engine": getattr(cv2.dnn, engine)}
    net = cv2.dnn.readNetFromONNX(str(fixed[1]), **engines)
    photo = torch.rand(1, 3, HEIGHT, WIDTH)
    net.setInput(photo.numpy())
    module, _ = load_inference(fixed[0])
    with torch.no_grad():
        assert np.abs(net.forward() - module(photo).numpy()).max() < 0.25 / 255


@pytest.mark.slow
def test_graph_of_a_fixed_size_has_no_operations_on_sizes(fixed):
    graph = onnx.load(fixed[1]).graph
    assert not {"Shape", "Range", "Mod", "Reshape", "Transpose"} & {node.op_type for node in graph.node}
    shape = [dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, HEIGHT, WIDTH]


@pytest.mark.slow
def test_file_of_a_fixed_size_stylizes_images_of_that_size_alone(fixed):
    stylize, photo = Stylizer.load(fixed[1]), draw_image(WIDTH, HEIGHT)
    expected = np.asarray(Stylizer.load(fixed[0], "cpu", "fp32", "torch")(photo), int)
    assert np.abs(np.asarray(stylize(photo), int) - expected).max() <= 1
    assert stylize(torch.rand(3, 3, HEIGHT, WIDTH)).shape == (3, 3, HEIGHT, WIDTH)
    with pytest.raises(
        InputError, match=f"takes only images of {WIDTH}x{HEIGHT} pixels, not 80x60"
    ) as caught:
        stylize(draw_image(80, 60))
    assert caught.value.parameters == ["export_size"]


@pytest.mark.slow
def test_coremltools_converts_an_archive_of_a_fixed_size(fixed, tmp_path):
    coremltools = pytest.importorskip("coremltools")
    export(fixed[0], tmp_path / "fixed.pt2", (WIDTH, HEIGHT))
    program = torch.export.load(tmp_path / "fixed.pt2").run_decompositions({})
    model = coremltools.convert(program, convert_to="mlprogram")
    (photo,) = model.get_spec().description.input
    assert list(photo.type.multiArrayType.shape) == [1, 3, HEIGHT, WIDTH]


@pytest.mark.slow
def test_infer_takes_the_size(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["--export", "m.onnx", "--export-size", "64x48", "--checkpoint", str(model)])
    assert "m.onnx: opset 18, images of 64x48 pixels" in capsys.readouterr().out
    assert [one.dim_value for one in onnx.load("m.onnx").graph.input[0].type.tensor_type.shape.dim[2:]] == [
        48,
        64,
    ]


@pytest.mark.parametrize("size", ["64", "64x", "x48", "31x64", "64x4097", "64x-48", "1e3x64", "64 x 48", ""])
def test_size_that_is_none_is_refused(model, capsys, size):
    words = ["export", ["-o", "m.onnx", "--checkpoint", str(model), f"--export-size={size}"]]
    assert "--export-size must be WIDTHxHEIGHT in pixels" in expect_error_line(capsys, run_command, *words)


# docs/export.md


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Create a folder with a photo and the exports of a fixed size that docs/export.md makes."""
    folder = tmp_path_factory.mktemp("page")
    draw_image(300, 200).save(folder / "photo.jpg", quality=95)
    run_documented_exports(folder, ".*--export-size.*")
    return folder


FIXED_SIZE = PAGE.partition("## A fixed size")[2].partition("## A browser")[0]


@pytest.mark.slow
@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", FIXED_SIZE, re.DOTALL))
def test_each_snippet_on_a_fixed_size_runs(folder, monkeypatch, block):
    monkeypatch.chdir(folder)
    if "coremltools" in block:
        pytest.importorskip("coremltools")
        exec(block, {})
        assert Path("starry_night.mlpackage").is_dir()
        return
    exec(block, {})
    photo = Image.fromarray(
        cv2.resize(cv2.imread("photo.jpg"), (1024, 768), interpolation=cv2.INTER_AREA)[..., ::-1]
    )
    expected = Stylizer.load("starry_night", "cpu", "fp32", "torch")(photo, stroke_scale=1)
    painted = np.asarray(Image.open("painted.png"), int)
    own = np.asarray(Stylizer.load("fixed.onnx")(photo), int)  # without larger strokes
    assert np.abs(own - np.asarray(expected, int)).max() <= 1
    assert np.abs(painted - np.asarray(expected, int)).max() <= 1
