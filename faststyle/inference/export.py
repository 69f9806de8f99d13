"""A model as a file for other runtimes: ONNX, or torch.export's archive, checked before it has its name."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from faststyle.errors import InputError
from faststyle.files import atomic_write, check_writable
from faststyle.inference.onnx_model import PACKAGES, PHOTO, PICTURE, run_onnx
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.find import find_model
from faststyle.models.layers import MIN_SIDE
from faststyle.models.network import Inference

OPSET = 18  # of ONNX: of 2022, so that most runtimes read it
LARGEST = 32768  # pixels of a side
CARD_FILE = f"{METADATA_KEY}.json"  # the card's place in torch.export's archive

# (B,H,W) that each file is tried at: whole multiples, odd ones, and several photos at once.
SIZES = ((1, 256, 256), (1, 257, 333), (2, 480, 640))
ALLOWED = 1 / 255  # how far apart a grey level may be: one of 8 bits

Run = Callable[[Tensor], Tensor]


def inference(checkpoint: str | Path) -> tuple[Inference, ModelCard]:
    """The module that is exported, in float32 on the CPU, and the model's card.

    Raises:
        InputError: no such model, or not a model.
    """
    network, card = find_model(checkpoint)
    return Inference(network, card.margin).eval(), card


def trace(module: Inference) -> ExportedProgram:
    """The module as one graph, its sizes left open: (B,3,H,W) RGB in [0,1], sides from ``MIN_SIDE`` up."""
    sides = {dim: Dim(name, min=MIN_SIDE, max=LARGEST) for dim, name in ((2, "height"), (3, "width"))}
    program = torch.export.export(
        module,
        (torch.rand(2, 3, 66, 83),),
        dynamic_shapes=({0: Dim("batch", min=1), **sides},),
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    # Those left hold the example's memory layout to be everyone's (is a cut contiguous?), and stop sizes
    # whose layout differs, where the graph would compute the same.
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def export(checkpoint: str | Path, path: str | Path) -> str:
    """Write a model for other runtimes, and check that they give torch's picture.

    The file takes float32 RGB in [0,1], (B,3,H,W) of any batch and of sides from 32 up, and gives the same.

    Args:
        checkpoint: what ``find_model`` takes.
        path: ends in .onnx, or in .pt2 for torch.export's archive.

    Returns:
        A line that says what was written, and how far from torch its pictures are.

    Raises:
        InputError: another suffix, a place that cannot be written, no such model, packages missing.
        RuntimeError: the file gives other pictures than torch; nothing is written then.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in WRITERS:
        raise InputError(f"cannot export to {path}: its name must end in one of {', '.join(WRITERS)}")
    if kind == ".onnx":
        check_packages()
    module, card = inference(checkpoint)
    check_writable(path)
    with atomic_write(path) as temporary, torch.no_grad():
        WRITERS[kind](trace(module), card, temporary)
        apart = distance(module, READERS[kind](temporary))
        if not apart <= ALLOWED:  # so that nan is refused too
            raise RuntimeError(f"{path} was not written: it would be {apart:.5f} from torch's picture")
    opset = f"opset {OPSET}, " if kind == ".onnx" else ""
    sizes = ", ".join(f"{f'{b}x' if b > 1 else ''}{height}x{width}" for b, height, width in SIZES)
    return f"{path}: {opset}batch, height and width open; within {apart:.5f} of torch at {sizes}"


def check_packages() -> None:
    """Raises: InputError: a package that writes or reads ONNX is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"exporting to ONNX needs {', '.join(missing)}: pip install -e '.[onnx]'")


def write_onnx(program: ExportedProgram, card: ModelCard, path: Path) -> None:
    """One file, weights and card in it."""
    from onnxscript import opset18

    def remainder(x, divisor):
        # onnxscript's own takes no divisor that hangs on the photo's size (0.7).
        return opset18.Mod(x, opset18.CastLike(divisor, x))

    onnx = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[PHOTO],
        output_names=[PICTURE],
        dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
        custom_translation_table={torch.ops.aten.remainder.Scalar: remainder},
        verbose=False,
    )
    assert onnx is not None
    model = onnx.model
    for node in model.graph:
        node.metadata_props.clear()  # lines of our source, and the folder that it lies in
    model.graph.metadata_props.clear()
    model.metadata_props[METADATA_KEY] = json.dumps(card.to_metadata())
    onnx.save(path, external_data=False)


def write_archive(program: ExportedProgram, card: ModelCard, path: Path) -> None:
    """torch.export's archive, with the card beside the graph."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of our source, and the folder that it lies in
    with path.open("wb") as file:  # since torch would have the name end in .pt2
        torch.export.save(program, file, extra_files={CARD_FILE: json.dumps(card.to_metadata())})


def open_archive(path: Path) -> Run:
    with path.open("rb") as file:
        return torch.export.load(file).module()


WRITERS = {".onnx": write_onnx, ".pt2": write_archive}
READERS: dict[str, Callable[[Path], Run]] = {
    ".onnx": lambda path: run_onnx(path.read_bytes()),
    ".pt2": open_archive,
}


def distance(module: Inference, run: Run) -> float:
    """The largest difference between what ``run`` and torch make of the same photos, over ``SIZES``."""
    generator = torch.Generator().manual_seed(0)
    photos = [torch.rand(b, 3, height, width, generator=generator) for b, height, width in SIZES]
    apart = [(run(photo) - module(photo)).abs().max() for photo in photos]
    return float(torch.stack(apart).max())  # nan, if one is
