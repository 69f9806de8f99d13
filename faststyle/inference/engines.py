"""The same network run by whatever is fastest here: torch, its compiler, OpenVINO or ONNX Runtime."""

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
from faststyle.inference.onnx_model import PACKAGES, Exported, run_onnx
from faststyle.inference.temporal_norm import SteadyNetwork
from faststyle.models.card import ModelCard
from faststyle.models.network import Inference
from faststyle.registry import choose

Module = Inference | SteadyNetwork  # of images, or of a clip's frames
Run = Callable[..., Any]  # what the module's forward does, for any H and W; on the engine's device

GRAPHS = 8  # CUDA graphs kept, one a size: each holds its own memory
LARGEST_GRAPH = 3 * 2**23  # values of a picture: beyond eight megapixels kernels start while others run


class Engine(NamedTuple):
    build: Callable[[Module, torch.device, torch.dtype], Run]
    missing: Callable[[torch.device, torch.dtype], str | None]  # why it cannot run here, or None


def pick_engine(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """The engine named, or for auto the one that is fastest here from the first picture on.

    Raises:
        InputError: no such engine, or it cannot run here.
    """
    if name == "auto":
        return "torch" if ENGINES["openvino"].missing(device, dtype) else "openvino"
    missing = choose("engine", name, ENGINES).missing(device, dtype)
    if missing:
        raise InputError(f"the engine {name} cannot run here: {missing}")
    return name


def available(device: torch.device, dtype: torch.dtype = torch.float32) -> list[str]:
    """The engines that can run here."""
    return [name for name, engine in ENGINES.items() if not engine.missing(device, dtype)]


def on_torch(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    def run(*inputs: Tensor) -> Any:
        with torch.no_grad(), autocast(device, dtype):
            return module(*inputs)

    return run


def compiled(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    """torch.compile: the first size gets a kernel of its own, the second one for all sizes."""
    run = on_torch(torch.compile(module), device, dtype)  # type: ignore[arg-type]
    return Graphs(run) if device.type == "cuda" else run


class Graphs:
    """Records a CUDA graph for each size, and plays it: a small network's kernels start faster so."""

    def __init__(self, run: Run):
        self.run, self.lock = run, threading.Lock()
        self.recorded: OrderedDict[Any, tuple[torch.cuda.CUDAGraph, Any, Any]] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> Any:
        if inputs[0].numel() > LARGEST_GRAPH:
            return self.run(*inputs)
        with self.lock, torch.cuda.device(inputs[0].device):
            return self.play(inputs)

    def play(self, inputs: tuple[Tensor, ...]) -> Any:
        shapes = tuple(one.shape for one in inputs)
        if shapes not in self.recorded:
            self.recorded[shapes] = self.record(inputs)
            if len(self.recorded) > GRAPHS:
                self.recorded.popitem(last=False)
        self.recorded.move_to_end(shapes)
        graph, given, result = self.recorded[shapes]
        for place, one in zip(given, inputs, strict=True):
            place.copy_(one)
        graph.replay()
        return tree_map(torch.clone, result)

    def record(self, inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, Any, Any]:
        given = tree_map(torch.clone, inputs)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # compiles, and chooses algorithms, which cannot be recorded
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


def on_openvino(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
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
            warnings.simplefilter("ignore")  # of the sizes that tracing fixes: run() knows them
            traced = torch.jit.trace(module, inputs, check_trace=False)
            # As openvino.convert_model does, but without its telemetry, and in a fifth of its time.
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
        # A request of its own: it costs nothing, and serves one thread.
        found = model.create_infer_request().infer([one.numpy() for one in inputs], share_inputs=True)
        results = tuple(torch.from_numpy(found[number]) for number in range(len(found)))
        return results if len(results) > 1 else results[0]

    return run


def on_onnx(module: Module, device: torch.device, dtype: torch.dtype) -> Run:
    assert isinstance(module, Inference)  # clips go through it frame by frame
    if isinstance(module.network, Exported):
        return module

    from faststyle.inference.export import OPSET, trace, write_onnx

    def convert() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(trace(module), ModelCard(), path)
            return path.read_bytes()

    run = cached(f"onnx {torch.__version__} {OPSET}", module, convert, run_onnx)
    return lambda images: run(images) if module.can_use_trace(images) else module(images)


def module_missing(*names: str, extra: str) -> Callable[[torch.device, torch.dtype], str | None]:
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
    if device.type == "cuda" or shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        return None
    return "torch.compile needs a C++ compiler on the CPU: install g++"


ENGINES = {
    "torch": Engine(on_torch, lambda device, dtype: None),
    "compile": Engine(compiled, compiler_missing),
    "openvino": Engine(on_openvino, module_missing("openvino", extra="cpu")),
    "onnx": Engine(on_onnx, module_missing(*PACKAGES, extra="onnx")),
}
