"""Folder walking, atomic writes, and checks of paths before they are read or written."""

import os
import re
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faststyle.errors import InputError, one_line

# Of a name that gets a prefix and a suffix. File systems allow 255.
MAX_NAME_BYTES = 200
MAX_NAMED = 5  # files that a message names


def resolve_links(path: Path) -> Path:
    """Return the absolute path without symlinks; a symlink loop stays as it is."""
    return Path(os.path.realpath(path))


def shorten_name(name: str) -> str:
    """Return a name as it is, or the start and a checksum of one of more than ``MAX_NAME_BYTES`` bytes."""
    encoded = os.fsencode(name)
    if len(encoded) <= MAX_NAME_BYTES:
        return name
    return f"{encoded[:MAX_NAME_BYTES].decode(errors='ignore')}{zlib.crc32(encoded):08x}"


def check_inside(target: Path, folder: Path) -> None:
    """Check that no symlink takes an output file out of its folder.

    Raises:
        InputError: The file is a symlink, or lies in a folder that is a symlink out of ``folder``.
    """
    if target.is_symlink():
        raise InputError(f"{target} is a link, and results are not written through links: remove it")
    parent = resolve_links(target.parent)
    if not parent.is_relative_to(resolve_links(folder)):
        raise InputError(f"{target} would be written to {parent}, by a link out of {folder}: remove the link")


def check_links(folder: Path) -> None:
    """Check that no symlink in an output folder leads out of it.

    Raises:
        InputError: A symlink leads out of the folder.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() and not resolve_links(path).is_relative_to(resolve_links(folder)):
            raise InputError(f"{path} is a link out of {folder}, where results are to be written: remove it")


def check_not_special(path: str | Path, name: str) -> None:
    """Check that a path is no pipe, socket or device, because reading one can block or never end.

    Args:
        path: File to be read. Folders pass this check: opening one fails by itself.
        name: Name of the file in the error message.

    Raises:
        FileNotFoundError: The file does not exist.
        InputError: The path is a pipe, socket or device.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(
            f"{name} is a pipe or a device, not a file: save its output to a file first", file=name
        )


@contextmanager
def atomic_write(path: Path, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename that file to ``path`` if the block succeeds.

    A crash leaves the old file or the new one, never half of one.

    Args:
        path: File to create or replace. Missing parent folders are created.
        flush: Flush the data to the disk before renaming, so that a power cut leaves the old file or the
            new one too. This takes longer than encoding an image; pass False for many images.

    Yields:
        The temporary path.

    Raises:
        OSError: The file cannot be written, for example on a full disk; the error names ``path``.
    """
    temporary = path.with_name(f".{shorten_name(path.name)}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a symlink of this name would redirect the write
        yield temporary
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # A failed write names no file, and other failures name the temporary one.
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # the folder may have become read-only
            temporary.unlink(missing_ok=True)


def is_temporary_file(path: Path) -> bool:
    """Return True for a name that ``atomic_write`` gives; a killed process leaves such files behind."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


def check_writable(path: Path) -> None:
    """Check before the work starts that its result can be written, and create the parent folder.

    Raises:
        InputError: The path is a folder, or its parent folder cannot be created or written to.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): give another path") from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder or a symlink to one. A symlink loop is neither."""
    return entry.is_dir(follow_symlinks=False) or os.path.isdir(entry)  # noqa: PTH112


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return True for a regular file or a symlink to one. A symlink loop is neither."""
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry)  # noqa: PTH113


def walk_files(folder: str) -> Iterator[str]:
    """Yield the paths of all files under a folder, without hidden files and folders.

    Symlinks to folders are followed. Each folder is read once, so that links in a ring end. A folder below
    ``folder`` is read under its own name, not under that of a link. Only the names of one folder at a time
    are in memory.

    Args:
        folder: Folder to walk.

    Yields:
        Paths relative to ``folder``.

    Raises:
        OSError: ``folder`` itself cannot be listed. Unreadable subfolders are skipped.
    """
    read: set[tuple[int, int]] = set()  # device and inode of each folder
    folders, links = [""], list[str]()
    while folders or links:
        # Links are followed after all other folders, and in order, so that paths are the same in each run.
        below = folders.pop() if folders else links.pop(links.index(min(links)))
        place = os.path.join(folder, below)  # noqa: PTH118
        try:
            status = os.stat(place)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in read:
                continue
            read.add((status.st_dev, status.st_ino))
            with os.scandir(place) as found:
                entries = [(entry, is_folder(entry), is_file(entry)) for entry in found]
        except FileNotFoundError:  # removed after its parent was listed
            continue
        except PermissionError:
            if not below:
                raise
            continue  # such as lost+found
        for entry, folder_inside, regular in entries:
            if entry.name.startswith("."):
                continue
            if folder_inside:
                (links if entry.is_symlink() else folders).append(f"{below}{entry.name}/")
            elif regular:
                yield below + entry.name


def find_files(folder: Path) -> list[Path]:
    """Return the sorted paths of the files under a folder, without hidden ones.

    Args:
        folder: Folder to search, subfolders included.
    """
    return sorted(folder / name for name in walk_files(str(folder)))


def describe_left_out(folder: Path, others: list[Path], kinds: str) -> str:
    """Return a line on the files of a folder that are left out because they are none of ``kinds``."""
    names = name_some([path.relative_to(folder) for path in others])
    return one_line(f"{folder} has other files than {kinds}, which are left out ({len(others):,}): {names}")


def name_some(paths: list[Path]) -> str:
    """Return the first ``MAX_NAMED`` names of a list, and how many more there are."""
    names = ", ".join(map(str, paths[:MAX_NAMED]))
    return names + (f" and {len(paths) - MAX_NAMED:,} more" if len(paths) > MAX_NAMED else "")
