"""Several photos at once, into one ZIP file."""

import errno
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import save_image
from faststyle.inference.stylizer import Stylizer
from faststyle.web.styles import Style, load_stylizer
from faststyle.web.stylize import Look, make_file_name, stylize_image
from faststyle.web.uploads import open_upload
from faststyle.web.waiting import Stage, Waiting, Worker

MIN_FREE_BYTES = 200 << 20  # of the disk, after a photo was added
PHOTOS = Worker()


class Progress(NamedTuple):
    """Progress of the photos.

    Attributes:
        image: The newest result; None for a photo that failed, and at the end.
        done: Number of photos done, with those that failed.
        errors: Why photos failed, each with its file's name.
        file: The ZIP file, once it is complete.
    """

    image: Image.Image | None
    done: int
    errors: list[str]
    file: Path | None = None


def stylize_photos(
    uploads: Sequence[str], name: str, style: Style, look: Look, size: int | None, folder: str
) -> Iterator[Waiting | Progress]:
    """Stylize photos into a ZIP file. A photo that cannot be read is reported, and the next one follows.

    Args:
        uploads: Paths of the photos.
        name: Name of the style, for the files' names.
        style: The style.
        look: How the results look.
        size: Maximum longer side in pixels; None keeps each photo's size.
        folder: Folder in which a new folder for the file is created.

    Yields:
        The progress after each photo, and about every second how long the present one takes.

    Raises:
        InputError: There is no photo, none can be stylized, or the disk is too full.
    """
    if not uploads:
        raise InputError("Add photos first.")
    target, finished = Path(tempfile.mkdtemp(dir=folder)), False
    try:
        yield from write_archive(uploads, name, style, look, size, target / f"{name}.zip")
        finished = True
    except OSError as error:
        raise InputError(f"The ZIP file cannot be written ({error.strerror}): add fewer photos.") from None
    finally:
        if not finished:  # also after Stop
            shutil.rmtree(target, ignore_errors=True)


def write_archive(
    uploads: Sequence[str], name: str, style: Style, look: Look, size: int | None, path: Path
) -> Iterator[Waiting | Progress]:
    """Stylize photos into a ZIP file; see ``stylize_photos``.

    Raises:
        InputError: No photo could be stylized.
        OSError: The file cannot be written.
    """
    stylize, errors = load_stylizer(style.model), list[str]()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # images are compressed already
        for number, upload in enumerate(uploads, 1):
            image = None
            try:
                run = partial(stylize_upload, upload, stylize, look, size)
                for step in PHOTOS.follow(run, f"Reading photo {number}"):
                    if isinstance(step, Waiting):
                        yield step
                    else:
                        image = step.value
                assert image is not None
                add_image(archive, image, make_file_name(upload, name, look.settings(image), image))
            except InputError as error:
                errors.append(str(error))
            yield Progress(image, number, errors)
        names = archive.namelist()
    if not names:
        raise InputError("None of the photos could be stylized. " + " ".join(errors))
    yield Progress(None, len(uploads), errors, path)


def stylize_upload(upload: str, stylize: Stylizer, look: Look, size: int | None, stage: Stage) -> Image.Image:
    """Read and stylize a photo; the arguments are those of ``stylize_photos``."""
    stage.text = f"Stylizing {Path(upload).name}"
    return stylize_image(open_upload(upload, "photo", size), stylize, look)


def add_image(archive: zipfile.ZipFile, image: Image.Image, file: str) -> None:
    """Add an image to an archive; a name that is taken gets a number.

    Raises:
        OSError: The disk would be full.
    """
    stem, suffix = Path(file).stem, Path(file).suffix
    number, taken = 1, set(archive.namelist())
    while file in taken:
        number += 1
        file = f"{stem}_{number}{suffix}"
    with tempfile.TemporaryDirectory(dir=Path(str(archive.filename)).parent) as scratch:
        encoded = Path(scratch) / file
        save_image(image, encoded)
        if shutil.disk_usage(scratch).free < encoded.stat().st_size + MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, "the disk is full")
        archive.write(encoded, file)
