"""Export models as ONNX or as torch.export's archive, checked against torch before the file is in place.

A painting's model or a blend can also be kept as a model's file.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from faststyle.errors import InputError
from faststyle.files import atomic_write, check_writable
from faststyle.inference.engines.onnx_model import OPSET, check_packages, run_onnx, write_onnx
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.checkpoint import write_model
from faststyle.models.find import find_grams, find_model
from faststyle.models.layout import MIN_SIDE
from faststyle.models.network import Inference

MAX_SIDE = 32768  # pixels
CARD_FILE = f"{METADATA_KEY}.json"  # file in torch.export's archive
MODEL_FILE = ".safetensors"

# (B,H,W) at which a file is checked: multiples of the stride, odd sizes, and a batch.
SIZES = ((1, 256, 256), (1, 257, 333), (2, 480, 640))
MAX_DIFFERENCE = 1 / 255  # from torch's values in [0,1]

Run = Callable[[Tensor], Tensor]


def load_inference(checkpoint: str | Path) -> tuple[Inference, ModelCard]:
    """Return the module to export, in float32 on the CPU, and the model's metadata.

    Raises:
        InputError: There is no such model, or the file is no model.
    """
    model = find_model(checkpoint)
    return Inference(model.build_network(), model.card.margin).eval(), model.card


def trace(module: Inference, size: tuple[int, int] | None = None) -> ExportedProgram:
    """Return the module as one graph: (B,3,H,W) RGB in [0,1] to the same.

    Args:
        module: The module.
        size: Height and width of the only images that the graph takes, one at a time; None for batches of
            any size with sides from ``MIN_SIDE`` up.
    """
    if size is not None:
        return torch.export.export(module, (torch.rand(1, 3, *size),))
    sides = {dim: Dim(name, min=MIN_SIDE, max=MAX_SIDE) for dim, name in ((2, "height"), (3, "width"))}
    program = torch.export.export(
        module,
        (torch.rand(2, 3, 66, 83),),
        dynamic_shapes=({0: Dim("batch", min=1), **sides},),
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    # The remaining assertions demand the memory layout of the example, such as contiguous slices. They stop
    # sizes with another layout, although the graph computes the same.
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def export(checkpoint: str | Path, path: str | Path, export_size: tuple[int, int] | None = None) -> str:
    """Write a model for other runtimes, and check that its images equal torch's.

    The file maps float32 RGB in [0,1], (B,3,H,W) of any batch and sides from 32 up, to the same shape. With
    ``export_size`` it takes one image of that size. OpenCV and Core ML need such a file, because they cannot
    compute with sizes.

    Args:
        checkpoint: Name or file of the model, as for ``find_model``.
        path: File that ends in .onnx, in .pt2 for torch.export's archive, or in .safetensors for a model's
            file of faststyle.
        export_size: Width and height in pixels, 32 or more; by default any size.

    Returns:
        A line that says what was written, and how far its images are from torch's.

    Raises:
        InputError: Another suffix, a place that cannot be written, no such model, or missing packages.
        RuntimeError: The file's images differ from torch's; nothing is written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (*WRITERS, MODEL_FILE):
        endings = ", ".join((*WRITERS, MODEL_FILE))
        raise InputError(f"cannot export to {path}: its name must end in one of {endings}")
    if kind == MODEL_FILE:
        if export_size:
            raise InputError(f"`export_size` is for .onnx and .pt2: {MODEL_FILE} takes images of any size")
        return keep_model(checkpoint, path)
    if kind == ".onnx":
        check_packages()
    module, card = load_inference(checkpoint)
    check_writable(path)
    with atomic_write(path) as temporary, torch.no_grad():
        size = (export_size[1], export_size[0]) if export_size else None  # height and width
        WRITERS[kind](trace(module, size), card, temporary)
        sizes = ((1, *size),) if size else SIZES
        apart = max_difference(module, READERS[kind](temporary), sizes)
        if not apart <= MAX_DIFFERENCE:  # also refuses nan
            raise RuntimeError(f"{path} was not written: its images differ by {apart:.5f} from torch's")
    opset = f"opset {OPSET}, " if kind == ".onnx" else ""
    if size:
        return f"{path}: {opset}images of {size[1]}x{size[0]} pixels; within {apart:.5f} of torch"
    shown = ", ".join(f"{f'{b}x' if b > 1 else ''}{height}x{width}" for b, height, width in SIZES)
    return f"{path}: {opset}batch, height and width open; within {apart:.5f} of torch at {shown}"


def keep_model(checkpoint: str | Path, path: Path) -> str:
    """Write a model's file of faststyle, with the Gram matrices of its painting where there are any."""
    model = find_model(checkpoint)
    try:
        grams = find_grams(checkpoint)
    except InputError:  # a blend, or a model without them
        grams = {}
    check_writable(path)
    with atomic_write(path) as temporary:
        write_model(temporary, model, grams)
    return f"{path}: use it as --checkpoint {path}"


def write_archive(program: ExportedProgram, card: ModelCard, path: Path) -> None:
    """Write a graph as torch.export's archive, with the metadata as a file in it."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # source lines and paths of this machine
    with path.open("wb") as file:  # torch demands a name in .pt2, which the temporary file lacks
        torch.export.save(program, file, extra_files={CARD_FILE: json.dumps(card.to_metadata())})


def open_archive(path: Path) -> Run:
    """Load torch.export's archive."""
    with path.open("rb") as file:
        return torch.export.load(file).module()


def run_tensors(run: Callable[[np.ndarray], np.ndarray]) -> Run:
    """Return a function of tensors for one of arrays."""
    return lambda photos: torch.from_numpy(run(photos.numpy()))


WRITERS = {".onnx": write_onnx, ".pt2": write_archive}
READERS: dict[str, Callable[[Path], Run]] = {
    ".onnx": lambda path: run_tensors(run_onnx(path.read_bytes())),
    ".pt2": open_archive,
}


def max_difference(module: Inference, run: Run, sizes: Iterable[tuple[int, int, int]]) -> float:
    """Return the largest difference between a file's images and torch's, over sizes (B,H,W)."""
    generator = torch.Generator().manual_seed(0)
    photos = [torch.rand(b, 3, height, width, generator=generator) for b, height, width in sizes]
    apart = [(run(photo) - module(photo)).abs().max() for photo in photos]
    return float(torch.stack(apart).max())  # nan, if one is
