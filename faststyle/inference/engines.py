"""Inference backends: PyTorch, torch.compile, OpenVINO and ONNX Runtime."""

import importlib
import importlib.util
import io
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from faststyle.device import autocast
from faststyle.errors import InputError
from faststyle.inference.engine_cache import cached
from faststyle.inference.onnx_model import OPSET, PACKAGES, Exported, run_onnx, write_onnx
from faststyle.inference.temporal_norm import VideoNetwork
from faststyle.models.card import ModelCard
from faststyle.models.network import Inference
from faststyle.registry import choose

Module = Inference | VideoNetwork
Run = Callable[..., Any]  # a module's forward on the engine's device, for any height and width

MAX_GRAPHS = 8  # one for each size; each CUDA graph holds its own memory
MAX_GRAPH_VALUES = 3 * 2**23  # for images beyond eight megapixels, launching kernels costs nothing


class Engine(NamedTuple):
    """A backend.

    Attributes:
        build: Prepares a module for a device and a precision.
        missing: Returns why the engine cannot run on a device in a precision; None if it can.
    """

    build: Callable[[Module, torch.device, torch.dtype], Run]
    missing: Callable[[torch.device, torch.dtype], str | None]


def pick_engine(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """Return the engine with this name; for auto the one that is fastest from the first image on.

    Raises:
        InputError: There is no such engine, or it cannot run on this machine.
    """
    if name == "auto":
        return "torch" if ENGINES["openvino"].missing(device, dtype) else "openvino"
    missing = choose("engine", name, ENGINES).missing(device, dtype)
    if missing:
        raise InputError(f"the engine {name} cannot run here: {missing}")
    return name


def available_engines(device: torch.device, dtype: torch.dtype = torch.float32) -> list[str]:
    """Return the engines that can run on this machine."""
    return [name for name, engine in ENGINES.items() if not engine.missing(device, dtype)]


def build_torch(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    """Run a module by PyTorch, in autocast."""

    def run(*inputs: Tensor) -> Any:
        with torch.no_grad(), autocast(device, dtype):
            return module(*inputs)

    return run


def build_compiled(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    """Run a module by torch.compile: kernels for the first size, then kernels for all sizes."""
    run = build_torch(torch.compile(module), device, dtype)  # type: ignore[arg-type]
    return Graphs(run) if device.type == "cuda" else run


class Graphs:
    """Records and replays a CUDA graph for each size, because a small network's kernels launch slowly."""

    def __init__(self, run: Run):
        self.run, self.lock = run, threading.Lock()
        self.recorded: OrderedDict[Any, tuple[torch.cuda.CUDAGraph, Any, Any]] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> Any:
        if inputs[0].numel() > MAX_GRAPH_VALUES:
            return self.run(*inputs)
        with self.lock, torch.cuda.device(inputs[0].device):
            return self.play(inputs)

    def play(self, inputs: tuple[Tensor, ...]) -> Any:
        """Replay the graph of this size, recorded at first use."""
        shapes = tuple(one.shape for one in inputs)
        if shapes not in self.recorded:
            self.recorded[shapes] = self.record(inputs)
            if len(self.recorded) > MAX_GRAPHS:
                self.recorded.popitem(last=False)
        self.recorded.move_to_end(shapes)
        graph, given, result = self.recorded[shapes]
        for place, one in zip(given, inputs, strict=True):
            place.copy_(one)
        graph.replay()
        return tree_map(torch.clone, result)

    def record(self, inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, Any, Any]:
        """Record a graph, and return it with its input and output tensors."""
        given = tree_map(torch.clone, inputs)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # compilation and the choice of algorithms cannot be recorded
                self.run(*given)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.run(*given)
        return graph, given, result


@contextmanager
def hidden_module(name: str) -> Iterator[None]:
    """Make imports of a module fail in the block, as if it were not installed; no effect if it is loaded."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each import to Intel."""
    with hidden_module("openvino_telemetry"):
        return importlib.import_module("openvino")


def build_openvino(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    """Run a module by OpenVINO, compiled once and cached."""
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }

    def convert() -> bytes:
        inputs, sizes = zip(*module.example_inputs(), strict=True)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about sizes that tracing fixes, which run() checks
            traced = torch.jit.trace(module, inputs, check_trace=False)
            # The same as openvino.convert_model, without its telemetry and in a fifth of the time.
            decoder = TorchScriptPythonDecoder(traced, example_input=inputs)
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
            model.reshape(dict(zip(model.inputs, map(openvino.PartialShape, sizes), strict=True)))
        made = io.BytesIO()
        core.compile_model(model, "CPU", options).export_model(made)
        return made.getvalue()

    def load(made: bytes) -> Any:
        return core.import_model(made, "CPU", options)

    model = cached(f"openvino {openvino.__version__} {options}", module, convert, load)

    def run(*inputs: Tensor) -> Any:
        if not module.can_use_trace(*inputs):
            return module(*inputs)
        # A new request for each call costs nothing, and serves one thread.
        found = model.create_infer_request().infer([one.numpy() for one in inputs], share_inputs=True)
        results = tuple(torch.from_numpy(found[number]) for number in range(len(found)))
        return results if len(results) > 1 else results[0]

    return run


def build_onnx(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    """Run a module by ONNX Runtime, exported once and cached."""
    assert isinstance(module, Inference)  # videos are stylized frame by frame
    if isinstance(module.network, Exported):
        return module

    from faststyle.inference.export import trace

    def convert() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(trace(module), ModelCard(), path)
            return path.read_bytes()

    run = cached(f"onnx {torch.__version__} {OPSET}", module, convert, run_onnx)
    return lambda images: run(images) if module.can_use_trace(images) else module(images)


def module_missing(*names: str, extra: str) -> Callable[[torch.device, torch.dtype], str | None]:
    """Return the ``Engine.missing`` of an engine for the CPU that needs packages."""

    def missing(device: torch.device, dtype: torch.dtype) -> str | None:
        if any(importlib.util.find_spec(name) is None for name in names):
            return f"install it with pip install -e '.[{extra}]'"
        if device.type != "cpu":
            return f"it computes on the CPU, not on {device}: leave out `device`, or set it to cpu"
        if dtype == torch.float16:
            return "it does not compute in fp16: leave out `precision`"
        return None

    return missing


def compiler_missing(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return what torch.compile lacks on this machine; None if nothing."""
    if device.type == "cuda" or shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        return None
    return "torch.compile needs a C++ compiler on the CPU: install g++"


ENGINES = {
    "torch": Engine(build_torch, lambda device, dtype: None),
    "compile": Engine(build_compiled, compiler_missing),
    "openvino": Engine(build_openvino, module_missing("openvino", extra="cpu")),
    "onnx": Engine(build_onnx, module_missing(*PACKAGES, extra="onnx")),
}
