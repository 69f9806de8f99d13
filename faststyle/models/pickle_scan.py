"""Pickles, looked at before torch opens them: with ``weights_only`` none runs code, but some take all memory.

A pickle of 50 bytes can ask for an array of 10 gigabytes, a deflated archive can swell to a thousand times
its size, and tuples of tuples, as the key of a dict, take years to hash, as lists of lists take to write out.
"""

import io
import os
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from faststyle.errors import UnsupportedModelError, first_line
from faststyle.models.file_kinds import EXPECTED, describe, unsupported

# What the pickles of state dicts name; code and builtins that allocate are not among it.
GLOBALS = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)|(builtins|__builtin__) (set|list|dict|complex)"
    r"|torch (Size|device|bool|b?float\d+\w*|q?u?int\d+|complex\d+|per_tensor_affine|\w+Storage)"
    r"|torch\.storage \w+Storage|torch\.nn\.parameter Parameter|torch\.serialization _get_layout"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|qtensor|sparse_tensor)"
)
LEGACY = 5  # pickles at the start of files before PyTorch 1.6
MOST_PICKLED = 2**22  # bytes of the pickle itself, without the weights
MOST_HELD = 2**25  # values and letters in all, where what is held twice counts twice
GROWING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"}  # what they add to stays on the stack


class Refused(ValueError):
    """Why a pickle is not opened."""


def check_operations(file: IO[bytes]) -> None:
    """Walk through a pickle's operations, of which none is done but to count what each value would hold.

    Raises:
        Refused: it names what no state dict needs, or would take all memory or time.
        ValueError, LookupError: damaged.
    """
    # Each value: how much it holds, and whether it was fetched, so that another may hold it already.
    stack: list[list[int]] = []
    kept: dict[int, list[int]] = {}
    marks: list[int] = []
    held = 0
    argument: Any
    for operation, argument, _ in pickletools.genops(file):
        name, before = operation.name, operation.stack_before
        if name in ("GLOBAL", "INST") and not GLOBALS.fullmatch(str(argument)):
            raise Refused(f"it names {str(argument).replace(' ', '.'):.80}, which no model needs")
        if name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise Refused("it would run code that it does not name")
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            kept[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            kept[argument][1] = 1
            stack.append(kept[argument])
        else:
            marked = pickletools.markobject in before
            at = marks.pop() - before.index(pickletools.markobject) if marked else len(stack) - len(before)
            taken = stack[at:]
            del stack[at:]
            value = taken.pop(0) if name in GROWING else [1, 0]
            more = sum(one[0] for one in taken) + (len(argument) if isinstance(argument, str | bytes) else 0)
            value[0] += more
            held += more
            if held > MOST_HELD or (name in GROWING and value[1]):
                raise Refused("it is built to take years to read")
            stack += [value] * len(operation.stack_after)


def check_archive(file: IO[bytes]) -> None:
    """Refuse a zip that is compressed, which torch never writes, and look through its pickles.

    Raises:
        Refused, ValueError: as of ``check_operations``.
    """
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise Refused("it is compressed, as bombs are and PyTorch's files never")
        for member in members:
            if member.filename.lower().endswith(".pkl"):  # torch finds names whatever their case
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > MOST_PICKLED:
                    raise Refused("its pickle is compressed, or far too large")
                check_operations(io.BytesIO(archive.read(member)))


def load_pickle(path: Path) -> Any:
    """What a file of ``torch.save`` holds, on the CPU.

    Raises:
        UnsupportedModelError: it would run code, or take all memory; or it is damaged, or something else.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                check_archive(file)
            else:
                file.seek(0)
                start = io.BytesIO(file.read(MOST_PICKLED))
                for _ in range(LEGACY):
                    check_operations(start)
            file.seek(0)
            # An open file, since torch.load takes a name that ends in .safetensors for one of these.
            return torch.load(file, map_location="cpu", weights_only=True)
    except Refused as refused:
        raise UnsupportedModelError(f"{path} is not opened, since {refused}; {EXPECTED}", file=path) from None
    # Damaged pickles raise whatever they stumble over; none of them runs code.
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # it may not be opened, as the system says
        what = describe(path)
        why = f" ({first_line(error)})" if what.startswith("a checkpoint") else ""
        raise unsupported(path, what + why) from None
