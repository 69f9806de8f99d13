"""Models that were exported to ONNX, run by ONNX Runtime; alone knows how to start it."""

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
PHOTO, PICTURE = "photo", "picture"  # what a file calls its input and its output


class Exported(nn.Module):
    """A model exported to ONNX, in place of a network.

    It stylizes pictures whole: (B,3,H,W) RGB in [0,1] to the same, with a margin of its own.

    Args:
        path: the file.

    Raises:
        InputError: no such file, not a model of ours, or ONNX Runtime is missing.
    """

    def __init__(self, path: Path):
        super().__init__()
        if not path.is_file():
            raise InputError(f"there is no model {path}: export one, or check the path")
        try:
            model = path.read_bytes()
            self.digest = hashlib.sha256(model).hexdigest()
            session = start(model)
            metadata = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        except ImportError:
            raise InputError(f"{path} needs ONNX Runtime: pip install -e '.[onnx]'") from None
        except Exception as error:  # onnxruntime's have no ancestor of their own
            raise InputError(
                f"{path} is no model that faststyle exported, or it is damaged: export it again "
                f"({first_line(error)})"
            ) from None
        self.card = ModelCard.from_metadata(metadata, path)
        check_config(path, self.card.network)
        self.path, self.run = path, runner(session)

    def forward(self, images: Tensor, margin: int, place: Tensor | None = None) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < MIN_SIDE:
            raise InputError(f"an exported model takes images of {MIN_SIDE} pixels a side and more")
        try:
            with memory_errors(f"{width}x{height} pixels", "take a smaller image, or lower `max_size`"):
                pictures = self.run(images)
            if pictures.shape != images.shape:
                raise ValueError(f"gives {tuple(pictures.shape)} for {tuple(images.shape)}")
        except OutOfMemoryError:
            raise
        except Exception as error:  # onnxruntime's have no ancestor of their own
            raise InputError(f"{self.path} is damaged, export it again ({first_line(error)})") from None
        return pictures


def run_onnx(model: bytes) -> Callable[[Tensor], Tensor]:
    """What runs the bytes of an ONNX file: (B,3,H,W) to the same."""
    return runner(start(model))


def start(model: bytes) -> Any:
    # It would store what this machine is, and send it; once imported it is too late to say no.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def runner(session: Any) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.from_numpy(session.run([PICTURE], {PHOTO: images.numpy()})[0])
