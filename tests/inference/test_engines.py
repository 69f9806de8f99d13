import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from faststyle.errors import InputError
from faststyle.inference.engines import kinds, openvino_engine, torch_engine
from faststyle.inference.engines.base import mix_statistics, mixing_weights
from faststyle.inference.engines.kinds import available_engines, build_engine, pick_engine
from faststyle.inference.engines.torch_engine import Graphs
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.models.find import find_model
from faststyle.models.layout import SIZES
from faststyle.models.model import model_of
from faststyle.models.network import Inference, TransformerNetwork
from tests.support.images import draw_image

pytestmark = pytest.mark.slow  # Each test converts networks.

OTHERS = ["openvino", "onnx"]


@pytest.fixture(scope="module")
def engines(small, tmp_path_factory):
    """Return the network in each engine, in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        return {name: build_engine(small, 8, "cpu", "fp32", name) for name in ("torch", *OTHERS)}


def stylize(engine, images: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(engine.stylize(engine.array(images)))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 33, 47), (2, 50, 21), (1, 16, 17), (1, 5, 3), (1, 1, 1)])
def test_every_engine_gives_the_result_of_torch(engines, module, name, shape):
    images = torch.rand(shape[0], 3, *shape[1:])
    result = stylize(engines[name], images)
    assert result.shape == images.shape and result.dtype == torch.float32
    assert (result - module(images)).abs().max() < 1 / 255


@pytest.mark.parametrize("tanh", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_openvino_has_the_layers_of_every_network_size(size, tanh):
    torch.manual_seed(0)
    network = TransformerNetwork(size, 1, tanh).eval().requires_grad_(False)
    engine = build_engine(model_of(network, ModelCard()), 8, "cpu", "fp32", "openvino")
    images = torch.rand(1, 3, 70, 101)
    assert (stylize(engine, images) - Inference(network, 8)(images)).abs().max() < 1e-3


@pytest.mark.parametrize("name", OTHERS)
def test_result_is_not_overwritten_by_the_next_call(engines, name):
    first = stylize(engines[name], torch.rand(1, 3, 32, 32))
    kept = first.clone()
    stylize(engines[name], torch.rand(1, 3, 32, 32))
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", OTHERS)
def test_engine_does_not_modify_its_input(engines, name):
    images = torch.rand(1, 3, 40, 40)
    kept = images.clone()
    stylize(engines[name], images[:, :, 3:, ::2])  # Not contiguous.
    assert torch.equal(images, kept)


@pytest.mark.skipif("compile" not in available_engines("cpu"), reason="no C++ compiler")
def test_compiled_network_gives_the_result_of_torch(small, module):
    engine = build_engine(small, 8, "cpu", "fp32", "compile")
    for shape in (
        (32, 32),
        (36, 48),
        (33, 47),
    ):  # The second call compiles for all shapes.
        images = torch.rand(1, 3, *shape)
        assert (stylize(engine, images) - module(images)).abs().max() < 1 / 255


def test_openvino_computes_in_bfloat16_on_request(small, module):
    images = torch.rand(1, 3, 64, 64)
    exact = module(images)
    result = stylize(build_engine(small, 8, "cpu", "bf16", "openvino"), images)
    assert 0 < (result - exact).abs().mean() < 2 / 255


def test_openvino_runs_in_several_threads_at_once(engines, module):
    photos = [torch.rand(1, 3, 40 + 4 * i, 64) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda photo: stylize(engines["openvino"], photo), photos))
    for photo, result in zip(photos, results, strict=True):
        assert (result - module(photo)).abs().max() < 1 / 255


def test_auto_picks_openvino_on_a_cpu_and_torch_elsewhere(monkeypatch):
    assert pick_engine("auto", "cpu", "fp32") == "openvino"
    assert pick_engine("auto", "cpu", "fp16") == "torch"
    assert pick_engine("auto", "cuda", "bf16") == "torch"
    monkeypatch.setattr(kinds, "may_have_accelerator", lambda: True)
    monkeypatch.setattr(kinds, "pick_device", lambda: torch.device("cuda:0"))
    assert pick_engine("auto", "auto", "auto") == "torch"


def test_auto_picks_torch_without_openvino(monkeypatch):
    find_spec = kinds.find_spec
    monkeypatch.setattr(kinds, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    assert pick_engine("auto", "cpu", "fp32") == "torch"
    with pytest.raises(InputError, match=r"openvino cannot run here: .*pip install -e '.\[cpu\]'"):
        pick_engine("openvino", "cpu", "fp32")


def test_without_torch_openvino_runs_and_others_say_what_to_install(small, monkeypatch):
    find_spec = kinds.find_spec
    monkeypatch.setattr(kinds, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    monkeypatch.setattr(kinds, "may_have_accelerator", lambda: True)
    assert build_engine(small, 8, "auto", "auto", "auto").name == "openvino"
    refusals = {
        ("cuda", "auto", "auto"): "openvino cannot run here: it computes on the CPU, .*pip install torch",
        ("auto", "fp16", "auto"): "openvino cannot run here: it does not compute in fp16.*pip install torch",
        ("auto", "auto", "torch"): "torch cannot run here: install PyTorch with pip install torch",
    }
    for arguments, message in refusals.items():
        with pytest.raises(InputError, match=message):
            build_engine(small, 8, *arguments)


@pytest.mark.parametrize(
    "name, device, precision, message",
    [
        ("openvin", "cpu", "fp32", "did you mean 'openvino'"),
        ("openvino", "cuda", "fp32", "set it to cpu"),
        ("onnx", "cpu", "fp16", "fp16"),
    ],
)
def test_unavailable_engine_error_names_the_reason(name, device, precision, message):
    with pytest.raises(InputError, match=message):
        pick_engine(name, device, precision)


def test_stylizer_text_names_its_engine(network):
    stylize = Stylizer(network, ModelCard(), "cpu", "fp32", "torch")
    assert str(stylize).startswith("torch, float32, CPU")


# On a GPU

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("name", ["torch", "compile"])
def test_engines_on_a_gpu_give_the_cpus_result(small, module, name):
    engine = build_engine(small, 8, "cuda", "fp32", name)
    for shape in ((64, 64), (33, 47), (64, 64), (128, 96)):
        images = torch.rand(1, 3, *shape)
        assert (stylize(engine, images).cpu() - module(images)).abs().max() < 2 / 255


@pytest.mark.gpu
@gpu
def test_number_of_recorded_cuda_graphs_is_limited():
    graphs = Graphs(lambda images: images * 2)
    for size in range(torch_engine.MAX_GRAPHS + 3):
        images = torch.rand(1, 3, 8, 8 + size, device="cuda")
        assert torch.equal(graphs(images), images * 2)
        assert torch.equal(graphs(images + 1), images * 2 + 2)
    assert len(graphs.recorded) == torch_engine.MAX_GRAPHS


def test_video_results_are_equal_in_every_engine(engines):
    torch_memory = memory = engines["torch"].blank_memory()
    for number, (height, width) in enumerate([(40, 48), (40, 48), (33, 21), (8, 12)]):
        frame = np.array(draw_image(width, height, number))[None]
        mix = mixing_weights([0.5 if number else 0.0])
        expected, own = engines["torch"].stylize_frames(frame, torch_memory, mix)
        result, same = engines["openvino"].stylize_frames(frame, memory, mix)
        assert np.abs(result.astype(int) - expected.numpy().astype(int)).max() <= 1
        assert np.allclose(same, own, rtol=1e-2, atol=1e-3)
        torch_memory, memory = mix_statistics(mix, torch_memory, own), mix_statistics(mix, memory, same)


@pytest.mark.parametrize("name", ["torch", *OTHERS])
def test_tile_with_the_images_own_statistics_equals_the_image(engines, module, name):
    engine, images = engines[name], torch.rand(1, 3, 64, 80)
    statistics = engine.measure(engine.array(images))
    wide = torch.nn.functional.pad(images, (8, 8, 8, 8), mode="reflect")
    tile = torch.as_tensor(engine.stylize_tile(engine.array(wide), (0, 0), statistics))
    assert (tile[..., 8:-8, 8:-8] - module(images)).abs().max() < 1 / 255


def test_ctrl_c_works_after_all_models_are_gone():
    code = """
import gc, os, signal
from PIL import Image
from faststyle import Stylizer
stylizers = [Stylizer.load(name, engine="openvino") for name in ("great_wave", "the_scream")]
stylizers[0](Image.new("RGB", (32, 32)))
while stylizers:
    del stylizers[0]
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "interrupted\n"), ended.stderr


def test_importing_openvino_loads_no_telemetry():
    code = """
import sys
from faststyle.inference.engines.openvino_engine import import_openvino
assert import_openvino().Core().available_devices
assert "openvino_telemetry" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_statistics_of_a_smooth_frame_are_exact_in_bfloat16():
    y, x = np.mgrid[:240, :320]
    frame = np.stack([90 + 80 * y / 240, 140 + 70 * y / 240, 210 + 25 * x / 320], 2).astype(np.uint8)[None]
    model, images = find_model("starry_night"), []
    for precision in ("fp32", "bf16"):
        engine = build_engine(model, 8, "cpu", precision, "openvino")
        mix = mixing_weights([0.0])
        images.append(engine.stylize_frames(frame, engine.blank_memory(), mix)[0].astype(float))
    assert np.abs(images[0] - images[1]).mean() < 3


def test_stylizer_does_not_follow_a_network_that_is_trained_on(network):
    photo = draw_image(64, 48)
    stylizer = Stylizer(network, ModelCard(), "cpu", "fp32", "openvino")
    before = np.asarray(stylizer(photo))
    with torch.no_grad():
        network.last.weight.mul_(0)
    assert np.array_equal(np.asarray(stylizer(photo)), before)
    assert model_of(network, ModelCard()).digest() != stylizer.model.digest()


def test_large_tensor_is_stylized_in_inference_mode(network):
    stylizer = Stylizer(network, ModelCard(), "cpu", "fp32", "openvino")
    with torch.inference_mode():
        assert stylizer(torch.rand(3, 700, 900)).shape == (3, 700, 900)


def test_old_openvino_is_named(monkeypatch):
    monkeypatch.setattr(openvino_engine, "OPERATORS", "openvino.opset99")
    with pytest.raises(InputError, match=r"OpenVINO 2023\.0 is too old: pip install"):
        openvino_engine.import_operators("2023.0")


def test_stylizing_with_openvino_does_not_import_torch(tmp_path):
    draw_image(700, 500).save(tmp_path / "photo.png")
    code = """
import sys
from faststyle.cli.main import main
blend = ["stylize", "photo.png", "--checkpoint", "photo.png:0.5,starry_night:0.5", "-o", "out.jpg"]
for options in (["--strength", "0.5"], ["--tile", "256", "--stroke-scale", "1"], ["--preserve-color"]):
    main([*blend, *options])
main(["stylize", "photo.png", "--checkpoint", "all", "-o", "all.jpg"])
assert "torch" not in sys.modules, "imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "all.jpg").exists()
