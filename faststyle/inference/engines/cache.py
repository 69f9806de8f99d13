"""Disk cache for compiled engine models, in the user's cache folder."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faststyle.files import atomic_write
from faststyle.models import layout

MAX_FILES = 40  # the newest are kept
DIGEST_SIZE = hashlib.sha256().digest_size  # bytes at the start of each file
# The modules that define the network.
CODE = [Path(layout.__file__).with_name(name) for name in ("layout.py", "network.py", "layers.py")]
CODE += [Path(__file__).with_name("openvino_graph.py")]


def cached(kind: str, make: Callable[[], bytes], load: Callable[[bytes], Any]) -> Any:
    """Load a compiled model from the cache, or compile it and keep it there.

    Args:
        kind: Version and options of the runtime, and digest of the model.
        make: Compiles the model to bytes.
        load: Loads these bytes; can raise any exception for damaged ones.
    """
    key = hashlib.sha256(kind.encode())
    for source in CODE:
        key.update(source.read_bytes())
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
