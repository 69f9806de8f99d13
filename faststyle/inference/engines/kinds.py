"""The inference backends by name, and the choice of one for this machine. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, cast

from faststyle.device import PRECISIONS, may_have_accelerator, pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.inference.engines.base import Engine, ImageEngine
from faststyle.inference.engines.onnx_model import PACKAGES, Exported
from faststyle.models.model import Model
from faststyle.registry import choose

INSTALL_TORCH = "install PyTorch with pip install torch torchvision array-api-compat"


class EngineKind(NamedTuple):
    """A backend.

    Attributes:
        module: Its module in this package.
        cls: Its class, which takes a model, a margin, a device and a precision.
        missing: Returns why it cannot run on a device in a precision, as the user gives them; None if it can.
    """

    module: str
    cls: str
    missing: Callable[[str, str], str | None]

    def build(self, model: Model, margin: int, device: str, precision: str) -> Engine:
        """Return the engine for a model."""
        module = import_module(f"{__package__}.{self.module}")
        return cast(Engine, getattr(module, self.cls)(model, margin, device, precision))


def find_missing_torch(device: str, precision: str) -> str | None:
    """Return how to install PyTorch if it is not there."""
    return None if find_spec("torch") else INSTALL_TORCH


def find_missing_compiler(device: str, precision: str) -> str | None:
    """Return what torch.compile lacks on this machine; None if nothing."""
    if reason := find_missing_torch(device, precision):
        return reason
    from faststyle.inference.engines.torch_engine import find_missing_compiler

    return find_missing_compiler(pick_device(device))


def require(*packages: str, extra: str, precisions: tuple[str, ...]) -> Callable[[str, str], str | None]:
    """Return the ``EngineKind.missing`` of an engine for the CPU.

    Args:
        packages: Packages that the engine needs.
        extra: Extra that installs them.
        precisions: Keys of ``PRECISIONS`` that the engine computes in.
    """

    def find_missing(device: str, precision: str) -> str | None:
        if any(find_spec(name) is None for name in packages):
            return f"install it with pip install -e '.[{extra}]'"
        if device not in ("auto", "cpu"):
            return f"it computes on the CPU, not on {device}: leave out `device`, or set it to cpu"
        if precision not in precisions:
            return f"it does not compute in {precision}: leave out `precision`"
        return None

    return find_missing


OPENVINO = require("openvino", extra="cpu", precisions=("auto", "fp32", "bf16"))
ONNX = require("torch", *PACKAGES, extra="onnx", precisions=("auto", "fp32"))
ENGINES = {
    "torch": EngineKind("torch_engine", "TorchEngine", find_missing_torch),
    "compile": EngineKind("torch_engine", "CompiledEngine", find_missing_compiler),
    "openvino": EngineKind("openvino_engine", "OpenVINOEngine", OPENVINO),
    "onnx": EngineKind("onnx_engine", "ONNXEngine", ONNX),
}


def pick_engine(name: str, device: str, precision: str) -> str:
    """Return the engine with this name; for auto the one that is fastest from the first image on.

    Args:
        name: auto, or a key of ``ENGINES``.
        device: auto, or a device's name.
        precision: A key of ``PRECISIONS``.

    Raises:
        InputError: There is no such engine, precision or device, or the engine cannot run on this machine.
    """
    choose("precision", precision, PRECISIONS)
    if name == "auto":
        if device == "auto" and may_have_accelerator() and find_spec("torch"):
            device = str(pick_device())
        reason = ENGINES["openvino"].missing(device, precision)
        if reason and find_missing_torch(device, precision):
            raise InputError(f"the engine openvino cannot run here: {reason}, or {INSTALL_TORCH}")
        return "torch" if reason else "openvino"
    reason = choose("engine", name, ENGINES).missing(device, precision)
    if reason:
        raise InputError(f"the engine {name} cannot run here: {reason}")
    return name


def available_engines(device: str, precision: str = "fp32") -> list[str]:
    """Return the engines that can run on this machine."""
    return [name for name, kind in ENGINES.items() if not kind.missing(device, precision)]


def build_engine(
    source: Model | Exported, margin: int, device: str, precision: str, engine: str
) -> ImageEngine:
    """Return the engine that runs a model; an exported model is one itself.

    Args:
        source: The model, or an exported one.
        margin: Pixels of the mirrored border.
        device, precision, engine: As for ``Stylizer``.

    Raises:
        InputError: There is no such device, precision or engine on this machine.
    """
    if isinstance(source, Exported):
        if engine not in ("auto", "onnx"):
            raise InputError(f"an exported model runs in onnx, not in {engine}: leave out `engine`")
        pick_engine("onnx", device, precision)
        return source
    name = pick_engine(engine, device, precision)
    if name == "openvino":
        from faststyle.inference.engines.openvino_engine import supports_bfloat16

        chosen = PRECISIONS[precision] or ("bfloat16" if supports_bfloat16() else "float32")
        return ENGINES[name].build(source, margin, "cpu", chosen)
    if name == "onnx":
        return ENGINES[name].build(source, margin, "cpu", "float32")
    found = pick_device(device)
    chosen = str(pick_precision(precision, found)).removeprefix("torch.")
    return ENGINES[name].build(source, margin, str(found), chosen)
