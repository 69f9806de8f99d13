import copy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from faststyle.errors import InputError
from faststyle.inference import engines
from faststyle.inference.engines import ENGINES, Graphs, available_engines, pick_engine
from faststyle.inference.stylizer import Stylizer
from faststyle.inference.temporal_norm import VideoNetwork, mix_statistics, mixing_weights
from faststyle.models.card import ModelCard
from tests.support.images import draw_image

pytestmark = pytest.mark.slow  # Each test converts networks.

CPU = torch.device("cpu")
OTHERS = ["openvino", "onnx"]


@pytest.fixture(scope="module")
def runs(module, tmp_path_factory):
    """Return the network converted by each engine, in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        return {name: ENGINES[name].build(module, CPU, torch.float32) for name in OTHERS}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 33, 47), (2, 50, 21), (1, 16, 17), (1, 5, 3), (1, 1, 1)])
def test_every_engine_gives_the_result_of_torch(runs, module, name, shape):
    images = torch.rand(shape[0], 3, *shape[1:])
    result = runs[name](images)
    assert result.shape == images.shape and result.dtype == torch.float32
    assert (result - module(images)).abs().max() < 1 / 255


@pytest.mark.parametrize("name", OTHERS)
def test_result_is_not_overwritten_by_the_next_call(runs, name):
    first = runs[name](torch.rand(1, 3, 32, 32))
    kept = first.clone()
    runs[name](torch.rand(1, 3, 32, 32))
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", OTHERS)
def test_engine_does_not_modify_its_input(runs, name):
    images = torch.rand(1, 3, 40, 40)
    kept = images.clone()
    runs[name](images[:, :, 3:, ::2])  # Not contiguous.
    assert torch.equal(images, kept)


@pytest.mark.skipif("compile" not in available_engines(CPU), reason="no C++ compiler")
def test_compiled_network_gives_the_result_of_torch(module):
    run = ENGINES["compile"].build(module, CPU, torch.float32)
    for shape in (
        (32, 32),
        (36, 48),
        (33, 47),
    ):  # The second call compiles for all shapes.
        images = torch.rand(1, 3, *shape)
        assert (run(images) - module(images)).abs().max() < 1 / 255


def test_openvino_computes_in_bfloat16_on_request(module):
    images = torch.rand(1, 3, 64, 64)
    exact = module(images)
    result = ENGINES["openvino"].build(module, CPU, torch.bfloat16)(images)
    assert 0 < (result - exact).abs().mean() < 2 / 255


def test_openvino_runs_in_several_threads_at_once(runs, module):
    photos = [torch.rand(1, 3, 40 + 4 * i, 64) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(runs["openvino"], photos))
    for photo, result in zip(photos, results, strict=True):
        assert (result - module(photo)).abs().max() < 1 / 255


def test_auto_picks_openvino_on_a_cpu_and_torch_elsewhere():
    assert pick_engine("auto", CPU, torch.float32) == "openvino"
    assert pick_engine("auto", CPU, torch.float16) == "torch"
    assert pick_engine("auto", torch.device("cuda"), torch.bfloat16) == "torch"


def test_auto_picks_torch_without_openvino(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert pick_engine("auto", CPU, torch.float32) == "torch"
    with pytest.raises(InputError, match=r"openvino cannot run here: .*pip install -e '.\[cpu\]'"):
        pick_engine("openvino", CPU, torch.float32)


@pytest.mark.parametrize(
    "name, device, dtype, message",
    [
        ("openvin", "cpu", torch.float32, "did you mean 'openvino'"),
        ("openvino", "cuda", torch.float32, "set it to cpu"),
        ("onnx", "cpu", torch.float16, "fp16"),
    ],
)
def test_unavailable_engine_error_names_the_reason(name, device, dtype, message):
    with pytest.raises(InputError, match=message):
        pick_engine(name, torch.device(device), dtype)


def test_stylizer_text_names_its_engine(network):
    stylize = Stylizer(network, ModelCard(), "cpu", "fp32", "torch")
    assert str(stylize).startswith("torch, float32, CPU")


# On a GPU

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("name", ["torch", "compile"])
def test_engines_on_a_gpu_give_the_cpus_result(module, name):
    run = ENGINES[name].build(copy.deepcopy(module).cuda(), torch.device("cuda"), torch.float32)
    for shape in ((64, 64), (33, 47), (64, 64), (128, 96)):
        images = torch.rand(1, 3, *shape)
        assert (run(images.cuda()).cpu() - module(images)).abs().max() < 2 / 255


@pytest.mark.gpu
@gpu
def test_number_of_recorded_cuda_graphs_is_limited():
    graphs = Graphs(lambda images: images * 2)
    for size in range(engines.MAX_GRAPHS + 3):
        images = torch.rand(1, 3, 8, 8 + size, device="cuda")
        assert torch.equal(graphs(images), images * 2)
        assert torch.equal(graphs(images + 1), images * 2 + 2)
    assert len(graphs.recorded) == engines.MAX_GRAPHS


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_video_results_are_equal_in_every_engine(module, name):
    steady = VideoNetwork(module.network, 8)
    run, memory = ENGINES[name].build(steady, CPU, torch.float32), steady.blank()
    for number, (height, width) in enumerate([(40, 48), (40, 48), (33, 21), (8, 12)]):
        frame = torch.from_numpy(np.array(draw_image(width, height, number)))[None]
        mix = mixing_weights([0.5 if number else 0.0])
        expected, own = steady(frame, memory, mix)
        result, same = run(frame, memory, mix)
        assert (result.int() - expected.int()).abs().max() <= 1
        assert torch.allclose(same, own, rtol=1e-2, atol=1e-3)
        memory = mix_statistics(mix, memory, own)


def test_importing_openvino_loads_no_telemetry():
    code = """
import sys
from faststyle.inference.engines import import_openvino
assert import_openvino().Core().available_devices
assert "openvino_telemetry" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
