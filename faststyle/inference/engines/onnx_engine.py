"""ONNX Runtime, on a CPU."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from faststyle.inference.engines.cache import cached
from faststyle.inference.engines.onnx_model import OPSET, run_onnx, write_onnx
from faststyle.inference.engines.torch_engine import TorchEngine
from faststyle.inference.export import trace
from faststyle.models.card import ModelCard
from faststyle.models.layout import MIN_SIDE
from faststyle.models.model import Model


class ONNXEngine(TorchEngine):
    """Runs whole images by ONNX Runtime, exported once and cached, and tiles by PyTorch.

    Args:
        model: The model.
        margin: Pixels of the mirrored border.
        device: cpu.
        precision: float32.
    """

    name = "onnx"

    def __init__(self, model: Model, margin: int, device: str, precision: str):
        super().__init__(model, margin, device, precision)
        key = f"onnx {torch.__version__} {OPSET} {model.digest()} {margin}"
        self.session = cached(key, self.convert, run_onnx)

    def convert(self) -> bytes:
        """Return the network as the bytes of an ONNX file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(trace(self.inference), ModelCard(), path)
            return path.read_bytes()

    def stylize(self, images: Tensor) -> Tensor:
        if min(images.shape[2:]) < MIN_SIDE:
            return super().stylize(images)
        return torch.from_numpy(self.session(images.numpy()))
