"""Models that were exported to ONNX, run by ONNX Runtime; alone knows how to start it."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faststyle.checkpoint import HEADER
from faststyle.errors import InputError, first_line

PHOTO, PICTURE = "photo", "picture"  # what a file calls its input and its output


class Exported(nn.Module):
    """A model that ``infer.py --export`` wrote as ONNX, in place of a network.

    It stylizes pictures whole: (B,3,H,W) RGB in [0,1] to the same, with a margin of its own.

    Args:
        path: the file.

    Raises:
        InputError: no such file, not a model of ours, or ONNX Runtime is missing.
    """

    def __init__(self, path: Path):
        super().__init__()
        if not path.is_file():
            raise InputError(f"there is no model {path}: infer.py --export writes one, or check the path")
        try:
            self.session = onnx_session(path.read_bytes())
            self.card = json.loads(self.session.get_modelmeta().custom_metadata_map[HEADER])
        except ImportError:
            raise InputError(f"{path} needs ONNX Runtime: pip install -e '.[onnx]'") from None
        except Exception as error:  # onnxruntime's have no ancestor of their own
            raise InputError(f"{path} is no model that infer.py exported ({first_line(error)})") from None

    def forward(self, images: Tensor, margin: int) -> Tensor:
        return torch.from_numpy(self.session.run([PICTURE], {PHOTO: images.numpy()})[0])


def onnx_session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
