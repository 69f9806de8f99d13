"""A session's own styles: paintings and models that were dropped, and models trained on this computer."""

import os
import shutil
import tempfile
from pathlib import Path

from faststyle.errors import InputError
from faststyle.image.files import open_image, save_image
from faststyle.inference.contact_sheet import caption
from faststyle.models import pretrained
from faststyle.models.runs import trained_models
from faststyle.web import uploads
from faststyle.web.styles import DEFAULT_STYLE, Style, Styles, list_styles, load_shared_stylizer
from faststyle.web.training import make_model_name

MODEL_SUFFIX = ".safetensors"


def add_painting(upload: str, own: Styles) -> Styles:
    """Add a copy of an uploaded painting.

    Raises:
        InputError: The upload is no image, or too large.
        OSError: The disk is full.
    """
    uploads.open_upload(upload, "painting")
    name, file = name_style(upload, own), copy_upload(upload)
    return own | {name: Style(f"{format_name(name)} (yours)", file, file, file, folder=file.parent)}


def add_model(upload: str, own: Styles) -> Styles:
    """Add a copy of an uploaded model, with a sample image that it makes.

    Raises:
        InputError: The upload is no model, or one of another kind than safetensors, which can run code.
        OSError: The disk is full.
    """
    file = Path(uploads.find_upload(upload, "model"))
    if file.suffix != MODEL_SUFFIX:
        raise InputError(f"The page opens only {MODEL_SUFFIX} models: {file.name} is none.")
    file = copy_upload(upload)
    sample = file.with_suffix(".webp")
    try:
        stylize = load_shared_stylizer(file)
        save_image(stylize(open_image(pretrained.sample_path(DEFAULT_STYLE))), sample)
    except InputError as error:
        shutil.rmtree(file.parent)
        raise InputError(uploads.remove_folder(str(error), str(file))) from None
    name = name_style(upload, own)
    title = caption(f"{format_name(name)} (yours)", stylize.card)
    return own | {name: Style(title, file, sample, None, folder=file.parent)}


def copy_upload(upload: str) -> Path:
    """Copy an upload into a folder of its own, because Gradio deletes uploads within the hour."""
    folder = tempfile.mkdtemp(prefix="style_", dir=os.environ["GRADIO_TEMP_DIR"])
    return Path(shutil.copy(upload, folder))


def find_trained_styles() -> Styles:
    """Return the models that this computer trained under ``runs/``, with the samples of their runs."""
    found = {}
    for name, file in trained_models().items():
        sample = file.with_name("sample.jpg")
        if name not in list_styles({}):
            title = f"{format_name(name)} (trained here)"
            found[name] = Style(title, file.resolve(), sample.resolve() if sample.exists() else None, None)
    return found


def name_style(upload: str, own: Styles) -> str:
    """Return a free name for the style of an upload."""
    name = make_model_name(upload)
    while name in list_styles(own):
        name += "_2"
    return name


def format_name(name: str) -> str:
    """Return a name as words, such as "My painting"."""
    return name.replace("_", " ").capitalize()


def delete_styles(styles: Styles) -> None:
    """Delete the files of styles of the session."""
    for style in styles.values():
        if style.folder:
            shutil.rmtree(style.folder, ignore_errors=True)
