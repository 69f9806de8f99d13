"""Name, check and lock the folder of a run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from faststyle.errors import InputError
from faststyle.files import atomic_write, check_links, is_temporary_file, shorten_name
from faststyle.models.runs import RUNS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LAST = "last.ckpt"
LOCK = ".lock"  # in the run's folder during training
# Options of earlier versions, as pairs of a group and a name, which saved settings may hold.
REMOVED_OPTIONS = [(None, "teacher"), ("model", "teacher"), ("model", "teacher_weight"), ("model", "alone")]


def name_run(style: Sequence[str], name: str | None, output: str | None) -> tuple[str, Path]:
    """Return the name and the folder of a run.

    Args:
        style: The style images; the first one gives the name if neither ``name`` nor ``output`` does.
        name: Name of the run; by default that of ``output``.
        output: Folder of the run; by default runs/NAME.

    Raises:
        InputError: The name cannot be a file's name.
    """
    name = name or (output and Path(output).resolve().name) or Path(style[0]).stem
    if Path(name).name != name:
        raise InputError(f"`name` {name} must be a plain name, without a path: `output` gives the folder")
    if shorten_name(name) != name:
        raise InputError(f"`name` {name} is too long for a file's name: give a shorter `name`")
    return name, Path(output or RUNS / name)


def can_start_in(folder: Path) -> bool:
    """Return True if a folder is empty, or holds only the files of a run that saved no state yet."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not is_temporary_file(path) and path.name != LOCK}
    if not names <= {"config.yaml", "logs", "previews"}:
        return False
    config = folder / "config.yaml"  # written first; its first line shows that a run wrote it
    return not names or (config.is_file() and config.read_bytes().startswith(b"# pytorch_lightning"))


def check_folder(folder: Path, resumes: bool) -> None:
    """Check that a run may write into its folder.

    Raises:
        InputError: The folder holds another run, or other files, or links that lead out of it.
    """
    if not resumes and (folder / LAST).exists():
        raise InputError(
            f"{folder} already holds a run: continue it with `resume`, or start another with another `name`"
        )
    if not resumes and folder.exists() and not can_start_in(folder):
        raise InputError(f"{folder} exists and is not an empty folder: give another `output` or `name`")
    check_links(folder)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; the system releases the lock when the process ends, however it ends.

    Raises:
        InputError: Another process trains in it.
    """
    path = folder / LOCK
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                # With flock, workers would keep the lock for a while after kill -9 of this process.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise InputError(
                    f"another process trains in {folder}: wait for its end, or give another `output`"
                ) from None
            except OSError:
                pass  # the file system has no locks
        try:
            yield
        finally:
            with suppress(OSError):  # the folder may have become read-only
                path.unlink(missing_ok=True)


def remove_old_options(config: Path) -> None:
    """Remove options that no longer exist from the settings of a run."""
    try:
        settings = yaml.safe_load(config.read_text())
        groups = {None: settings, "model": settings["model"]}
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError):
        return  # the parser reports damaged settings
    found = [
        (group, key)
        for group, key in REMOVED_OPTIONS
        if isinstance(groups[group], dict) and key in groups[group]
    ]
    for group, key in found:
        del groups[group][key]
    if found:
        text = config.read_text().partition("\n")[0] + "\n" + yaml.safe_dump(settings, sort_keys=False)
        with atomic_write(config) as temporary:
            temporary.write_text(text)
