"""What was made of a collection of pictures: out/manifest.jsonl, one JSON object a line.

The first line is the head: the model, the flags and the version. Each other line is a picture: its name
below the folder, and "done", or "failed" and why. While a run is under way each of its processes adds
lines to a part of its own; the parts are joined to the manifest at the end, or by the next run.
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
    """The lines of one process, each given to the system before the next; safe for threads."""

    def __init__(self, out: Path, rank: int):
        self.file = (out / PARTS.replace("*", str(rank))).open("ab", buffering=0)
        self.lock = threading.Lock()

    def add(self, name: str, error: str | None = None) -> None:
        entry = {"name": name, "status": "failed" if error else "done"}
        line = json.dumps(entry | ({"error": error} if error else {}))
        with self.lock:
            self.file.write(line.encode() + b"\n")

    def close(self) -> None:
        self.file.close()


def lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each whole line, as bytes and as what it says; one that a killed process tore is passed over.

    And so is one that is none of ours, such as a name that is no text.
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


def entries(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines of pictures."""
    return ((line, entry) for line, entry in lines(path) if "name" in entry)


def lock(out: Path) -> None:
    """Keep other runs out of a folder until this process ends.

    Raises:
        InputError: another run is at work there.
    """
    out.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        return
    place = os.open(out, os.O_RDONLY)  # the folder itself: a file would be left behind
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
    """Make the manifest, or go on with the one that is there, and clear up what a killed run left.

    Raises:
        InputError: the folder's pictures are another model's, or were made with other flags.
    """
    manifest = out / NAME
    if manifest.exists():
        there = next((entry for _, entry in lines(manifest)), {})
        for key in ("model", "flags"):
            if there.get(key) != head[key]:
                raise InputError(
                    f"{manifest} is of another run ({key}: {json.dumps(there.get(key))}, and now "
                    f"{json.dumps(head[key])}): give another `output`, or delete it to make its images anew"
                )
    else:
        with atomic_write(manifest) as temporary:
            temporary.write_bytes(json.dumps(head).encode() + b"\n")
    if any(out.glob(PARTS)):  # else the last run came to its end, and left nothing
        for path in out.rglob(".*"):
            if is_temporary_file(path):
                path.unlink(missing_ok=True)
            elif vips.is_temporary_folder(path):
                shutil.rmtree(path, ignore_errors=True)
    join(out)


def join(out: Path) -> None:
    """Move the lines of all parts into the manifest, in place of older ones of the same pictures."""
    manifest, parts = out / NAME, sorted(out.glob(PARTS))
    if not parts:
        return
    newer: set[str] = set()
    if next(entries(manifest), None):  # the first run's need no names in memory
        newer = {entry["name"] for part in parts for _, entry in entries(part)}
    with atomic_write(manifest) as temporary, temporary.open("wb") as file:
        file.writelines(line for line, entry in lines(manifest) if entry.get("name") not in newer)
        for part in parts:
            file.writelines(line for line, _ in entries(part))
    for part in parts:
        part.unlink()


def made(out: Path, mine: Callable[[str], bool]) -> set[str]:
    """The names of those pictures that are done, by the manifest."""
    found = (entry for _, entry in entries(out / NAME))
    return {entry["name"] for entry in found if entry["status"] == "done" and mine(entry["name"])}
