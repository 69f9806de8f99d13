"""Check pickles before ``torch.load`` opens them.

With ``weights_only`` no code from a pickle runs, but a pickle can still exhaust memory or time. One of
50 bytes can ask for an array of 10 GB, and a compressed archive can expand to a thousand times its size.
Nested tuples as the key of a dict take years to hash, and nested lists take years to print.
"""

import io
import os
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from faststyle.errors import UnsupportedModelError, first_line
from faststyle.models.file_kinds import (
    PYTORCH_CHECKPOINT,
    SUPPORTED,
    describe_file,
    unsupported_model_error,
)

# What the pickles of state dicts import. Code is not among it, nor are builtins that allocate memory.
ALLOWED_GLOBALS = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)|(builtins|__builtin__) (set|list|dict|complex)"
    r"|torch (Size|device|bool|b?float\d+\w*|q?u?int\d+|complex\d+|per_tensor_affine|\w+Storage)"
    r"|torch\.storage \w+Storage|torch\.nn\.parameter Parameter|torch\.serialization _get_layout"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|qtensor|sparse_tensor)"
)
LEGACY_PICKLES = 5  # at the start of a file that PyTorch before 1.6 wrote
MAX_PICKLE_BYTES = 2**22  # without the weights
MAX_CONTENT = 2**25  # values and characters; those that are referenced twice count twice
# Operations that add to a value and leave it on the stack.
GROWING_OPERATIONS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"}


class UnsafePickleError(ValueError):
    """A pickle that could run code, or exhaust memory or time. The message completes "because …"."""


@dataclass(slots=True)
class StackValue:
    """A value on the stack of the pickle machine.

    Attributes:
        content: Number of values and characters that it holds.
        is_shared: True after another value can hold a reference to it.
    """

    content: int = 1
    is_shared: bool = False


def check_operations(file: IO[bytes]) -> None:
    """Check a pickle's operations without performing them.

    Args:
        file: Positioned at the start of the pickle; afterwards at its end.

    Raises:
        UnsafePickleError: The pickle imports what no state dict needs, or would exhaust memory or time.
        ValueError, LookupError: The pickle is damaged.
    """
    stack: list[StackValue] = []
    memo: dict[int, StackValue] = {}
    marks: list[int] = []
    total = 0
    argument: Any
    for operation, argument, _ in pickletools.genops(file):
        name, before = operation.name, operation.stack_before
        if name in ("GLOBAL", "INST") and not ALLOWED_GLOBALS.fullmatch(str(argument)):
            raise UnsafePickleError(
                f"it imports {str(argument).replace(' ', '.'):.80}, which no state_dict needs "
                "(where the file is a whole network, save its state_dict() instead)"
            )
        if name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise UnsafePickleError("it could run code")
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            memo[argument].is_shared = True
            stack.append(memo[argument])
        else:
            if pickletools.markobject in before:
                start = marks.pop() - before.index(pickletools.markobject)
            else:
                start = len(stack) - len(before)
            taken = stack[start:]
            del stack[start:]
            value = taken.pop(0) if name in GROWING_OPERATIONS else StackValue()
            added = sum(one.content for one in taken)
            if isinstance(argument, str | bytes):
                added += len(argument)
            value.content += added
            total += added
            # A value that grows after others reference it would be counted at its old size there.
            if total > MAX_CONTENT or (name in GROWING_OPERATIONS and value.is_shared):
                raise UnsafePickleError("it could take years to read")
            stack += [value] * len(operation.stack_after)


def check_archive(file: IO[bytes]) -> None:
    """Check that a zip archive is not compressed, as PyTorch writes it, and check its pickles.

    Raises:
        UnsafePickleError: The archive is compressed, or ``check_operations`` refuses a pickle in it.
        ValueError, LookupError: A pickle is damaged.
    """
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise UnsafePickleError("it is compressed, which PyTorch's files never are")
        for member in members:
            if member.filename.lower().endswith(".pkl"):  # torch ignores case in names
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > MAX_PICKLE_BYTES:
                    raise UnsafePickleError("its pickle is compressed or far too large")
                check_operations(io.BytesIO(archive.read(member)))


def load_pickle(path: Path) -> Any:
    """Load a file that ``torch.save`` wrote, to the CPU.

    Raises:
        UnsupportedModelError: The file could run code, or exhaust memory or time; it is damaged; or it is
            not a file of ``torch.save``.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                check_archive(file)
            else:
                file.seek(0)
                start = io.BytesIO(file.read(MAX_PICKLE_BYTES))
                for _ in range(LEGACY_PICKLES):
                    check_operations(start)
            file.seek(0)
            # An open file, because torch.load reads a path that ends in .safetensors as safetensors.
            import torch

            return torch.load(file, map_location="cpu", weights_only=True)
    except UnsafePickleError as error:
        raise UnsupportedModelError(
            f"{path} was not opened because {error}; {SUPPORTED}", file=path
        ) from None
    except ModuleNotFoundError:
        raise  # PyTorch is not installed
    # A damaged pickle can raise any exception; none of them means that code ran.
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the system refuses to open the file
        description = describe_file(path)
        if description == PYTORCH_CHECKPOINT:
            description = f"{description} that cannot be read ({first_line(error)})"
        raise unsupported_model_error(path, description) from None
