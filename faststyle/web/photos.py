"""Several photos at once, into one ZIP file."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.image.files import save_image
from faststyle.web.styles import Style, load_stylizer
from faststyle.web.stylize import Look, make_file_name, stylize_image
from faststyle.web.uploads import open_upload

SPARE_BYTES = 200 << 20  # that stay free on the disk


class Progress(NamedTuple):
    """Progress of the photos.

    Attributes:
        image: The newest result; None for a photo that failed.
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
) -> Iterator[Progress]:
    """Stylize photos into a ZIP file. A photo that cannot be read is reported, and the next one follows.

    Args:
        uploads: Paths of the photos.
        name: Name of the style, for the files' names.
        style: The style.
        look: How the results look.
        size: Maximum longer side in pixels; None keeps each photo's size.
        folder: Folder in which a new folder for the file is created.

    Yields:
        The progress after each photo.

    Raises:
        InputError: There is no photo, none can be stylized, or the disk is too full.
    """
    if not uploads:
        raise InputError("Add photos first.")
    stylize, errors = load_stylizer(style.model), list[str]()
    path = Path(tempfile.mkdtemp(dir=folder)) / f"{name}.zip"
    try:
        # Stored, because images are compressed already.
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for number, upload in enumerate(uploads, 1):
                image = None
                try:
                    photo = open_upload(upload, "photo", size)
                    image = stylize_image(photo, stylize, look)
                    file = make_file_name(upload, name, look.settings(photo), image)
                    add_image(archive, image, file, folder)
                except InputError as error:
                    errors.append(str(error))
                yield Progress(image, number, errors)
            names = archive.namelist()
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"The ZIP file cannot be written ({error.strerror}): add fewer photos.") from None
    except InputError:
        path.unlink(missing_ok=True)
        raise
    if not names:
        path.unlink()
        raise InputError("None of the photos could be stylized. " + " ".join(errors))
    yield Progress(None, len(uploads), errors, path)


def add_image(archive: zipfile.ZipFile, image: Image.Image, file: str, folder: str) -> None:
    """Add an image to an archive; a name that is taken gets a number.

    Raises:
        OSError: The disk would be full.
    """
    stem, suffix = Path(file).stem, Path(file).suffix
    number, taken = 1, set(archive.namelist())
    while file in taken:
        number += 1
        file = f"{stem}_{number}{suffix}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        encoded = Path(scratch) / file
        save_image(image, encoded)
        if shutil.disk_usage(folder).free < encoded.stat().st_size + SPARE_BYTES:
            raise OSError(28, "the disk is full")
        archive.write(encoded, file)
