"""The same network run by whatever is fastest here: torch, its compiler, OpenVINO or ONNX Runtime."""

import importlib.util
import io
import os
import shutil
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from faststyle.cache import cached
from faststyle.device import autocast
from faststyle.errors import InputError, choose
from faststyle.exported import PACKAGES, Exported, run_onnx
from faststyle.transformer import SMALLEST, Inference

# (B,3,H,W) float32 RGB in [0,1] to the same, any H and W; on the engine's device.
Run = Callable[[Tensor], Tensor]

GRAPHS = 8  # CUDA graphs kept, one a size: each holds its own memory
LARGEST_GRAPH = 3 * 2**23  # values of a picture: beyond eight megapixels kernels start while others run


class Engine(NamedTuple):
    build: Callable[[Inference, torch.device, torch.dtype], Run]
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


def on_torch(module: Inference, device: torch.device, dtype: torch.dtype) -> Run:
    def run(images: Tensor) -> Tensor:
        with torch.no_grad(), autocast(device, dtype):
            return module(images)

    return run


def compiled(module: Inference, device: torch.device, dtype: torch.dtype) -> Run:
    """torch.compile: the first size gets a kernel of its own, the second one for all sizes."""
    run = on_torch(torch.compile(module), device, dtype)  # type: ignore[arg-type]
    return Graphs(run) if device.type == "cuda" else run


class Graphs:
    """Records a CUDA graph for each size, and plays it: a small network's kernels start faster so."""

    def __init__(self, run: Run):
        self.run, self.lock = run, threading.Lock()
        self.recorded: OrderedDict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = OrderedDict()

    def __call__(self, images: Tensor) -> Tensor:
        if images.numel() > LARGEST_GRAPH:
            return self.run(images)
        with self.lock, torch.cuda.device(images.device):
            return self.play(images)

    def play(self, images: Tensor) -> Tensor:
        if images.shape not in self.recorded:
            self.recorded[images.shape] = self.record(images)
            if len(self.recorded) > GRAPHS:
                self.recorded.popitem(last=False)
        self.recorded.move_to_end(images.shape)
        graph, given, result = self.recorded[images.shape]
        given.copy_(images)
        graph.replay()
        return result.clone()

    def record(self, images: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        given = images.clone()
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # compiles, and chooses algorithms, which cannot be recorded
                self.run(given)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.run(given)
        return graph, given, result


def on_openvino(module: Inference, device: torch.device, dtype: torch.dtype) -> Run:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }

    def convert() -> bytes:
        photo = torch.rand(1, 3, 64, 64)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the sizes that tracing fixes: run() knows them
            traced = torch.jit.trace(module, photo, check_trace=False)
            # As openvino.convert_model does, but without its telemetry, and in a fifth of its time.
            decoder = TorchScriptPythonDecoder(traced, example_input=photo)
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
            model.reshape([-1, 3, -1, -1])
        made = io.BytesIO()
        core.compile_model(model, "CPU", options).export_model(made)
        return made.getvalue()

    def load(made: bytes) -> Any:
        return core.import_model(made, "CPU", options)

    model = cached(f"openvino {openvino.__version__} {options}", module, convert, load)

    def run(images: Tensor) -> Tensor:
        if min(images.shape[-2:]) < SMALLEST:  # it was traced with a picture that needs no filling up
            return module(images)
        # A request of its own: it costs nothing, and serves one thread.
        return torch.from_numpy(model.create_infer_request().infer([images.numpy()], share_inputs=True)[0])

    return run


def on_onnx(module: Inference, device: torch.device, dtype: torch.dtype) -> Run:
    if isinstance(module.network, Exported):
        return module

    from faststyle.export import OPSET, trace, write_onnx  # whose torch.export is slow to import

    def convert() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(trace(module), {}, path)
            return path.read_bytes()

    run = cached(f"onnx {torch.__version__} {OPSET}", module, convert, run_onnx)
    return lambda images: module(images) if min(images.shape[-2:]) < SMALLEST else run(images)


def module_missing(*names: str, extra: str) -> Callable[[torch.device, torch.dtype], str | None]:
    def missing(device: torch.device, dtype: torch.dtype) -> str | None:
        if any(importlib.util.find_spec(name) is None for name in names):
            return f"install it with pip install -e '.[{extra}]'"
        if device.type != "cpu":
            return f"it computes on the CPU, not on {device}: leave out --device, or take --device cpu"
        if dtype == torch.float16:
            return "it does not compute in fp16: leave out --precision"
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
