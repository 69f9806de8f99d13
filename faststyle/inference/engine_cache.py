"""Disk cache for compiled engine models, in the user's cache folder."""

import hashlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from faststyle.files import atomic_write
from faststyle.inference.temporal_norm import VideoNetwork
from faststyle.models import layers, network
from faststyle.models.network import Inference

MAX_FILES = 40  # the newest are kept
DIGEST_SIZE = hashlib.sha256().digest_size  # bytes at the start of each file


def cached(
    kind: str,
    module: Inference | VideoNetwork,
    make: Callable[[], bytes],
    load: Callable[[bytes], Any],
) -> Any:
    """Load a compiled model from the cache, or compile it and keep it there.

    Args:
        kind: Version and options of the runtime, as a part of the key.
        module: The module, whose weights, layers and code are a part of the key.
        make: Compiles the module to bytes.
        load: Loads these bytes; can raise any exception for damaged ones.
    """
    facts = kind, torch.backends.cpu.get_cpu_capability(), module.margin, module, module.network.config
    key = hashlib.sha256(f"{facts}".encode())
    for source in (network.__file__, layers.__file__, inspect.getfile(type(module))):
        key.update(Path(source).read_bytes())
    for weight in module.state_dict().values():
        key.update(weight.detach().cpu().numpy().tobytes())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "faststyle"  # noqa: PTH111
    path = folder / key.hexdigest()[:32]
    try:
        stored = path.read_bytes()
        # Runtimes trust their input: a changed byte can crash the process.
        if not is_private(folder) or hashlib.sha256(stored[DIGEST_SIZE:]).digest() != stored[:DIGEST_SIZE]:
            raise ValueError(path)
        loaded = load(stored[DIGEST_SIZE:])
        path.touch()  # the least recently used are deleted
        return loaded
    except Exception:  # missing, damaged, or in a folder that others can write to
        made = make()
    if not any(isinstance(layer, torch.nn.InstanceNorm2d) for layer in module.modules()):
        return load(made)  # tiles of one image: not needed again
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(hashlib.sha256(made).digest() + made)
        for old in sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime)[:-MAX_FILES]:
            old.unlink()
    except OSError:  # a read-only home, or another process that cleans up
        pass
    return load(made)


def is_private(folder: Path) -> bool:
    """Return True for a folder of this user that not everybody can write to."""
    found = folder.stat()
    return not found.st_mode & 0o002 and (os.name == "nt" or found.st_uid == os.getuid())
