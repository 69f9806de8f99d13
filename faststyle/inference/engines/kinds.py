"""The inference backends by name, and the choice of one for this machine. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from faststyle.device import may_have_accelerator, pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.inference.engines.base import Engine
from faststyle.inference.engines.onnx_model import PACKAGES, Exported
from faststyle.models.model import Model
from faststyle.registry import choose

PRECISIONS = {"auto": "", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class EngineKind(NamedTuple):
    """A backend.

    Attributes:
        build: Returns the engine for a model, a margin, a device and a precision.
        missing: Returns why the engine cannot run on a device in a precision; None if it can.
    """

    build: Callable[[Model, int, str, str], Engine]
    missing: Callable[[str, str], str | None]


def build_torch(model: Model, margin: int, device: str, precision: str) -> Engine:
    """Return the engine torch."""
    from faststyle.inference.engines.torch_engine import TorchEngine

    return TorchEngine(model.build_network(), margin, device, precision)


def build_compiled(model: Model, margin: int, device: str, precision: str) -> Engine:
    """Return the engine compile."""
    from faststyle.inference.engines.torch_engine import CompiledEngine

    return CompiledEngine(model.build_network(), margin, device, precision)


def build_openvino(model: Model, margin: int, device: str, precision: str) -> Engine:
    """Return the engine openvino."""
    from faststyle.inference.engines.openvino_engine import OpenVINOEngine

    return OpenVINOEngine(model, margin, device, precision)


def build_onnx(model: Model, margin: int, device: str, precision: str) -> Engine:
    """Return the engine onnx."""
    from faststyle.inference.engines.onnx_engine import ONNXEngine

    return ONNXEngine(model.build_network(), margin, device, precision)


def torch_missing(device: str, precision: str) -> str | None:
    """Return how to install PyTorch if it is not there."""
    return None if find_spec("torch") else "install PyTorch with pip install torch torchvision"


def compile_missing(device: str, precision: str) -> str | None:
    """Return what torch.compile lacks on this machine; None if nothing."""
    if reason := torch_missing(device, precision):
        return reason
    from faststyle.inference.engines.torch_engine import compiler_missing

    return compiler_missing(device)


def cpu_engine_missing(*names: str, extra: str) -> Callable[[str, str], str | None]:
    """Return the ``EngineKind.missing`` of an engine for the CPU that needs packages."""

    def missing(device: str, precision: str) -> str | None:
        if any(find_spec(name) is None for name in names):
            return f"install it with pip install -e '.[{extra}]'"
        if device not in ("auto", "cpu"):
            return f"it computes on the CPU, not on {device}: leave out `device`, or set it to cpu"
        if precision == "fp16":
            return "it does not compute in fp16: leave out `precision`"
        return None

    return missing


ENGINES = {
    "torch": EngineKind(build_torch, torch_missing),
    "compile": EngineKind(build_compiled, compile_missing),
    "openvino": EngineKind(build_openvino, cpu_engine_missing("openvino", extra="cpu")),
    "onnx": EngineKind(build_onnx, cpu_engine_missing("torch", *PACKAGES, extra="onnx")),
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
        if device == "auto" and (may_have_accelerator() and find_spec("torch")):
            device = str(pick_device())
        return "torch" if ENGINES["openvino"].missing(device, precision) else "openvino"
    missing = choose("engine", name, ENGINES).missing(device, precision)
    if missing:
        raise InputError(f"the engine {name} cannot run here: {missing}")
    return name


def available_engines(device: str, precision: str = "fp32") -> list[str]:
    """Return the engines that can run on this machine."""
    return [name for name, kind in ENGINES.items() if not kind.missing(device, precision)]


def build_engine(source: Model | Exported, margin: int, device: str, precision: str, engine: str) -> Engine:
    """Return the engine that runs a model.

    Args:
        source: The model, or an exported one.
        margin: Pixels of the mirrored border.
        device, precision, engine: As for ``Stylizer``.

    Raises:
        InputError: There is no such device, precision or engine on this machine.
    """
    if isinstance(source, Exported):
        return build_exported(source, device, precision, engine)
    name = pick_engine(engine, device, precision)
    kind = ENGINES[name]
    if reason := torch_missing(device, precision) if name == "torch" else None:
        raise InputError(f"no engine can run here: {reason}, or OpenVINO with pip install openvino")
    if name == "openvino":
        from faststyle.inference.engines.openvino_engine import has_fast_bfloat16

        chosen = PRECISIONS[precision] or ("bfloat16" if has_fast_bfloat16() else "float32")
        return kind.build(source, margin, "cpu", chosen)
    if name == "onnx":
        if precision == "bf16":
            raise InputError("the engine onnx computes in fp32: leave out `precision`")
        return kind.build(source, margin, "cpu", "float32")
    found = pick_device(device)
    chosen = str(pick_precision(precision, found)).removeprefix("torch.")
    return kind.build(source, margin, str(found), chosen)


def build_exported(source: Exported, device: str, precision: str, engine: str) -> Engine:
    """Return the engine that runs an exported model.

    Raises:
        InputError: It cannot run on this device, in this precision or by this engine.
    """
    if engine not in ("auto", "onnx"):
        raise InputError(f"an exported model runs in onnx, not in {engine}: leave out `engine`")
    if device not in ("auto", "cpu"):
        raise InputError(f"an exported model computes on the CPU, not on {device}: leave out `device`")
    choose("precision", precision, PRECISIONS)
    if precision in ("bf16", "fp16"):
        raise InputError("the engine onnx computes in fp32: leave out `precision`")
    return source
