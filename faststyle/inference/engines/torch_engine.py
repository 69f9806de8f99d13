"""PyTorch and torch.compile, on any device."""

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from faststyle.device import autocast
from faststyle.inference.engines.statistics_network import StatisticsNetwork
from faststyle.models.model import Model
from faststyle.models.network import Inference

Run = Callable[..., Any]

MAX_GRAPHS = 8  # one for each size; each CUDA graph holds its own memory
MAX_GRAPH_VALUES = 3 * 2**23  # for images beyond eight megapixels, launching kernels costs nothing
GPU_BATCH = 4  # frames that a GPU stylizes at once, because one small frame leaves it idle


class TorchEngine:
    """Runs a network by PyTorch.

    Args:
        model: The model.
        margin: Pixels of the mirrored border.
        device: Name of the device.
        precision: float32, bfloat16 or float16.
    """

    name = "torch"

    def __init__(self, model: Model, margin: int, device: str, precision: str):
        self.torch_device, self.dtype = torch.device(device), getattr(torch, precision)
        self.device, self.precision = str(self.torch_device), precision
        self.network = model.build_network().to(self.torch_device)
        self.max_batch = GPU_BATCH if self.torch_device.type == "cuda" else 1
        self.inference = Inference(self.network, margin)
        self.statistics_network = StatisticsNetwork(self.network, margin)
        self.run: Run = self.inference
        self.run_statistics: Run = self.statistics_network.run

    def array(self, values: Any) -> Tensor:
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(np.ascontiguousarray(values))
        return values.detach().to(self.torch_device)

    def stylize(self, images: Tensor) -> Tensor:
        with torch.no_grad(), autocast(self.torch_device, self.dtype):
            return self.run(images)

    def measure(self, images: Tensor) -> Tensor:
        with torch.no_grad():  # in float32
            return self.statistics_network.run(images, None, None)[1]

    def stylize_tile(self, tile: Tensor, position: tuple[int, int], statistics: Tensor) -> Tensor:
        place = torch.tensor(position, device=self.torch_device)
        with torch.no_grad(), autocast(self.torch_device, self.dtype):
            normalize = self.statistics_network.normalize_with(statistics)
            return self.network(tile, 0, place, normalize).clamp(0, 1)

    def blank_memory(self) -> np.ndarray:
        return np.zeros((1, sum(self.statistics_network.widths)), np.float32)

    def stylize_running(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Stylize images with running statistics; see ``StatisticsNetwork.run``."""
        with torch.no_grad(), autocast(self.torch_device, self.dtype):
            return self.run_statistics(*inputs)

    def stylize_frames(
        self, frames: np.ndarray, memory: np.ndarray, mix: np.ndarray
    ) -> tuple[Tensor, np.ndarray]:
        given = torch.from_numpy(frames)
        if self.torch_device.type == "cuda":
            given = given.pin_memory()  # from which copies are twice as fast
        given = given.to(self.torch_device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        images, own = self.stylize_running(given, self.array(memory), self.array(mix))
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return pixels, own.cpu().numpy()


class CompiledEngine(TorchEngine):
    """Runs whole images and frames by torch.compile: first kernels for one size, then for all sizes."""

    name = "compile"

    def __init__(self, model: Model, margin: int, device: str, precision: str):
        super().__init__(model, margin, device, precision)
        self.run = torch.compile(self.inference)
        self.run_statistics = torch.compile(self.statistics_network.run)
        if self.torch_device.type == "cuda":
            self.stylize = Graphs(super().stylize)  # type: ignore[assignment]
            self.stylize_running = Graphs(super().stylize_running)  # type: ignore[method-assign]


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


def find_missing_compiler(device: torch.device) -> str | None:
    """Return what torch.compile lacks on this machine; None if nothing."""
    if device.type == "cuda" or shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        return None
    return "torch.compile needs a C++ compiler on the CPU: install g++"
