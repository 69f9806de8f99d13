"""OpenVINO, which runs a model on a CPU without PyTorch."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any

import numpy as np

from faststyle.device import thread_count
from faststyle.errors import InputError
from faststyle.image.arrays import Array, to_bytes, to_numpy
from faststyle.inference.engines.cache import cached
from faststyle.inference.engines.openvino_graph import GraphBuilder, Norms
from faststyle.models.model import Model

OPERATORS = "openvino.opset13"  # of 2023


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
        sys.modules.pop(name, None)  # another thread can have done it


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each import to Intel."""
    with hidden_module("openvino_telemetry"):
        return importlib.import_module("openvino")


def import_operators(version: str) -> Any:
    """Import OpenVINO's operators.

    Raises:
        InputError: This version of OpenVINO has no such operators.
    """
    try:
        return importlib.import_module(OPERATORS)
    except ModuleNotFoundError:
        raise InputError(f"OpenVINO {version} is too old: pip install --upgrade openvino") from None


@cache
def get_core() -> Any:
    """Return the OpenVINO core that the whole process shares.

    Each core installs a signal stack for the thread. If cores are deleted in the order of their creation,
    the thread keeps a freed stack, and the next Ctrl-C is a segmentation fault (OpenVINO 2026.4).
    """
    return import_openvino().Core()


@cache
def supports_bfloat16() -> bool:
    """Return True if this CPU has bfloat16 arithmetic."""
    return "BF16" in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINOEngine:
    """Runs a model's graphs by OpenVINO. Each is compiled at first use, and cached on the disk.

    Args:
        model: The model.
        margin: Pixels of the mirrored border.
        device: cpu.
        precision: float32 or bfloat16.
    """

    name, device, max_batch = "openvino", "cpu", 1

    def __init__(self, model: Model, margin: int, device: str, precision: str):
        self.model, self.margin, self.precision = model, margin, precision
        self.width = 2 * sum(model.layout.norms().values())
        self.graphs: dict[tuple[Norms, str], Any] = {}
        self.graph("own")  # fails here if OpenVINO cannot be used

    @cached_property
    def key(self) -> str:
        """The model's part of the cache's key."""
        return f"{self.model.digest()} {self.margin}"

    def graph(self, norms: Norms, precision: str | None = None) -> Any:
        """Return the compiled graph with these norms, by default in the engine's precision."""
        key = norms, precision or self.precision
        if key not in self.graphs:
            self.graphs[key] = self.load(*key)
        return self.graphs[key]

    def load(self, norms: Norms, precision: str) -> Any:
        """Load a compiled graph from the cache, or compile it."""
        openvino = import_openvino()
        core = get_core()
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": thread_count(),
            "PERFORMANCE_HINT": "LATENCY",
        }

        def compile_graph() -> bytes:
            operators = import_operators(openvino.__version__)
            margin = 0 if norms == "given" else self.margin  # tiles have no border
            inputs, outputs = GraphBuilder(operators, self.model, norms).build(margin)
            compiled = io.BytesIO()
            core.compile_model(openvino.Model(outputs, inputs), "CPU", options).export_model(compiled)
            return compiled.getvalue()

        cpu = core.get_property("CPU", "FULL_DEVICE_NAME")
        kind = f"openvino {openvino.__version__} {cpu} {options} {norms}"
        return cached(
            f"{kind} {self.key}", compile_graph, lambda made: core.import_model(made, "CPU", options)
        )

    def run(self, graph: Any, *inputs: np.ndarray) -> list[np.ndarray]:
        """Run a graph. A new request for each call costs nothing, and serves one thread."""
        arrays = [np.ascontiguousarray(values) for values in inputs]
        found = graph.create_infer_request().infer(arrays, share_inputs=True)
        return [found[number] for number in range(len(found))]

    def array(self, values: Any) -> Array:
        return to_numpy(values)

    def stylize(self, images: Array) -> Array:
        origin = np.zeros(2, np.int64)
        return np.concatenate([self.run(self.graph("own"), image[None], origin)[0] for image in images])

    def measure(self, images: Array) -> Array:
        frames = to_bytes(images).transpose(0, 2, 3, 1)
        memory, mix = self.blank_memory(), np.array([[0, 1]], np.float32)
        return self.run(self.graph("running", "float32"), frames, memory, mix)[1]

    def stylize_tile(self, tile: Array, position: tuple[int, int], statistics: Array) -> Array:
        return self.run(self.graph("given"), tile, np.array(position, np.int64), statistics)[0]

    def blank_memory(self) -> np.ndarray:
        return np.zeros((1, self.width), np.float32)

    def stylize_frames(
        self, frames: np.ndarray, memory: np.ndarray, mix: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        pixels, own = self.run(self.graph("running"), frames, memory, mix)
        return pixels, own
