"""Files: walk folders, write atomically, and refuse to write through links."""

import os
import re
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faststyle.errors import InputError

MOST = 200  # bytes of a name that gets something added: file systems take 255


def real(path: Path) -> Path:
    """A path without links; of links in a ring, as they are."""
    return Path(os.path.realpath(path))


def cut(name: str) -> str:
    """A name; of one longer than ``MOST`` bytes its start, and a checksum of the whole."""
    whole = os.fsencode(name)
    return name if len(whole) <= MOST else f"{whole[:MOST].decode(errors='ignore')}{zlib.crc32(whole):08x}"


def check_inside(target: Path, folder: Path) -> None:
    """Refuse a file to be written that a link has outside of a folder.

    Raises:
        InputError: it is a link itself, or lies in a folder that is one.
    """
    if target.is_symlink():
        raise InputError(f"{target} is a link, and results are not written through links: remove it")
    if not (place := real(target.parent)).is_relative_to(real(folder)):
        raise InputError(f"{target} would be written to {place}, by a link out of {folder}: remove the link")


def check_links(folder: Path) -> None:
    """Refuse a folder to be written to in which a link leads out of it.

    Raises:
        InputError: there is such a link.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() and not real(path).is_relative_to(real(folder)):
            raise InputError(f"{path} is a link out of {folder}, where results are to be written: remove it")


def check_ordinary(path: str | Path, name: str) -> None:
    """Refuse what would wait for a writer, or never end.

    Raises:
        FileNotFoundError, IsADirectoryError: as of ``open``.
        InputError: a pipe, a device or the like has this name.
    """
    if not stat.S_ISREG(mode := Path(path).stat().st_mode) and not stat.S_ISDIR(mode):
        raise InputError(
            f"{name} is a pipe or a device, not a file: save what comes from it first", file=name
        )


@contextmanager
def replacing(path: Path, flush: bool = True) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and rename it when all went well.

    So a crash leaves the old file or the new one, never half of one.

    Args:
        path: the file to make, or to replace.
        flush: bring what was written to the disk before it gets its name, so that a power cut leaves the
            old file or the new one too. That takes longer than a picture, of which there are many.

    Raises:
        OSError: what the system refuses, such as a full disk, in the name of ``path``.
    """
    temporary = path.with_name(f".{cut(path.name)}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link would lead elsewhere
        yield temporary
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # Of writing it names no file, and otherwise the temporary one.
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # a folder that has become read-only
            temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that ``replacing`` gives, and so is left of a writer who was killed."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


def check_place(path: Path) -> None:
    """Refuse before the work what could not be written after it; its folder is made.

    Raises:
        InputError: a folder has this name, or its own folder cannot be made or written to.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file's name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): give another place") from None


def leads_to_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one; a link in a ring is none."""
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry)  # noqa: PTH113


def files(folder: str, below: str = "") -> Iterator[str]:
    """The files' places below a folder, hidden ones left out; one folder's names in memory at a time."""
    try:
        with os.scandir(os.path.join(folder, below)) as found:  # noqa: PTH118
            entries = [
                (entry.name, entry.is_dir(follow_symlinks=False), leads_to_file(entry)) for entry in found
            ]
    except FileNotFoundError:  # it was there when its parent was listed
        return
    except PermissionError:
        if not below:
            raise
        return  # as of lost+found
    for name, is_folder, is_file in entries:
        if name.startswith("."):
            continue
        if is_folder:
            yield from files(folder, f"{below}{name}/")
        elif is_file:
            yield below + name


def find_files(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The files under ``folder`` that are wanted, sorted; hidden ones are left out."""
    return sorted(path for name in files(str(folder)) if wanted(path := folder / name))
