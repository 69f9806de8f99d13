"""Models exported to ONNX, run by ONNX Runtime."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faststyle.device import memory_errors
from faststyle.errors import InputError, OutOfMemoryError, first_line
from faststyle.models.card import METADATA_KEY, ModelCard
from faststyle.models.checkpoint import check_config
from faststyle.models.layers import MIN_SIDE

PACKAGES = "onnx", "onnxscript", "onnxruntime"  # of the extra onnx
PHOTO, PICTURE = "photo", "picture"  # names of a file's input and output


class Exported(nn.Module):
    """A model exported to ONNX, in place of a network.

    It stylizes whole images, (B,3,H,W) RGB in [0,1], with a margin of its own.

    Args:
        path: The file.

    Raises:
        InputError: There is no such file, it is no model of faststyle, or ONNX Runtime is missing.
    """

    def __init__(self, path: Path):
        super().__init__()
        if not path.is_file():
            raise InputError(f"there is no model {path}: export one, or check the path")
        try:
            model = path.read_bytes()
            self.digest = hashlib.sha256(model).hexdigest()
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path, because a session cannot be pickled."""
        return Exported, (self.path,)

    def forward(self, images: Tensor, margin: int, place: Tensor | None = None) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise InputError(f"an exported model takes images of {MIN_SIDE} pixels a side and more")
        try:
            with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
                result = self.run(images)
            if result.shape != images.shape:
                raise ValueError(f"returns {tuple(result.shape)} for {tuple(images.shape)}")
        except OutOfMemoryError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no base class of their own
            raise InputError(f"{self.path} is damaged, export it again ({first_line(error)})") from None
        return result


def run_onnx(model: bytes) -> Callable[[Tensor], Tensor]:
    """Return a function that runs the bytes of an ONNX file: (B,3,H,W) to the same."""
    return session_runner(start_session(model))


def start_session(model: bytes) -> Any:
    """Start ONNX Runtime on the CPU with the bytes of a file."""
    # ONNX Runtime would collect facts about this machine and send them.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def session_runner(session: Any) -> Callable[[Tensor], Tensor]:
    """Return a function that runs a session: (B,3,H,W) to the same."""
    return lambda images: torch.from_numpy(session.run([PICTURE], {PHOTO: images.numpy()})[0])
