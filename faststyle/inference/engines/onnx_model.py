"""Models as ONNX files: written from a graph, and run by ONNX Runtime."""

import hashlib
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faststyle.device import memory_errors, thread_count
from faststyle.errors import InputError, OutOfMemoryError, first_line
from faststyle.image.arrays import to_numpy
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.checks import check_config
from faststyle.models.layout import MIN_SIDE

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OPSET = 18  # of 2022, so that most ONNX runtimes read it
PACKAGES = "onnx", "onnxscript", "onnxruntime"  # of the extra onnx
MAX_CONSTANT = 2**28  # values of a constant that is computed when a model of a fixed size is exported
WHOLE_IMAGES_ONLY = "an exported model only stylizes whole images: take the model that it was exported from"
PHOTO, PICTURE = "photo", "picture"  # names of a file's input and output


class Exported:
    """A model exported to ONNX, which is an engine of its own: it stylizes whole images.

    Args:
        path: The file.

    Raises:
        InputError: There is no such file, it is no model of faststyle, or ONNX Runtime is missing.
    """

    name, device, precision = "onnx", "cpu", "float32"

    def __init__(self, path: Path):
        if not path.is_file():
            raise InputError(f"there is no model {path}: export one, or check the path")
        try:
            model = path.read_bytes()
            self.sha256 = hashlib.sha256(model).hexdigest()
            session = start_session(model)
            metadata = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        except ImportError:
            raise InputError(f"{path} needs ONNX Runtime: pip install -e '.[onnx]'") from None
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            raise InputError(
                f"{path} is no model that faststyle exported, or it is damaged: export it again "
                f"({first_line(error)})"
            ) from None
        self.card = ModelCard.from_metadata(metadata, path)
        check_config(path, self.card.network)
        self.path, self.run = path, session_runner(session)
        shape = session.get_inputs()[0].shape  # open sizes have names
        fixed = len(shape) == 4 and all(isinstance(side, int) for side in shape)
        self.size = (shape[2], shape[3]) if fixed else None  # height and width

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path, because a session cannot be pickled."""
        return Exported, (self.path,)

    def digest(self) -> str:
        """Return a digest of the file."""
        return self.sha256

    def array(self, values: Any) -> np.ndarray:
        return to_numpy(values)

    def stylize(self, images: np.ndarray) -> np.ndarray:
        height, width = images.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise InputError(f"an exported model takes images of {MIN_SIDE} pixels a side and more")
        if self.size not in (None, (height, width)):
            raise InputError(
                f"{self.path} takes only images of {self.size[1]}x{self.size[0]} pixels, not "
                f"{width}x{height}: export the model without `export_size`"
            )
        try:
            with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
                # A file with a fixed size takes one image at a time.
                parts = [images] if self.size is None else [image[None] for image in images]
                result = np.concatenate([self.run(part) for part in parts])
            if result.shape != images.shape:
                raise ValueError(f"returns {tuple(result.shape)} for {tuple(images.shape)}")
        except OutOfMemoryError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            raise InputError(f"{self.path} is damaged, export it again ({first_line(error)})") from None
        return result


def check_packages() -> None:
    """Check that the packages that write and read ONNX are there.

    Raises:
        InputError: One is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"exporting to ONNX needs {', '.join(missing)}: pip install -e '.[onnx]'")


def write_onnx(program: "ExportedProgram", card: ModelCard, path: Path) -> None:
    """Write a graph with its weights and metadata to one ONNX file.

    Where the graph has a fixed size, all that depends on it is computed now.
    """
    import onnxscript
    import torch

    opset = getattr(onnxscript, f"opset{OPSET}")

    def remainder(x, divisor):
        # onnxscript 0.7 takes no divisor that depends on the image's size.
        return opset.Mod(x, opset.CastLike(divisor, x))

    is_open = bool(program.range_constraints)
    onnx = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[PHOTO],
        output_names=[PICTURE],
        dynamic_shapes=({0: "batch", 2: "height", 3: "width"},) if is_open else None,
        custom_translation_table={torch.ops.aten.remainder.Scalar: remainder},
        verbose=False,
    )
    assert onnx is not None
    model = onnx.model
    if not is_open:
        # torch folds only small constants, and OpenCV's classic engine cannot compute a convolution's kernel.
        limits = {"input_size_limit": MAX_CONSTANT, "output_size_limit": MAX_CONSTANT}
        onnxscript.optimizer.fold_constants(model, **limits)
        onnxscript.optimizer.remove_unused_nodes(model)
    for node in model.graph:
        node.metadata_props.clear()  # source lines and paths of this machine
    model.graph.metadata_props.clear()
    model.metadata_props[METADATA_KEY] = json.dumps(card.to_metadata())
    onnx.save(path, external_data=False)


def run_onnx(model: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs the bytes of an ONNX file: (B,3,H,W) to the same."""
    return session_runner(start_session(model))


def start_session(model: bytes) -> Any:
    """Start ONNX Runtime on the CPU with the bytes of a file."""
    # ONNX Runtime would collect facts about this machine and send them.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def session_runner(session: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs a session: (B,3,H,W) to the same."""
    return lambda images: session.run([PICTURE], {PHOTO: np.ascontiguousarray(images)})[0]
