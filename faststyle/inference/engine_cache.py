"""What takes seconds to make of a network's weights, kept in the user's cache folder for the next start."""

import hashlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from faststyle.files import atomic_write
from faststyle.inference.temporal_norm import SteadyNetwork
from faststyle.models import layers, network
from faststyle.models.network import Inference

CACHED = 40  # files kept, the newest
DIGEST = hashlib.sha256().digest_size  # bytes at the start of each


def cached(
    kind: str,
    module: Inference | SteadyNetwork,
    make: Callable[[], bytes],
    load: Callable[[bytes], Any],
) -> Any:
    """Load what ``make`` makes of the module's weights, and keep it on the disk for the next start.

    Args:
        kind: what else it depends on: the runtime's version and options.
        module: whose weights, layers and code it depends on.
        make: takes seconds.
        load: raises what it likes where the bytes are damaged.
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
        # Runtimes trust what they are given: a changed byte may end the process.
        if not private(folder) or hashlib.sha256(stored[DIGEST:]).digest() != stored[:DIGEST]:
            raise ValueError(path)
        loaded = load(stored[DIGEST:])
        path.touch()  # the oldest are deleted
        return loaded
    except Exception:  # it is not there, or damaged, or anybody may have put it there
        made = make()
    if not any(isinstance(layer, torch.nn.InstanceNorm2d) for layer in module.modules()):
        return load(made)  # frozen for one picture: it would not be asked for again
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(hashlib.sha256(made).digest() + made)
        for old in sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime)[:-CACHED]:
            old.unlink()
    except OSError:  # a home that cannot be written to, or another process that cleans up as well
        pass
    return load(made)


def private(folder: Path) -> bool:
    """Whether the folder is this user's, and not everybody may write into it."""
    found = folder.stat()
    return not found.st_mode & 0o002 and (os.name == "nt" or found.st_uid == os.getuid())
