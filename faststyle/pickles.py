"""Pickles, looked at before torch opens them: with ``weights_only`` none runs code, but some take all memory.

A pickle of 50 bytes can ask for an array of 10 gigabytes, a deflated archive can swell to a thousand times
its size, and tuples of tuples, as the key of a dict, take years to hash.
"""

import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from faststyle.errors import InputError, first_line
from faststyle.foreign import EXPECTED, describe

# What the pickles of state dicts name; code and builtins that allocate are not among it.
GLOBALS = re.compile(
    r"collections (OrderedDict|defaultdict)|(builtins|__builtin__) (set|list|dict|complex)"
    r"|torch (Size|device|bool|b?float\d+\w*|q?u?int\d+|complex\d+|per_tensor_affine|\w+Storage)"
    r"|torch\.storage \w+Storage|torch\.nn\.parameter Parameter|torch\.serialization _get_layout"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|qtensor|sparse_tensor)"
)
# What leaves no tuple on the stack, so that what is remembered next is none.
NO_TUPLES = {
    "EMPTY_DICT",
    "EMPTY_LIST",
    "EMPTY_SET",
    "DICT",
    "LIST",
    "GLOBAL",
    "BINPERSID",
    "REDUCE",
    "NEWOBJ",
}
NO_TUPLES |= {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING"}
LEGACY = 5  # pickles at the start of files before PyTorch 1.6
SHARED = 24  # fetches of tuples: how often those of a bomb could be nested
MOST_PICKLED = 2**26  # bytes of the pickle itself, without the weights


class Refused(ValueError):
    """Why a pickle is not opened."""


def check_operations(file: IO[bytes]) -> None:
    """Walk through a pickle's operations, of which none is done.

    Raises:
        Refused: it names what no state dict needs, or would take all memory or time.
        ValueError: damaged.
    """
    tuples: set[int] = set()
    fetched = 0
    last = ""
    for operation, argument, _ in pickletools.genops(file):
        name = operation.name
        if name in ("GLOBAL", "INST") and not GLOBALS.fullmatch(str(argument)):
            raise Refused(f"it would run code ({str(argument).replace(' ', '.'):.80})")
        if name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise Refused("it would run code that it does not name")
        if name in ("BINPUT", "LONG_BINPUT", "PUT") and last not in NO_TUPLES:
            tuples.add(int(argument or 0))
        fetched += name in ("BINGET", "LONG_BINGET", "GET") and int(argument or 0) in tuples
        if fetched > SHARED:
            raise Refused("its tuples hold each other over and over, which would take years")
        last = name


def check_archive(path: Path) -> None:
    """Refuse a zip that is compressed, which torch never writes, and look through its pickles.

    Raises:
        Refused, ValueError: as of ``check_operations``.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise Refused("it is compressed, as bombs are and PyTorch's files never")
        for member in members:
            if member.filename.endswith(".pkl"):
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > MOST_PICKLED:
                    raise Refused("its pickle is compressed, or far too large")
                with archive.open(member) as file:
                    check_operations(file)


def load_pickle(path: Path) -> Any:
    """What a file of ``torch.save`` holds, on the CPU.

    Raises:
        InputError: it would run code, or take all memory; or it is damaged, or something else.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                check_archive(path)
            else:
                file.seek(0)
                for _ in range(LEGACY):
                    check_operations(file)
            file.seek(0)
            # An open file, since torch.load takes a name that ends in .safetensors for one of these.
            return torch.load(file, map_location="cpu", weights_only=True)
    except Refused as refused:
        raise InputError(f"{path} is not opened, since {refused}; {EXPECTED}") from None
    # Damaged pickles raise whatever they stumble over; none of them runs code.
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # it may not be opened, as the system says
        what = describe(path)
        why = f" ({first_line(error)})" if what.startswith("a checkpoint") else ""
        raise InputError(f"{path} is {what}{why}; {EXPECTED}") from None
