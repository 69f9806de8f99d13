"""Stylizers in several processes."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from faststyle.errors import InputError
from faststyle.inference.engines.kinds import available_engines
from faststyle.inference.engines.openvino_engine import OpenVINOEngine
from faststyle.inference.export import export
from faststyle.inference.stylizer import Stylizer
from faststyle.models.card import ModelCard
from faststyle.optimization.refine import refine
from tests.support.images import draw_image

PHOTO = draw_image(1000, 800)  # large enough for torch to use several threads
SMALL = draw_image(60, 50)


@pytest.fixture
def two_threads():
    """Compute with two threads, as most machines do, and start them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.rand(1000, 1000) @ torch.rand(1000, 1000)
    yield
    torch.set_num_threads(before)


def run_in_child(method: str, run, *arguments):
    """Return the result of a function, or its InputError, in a process that was started by this method."""
    context = multiprocessing.get_context(method)
    results = context.Queue()
    process = context.Process(target=put_result, args=(results, run, *arguments), daemon=True)
    process.start()
    result = results.get(timeout=60)
    process.join()
    return result


def put_result(results, run, *arguments) -> None:
    try:
        results.put(run(*arguments))
    except InputError as error:
        results.put(error)


def call(stylize, photo) -> bytes:
    return stylize(photo, stroke_scale=1).tobytes()


def last_frame(stylize, photo) -> bytes:
    return list(stylize.video([np.array(photo)] * 3))[-1].tobytes()


def load_and_call(model, photo) -> bytes:
    return call(Stylizer.load(model, "cpu", "fp32", "torch"), photo)


@pytest.mark.parametrize("run", [call, last_frame])
def test_forked_child_stylizes_as_its_parent(run, model, two_threads):
    stylize = Stylizer.load(model, "cpu", "fp32", "torch")
    expected = run(stylize, PHOTO)
    assert run_in_child("fork", run, stylize, PHOTO) == expected
    assert run(stylize, PHOTO) == expected


def test_forked_child_can_load_a_model_of_its_own(model, two_threads):
    expected = load_and_call(model, PHOTO)
    assert run_in_child("fork", load_and_call, model, PHOTO) == expected


def refine_once(image) -> bytes:
    return refine(image, image, image, 1, vgg="vgg19", device="cpu", precision="fp32").tobytes()


def test_forked_child_refines_as_its_parent(random_vgg, two_threads):
    image = draw_image(400, 300)
    assert run_in_child("fork", refine_once, image) == refine_once(image)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_other_engines_work_in_a_forked_child(engine, model, two_threads, tmp_path):
    if engine == "onnx":
        export(model, tmp_path / "model.onnx")
        stylize = Stylizer.load(tmp_path / "model.onnx")
    else:
        stylize = Stylizer.load(model, "cpu", "fp32", "torch")
        stylize.backend = OpenVINOEngine(stylize.model, stylize.margin, "cpu", "float32")
    assert run_in_child("fork", call, stylize, PHOTO) == call(stylize, PHOTO)


@pytest.mark.slow
@pytest.mark.skipif("compile" not in available_engines("cpu"), reason="no C++ compiler")
def test_engine_that_cannot_work_in_a_forked_child_asks_for_spawn(model):
    stylize = Stylizer.load(model, "cpu", "fp32", "compile")
    for run in (call, last_frame):
        result = run_in_child("fork", run, stylize, SMALL)
        assert isinstance(result, InputError) and "get_context('spawn')" in str(result)


def test_accelerator_in_a_forked_child_asks_for_spawn(model):
    stylize = Stylizer.load(model, "cpu", "fp32", "torch")
    stylize.backend.device = "cuda:0"
    assert "spawn" in str(run_in_child("fork", call, stylize, SMALL))


@pytest.mark.slow
def test_spawned_child_gets_a_stylizer(model):
    stylize = Stylizer.load(model, "cpu", "fp32", "torch")
    assert run_in_child("spawn", call, stylize, SMALL) == call(stylize, SMALL)


def test_pickled_stylizer_is_loaded_again_with_its_device_precision_and_engine(model):
    stylize = Stylizer.load(model, "cpu", "bf16", "torch")
    copy = pickle.loads(pickle.dumps(stylize))
    assert str(copy) == str(stylize) and copy.card == stylize.card and copy.source == model
    assert call(copy, SMALL) == call(stylize, SMALL)
    assert len(pickle.dumps(stylize)) < 1000


@pytest.mark.parametrize("name", ["starry_night", "starry_night:0.6,great_wave:0.4", "the_scream-steady"])
def test_stylizer_of_a_built_in_style_is_pickled_by_its_name(name):
    stylize = Stylizer.load(name, "cpu", "fp32", "torch")
    assert call(pickle.loads(pickle.dumps(stylize)), SMALL) == call(stylize, SMALL)


def test_stylizer_of_a_network_is_pickled_with_its_weights(network):
    stylize = Stylizer(network, ModelCard(name="own"), "cpu", "fp32", "torch")
    copy = pickle.loads(pickle.dumps(stylize))
    assert call(copy, SMALL) == call(stylize, SMALL) and copy.card.name == "own"


@pytest.mark.slow
def test_stylizer_of_an_exported_model_is_pickled_by_its_file(model, tmp_path):
    export(model, tmp_path / "model.onnx")
    stylize = Stylizer.load(tmp_path / "model.onnx")
    for one in (stylize, Stylizer(stylize.model)):
        assert call(pickle.loads(pickle.dumps(one)), SMALL) == call(stylize, SMALL)
