"""A session's own styles: paintings and models that were dropped, and models trained on this computer."""

import shutil
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
    """Add an uploaded painting.

    Raises:
        InputError: The upload is no image, or too large.
    """
    uploads.open_upload(upload, "painting")
    name, file = name_style(upload, own), Path(upload)
    return own | {name: Style(f"{name_words(name)} (yours)", file, file, file)}


def add_model(upload: str, own: Styles) -> Styles:
    """Add an uploaded model, with a sample image that it makes.

    Raises:
        InputError: The upload is no model, or one of another kind than safetensors, which can run code.
    """
    file = Path(uploads.find_upload(upload, "model"))
    if file.suffix != MODEL_SUFFIX:
        raise InputError(f"{file.name} is not a model that the page accepts: choose a {MODEL_SUFFIX} file.")
    stylize = load_shared_stylizer(file)
    sample = file.with_suffix(".webp")
    save_image(stylize(open_image(pretrained.sample_path(DEFAULT_STYLE))), sample)
    name = name_style(upload, own)
    title = caption(f"{name_words(name)} (yours)", stylize.card)
    return own | {name: Style(title, file, sample, None)}


def find_trained_styles() -> Styles:
    """Return the models that this computer trained under ``runs/``, with the samples of their runs."""
    found = {}
    for name, file in trained_models().items():
        sample = file.with_name("sample.jpg")
        if name not in list_styles({}):
            title = f"{name_words(name)} (trained here)"
            found[name] = Style(title, file.resolve(), sample.resolve() if sample.exists() else None, None)
    return found


def name_style(upload: str, own: Styles) -> str:
    """Return a free name for the style of an upload."""
    name = make_model_name(upload)
    while name in list_styles(own):
        name += "_2"
    return name


def name_words(name: str) -> str:
    """Return a name as words, such as "My painting"."""
    return name.replace("_", " ").capitalize()


def delete_styles(styles: Styles) -> None:
    """Delete the files of a session's own styles."""
    for style in styles.values():
        if style.job:
            shutil.rmtree(style.job.folder, ignore_errors=True)
