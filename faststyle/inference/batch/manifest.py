"""The manifest of a collection: out/manifest.jsonl, with one JSON object a line.

The first line is the head: the model, the options and the version. Each other line is an image: its name
below the folder, and "done", or "failed" and the error. During a run each rank appends to a part of its own.
The parts are joined to the manifest at the end, or by the next run.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faststyle.errors import InputError
from faststyle.files import atomic_write, is_temporary_file
from faststyle.image import vips

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "manifest.jsonl"
PARTS = ".manifest.*.jsonl"

Head = dict[str, Any]


class Part:
    """The lines of one rank, each written before the next; safe for threads."""

    def __init__(self, out: Path, rank: int):
        self.file = (out / PARTS.replace("*", str(rank))).open("ab", buffering=0)
        self.lock = threading.Lock()

    def add(self, name: str, error: str | None = None) -> None:
        """Append the line of an image, with its error if it failed."""
        entry = {"name": name, "status": "failed" if error else "done"}
        line = json.dumps(entry | ({"error": error} if error else {}))
        with self.lock:
            self.file.write(line.encode() + b"\n")

    def close(self) -> None:
        self.file.close()


def read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each complete line as bytes and as JSON.

    Lines that a killed rank left incomplete are skipped, and lines of other programs.
    """
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(entry, dict) or not line.endswith(b"\n"):
                continue
            if "name" not in entry or (isinstance(entry["name"], str) and "status" in entry):
                yield line, entry


def read_entries(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield the lines of images."""
    return ((line, entry) for line, entry in read_lines(path) if "name" in entry)


def lock(out: Path) -> None:
    """Lock a folder until this process ends.

    Raises:
        InputError: Another run is writing to it.
    """
    out.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        return
    place = os.open(out, os.O_RDONLY)  # the folder itself, because a lock file would stay
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        raise InputError(
            f"another run is writing to {out}: wait for its end, or give another `output`"
        ) from None
    except OSError:  # a file system without locks
        os.close(place)


def begin(out: Path, head: Head) -> None:
    """Create the manifest or continue the one that is there, and remove temporary files of a killed run.

    Raises:
        InputError: The folder's images were made by another model or with other options.
    """
    manifest = out / NAME
    if manifest.exists():
        there = next((entry for _, entry in read_lines(manifest)), {})
        for key in ("model", "flags"):
            if there.get(key) != head[key]:
                raise InputError(
                    f"{manifest} belongs to another run ({key}: {json.dumps(there.get(key))}, and now "
                    f"{json.dumps(head[key])}): give another `output`, or delete it to make its images anew"
                )
    else:
        with atomic_write(manifest) as temporary:
            temporary.write_bytes(json.dumps(head).encode() + b"\n")
    if any(out.glob(PARTS)):  # a run that ended well leaves none
        for path in out.rglob(".*"):
            if is_temporary_file(path):
                path.unlink(missing_ok=True)
            elif vips.is_temporary_folder(path):
                shutil.rmtree(path, ignore_errors=True)
    join(out)


def join(out: Path) -> None:
    """Move the lines of all parts into the manifest, in place of older ones of the same images."""
    manifest, parts = out / NAME, sorted(out.glob(PARTS))
    if not parts:
        return
    newer: set[str] = set()
    if next(read_entries(manifest), None):  # the first run needs no names in memory
        newer = {entry["name"] for part in parts for _, entry in read_entries(part)}
    with atomic_write(manifest) as temporary, temporary.open("wb") as file:
        file.writelines(line for line, entry in read_lines(manifest) if entry.get("name") not in newer)
        for part in parts:
            file.writelines(line for line, _ in read_entries(part))
    for part in parts:
        part.unlink()


def done_names(out: Path, mine: Callable[[str], bool]) -> set[str]:
    """Return the names of the images that are done, limited to those that ``mine`` accepts."""
    found = (entry for _, entry in read_entries(out / NAME))
    return {entry["name"] for entry in found if entry["status"] == "done" and mine(entry["name"])}
