"""Stylize image files: whole, in tiles, or from file to file, and refine the result."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from faststyle.cli.inputs import Job
from faststyle.cli.masks import open_mask
from faststyle.cli.reports import log
from faststyle.cli.stylize_options import Options
from faststyle.errors import InputError
from faststyle.image import vips
from faststyle.image.color import blend_images
from faststyle.image.convert import limit_size
from faststyle.image.files import check_size, missing_pixels, read_image, save_image, truncation_warning
from faststyle.image.pages import describe_several
from faststyle.inference.contact_sheet import AllStyles
from faststyle.inference.regions import combine
from faststyle.inference.settings import EngineSettings, StylizeSettings
from faststyle.inference.stylizer import Stylizer

if TYPE_CHECKING:
    from faststyle.cli.refine import Refiner

Model = Stylizer | AllStyles | None


def load(name: str | None, machine: EngineSettings) -> Model:
    """Load the model, or all built-in styles; return None if refinement starts from the photo."""
    if name is None:
        return None
    return AllStyles(**vars(machine)) if name == "all" else Stylizer.load(name, **vars(machine))


def stylize_image(
    models: Sequence[Model], job: Job, options: Options, refine: "Refiner | None" = None
) -> bool:
    """Read, stylize, refine and write one image; each of several models stylizes the region of its mask.

    Returns:
        False where pixels of the photo are missing, which is reported.

    Raises:
        InputError: The image cannot be read, stylized or written, or its refinement ended early; the best
            image so far is written then.
    """
    source, target, settings, model = job.source, job.target, options.image, models[0]
    log(describe_several(source))
    photo = read_image(source) if isinstance(model, AllStyles) else read_photo(source, settings.max_size)
    if photo is None:
        if refine is not None or not isinstance(model, Stylizer) or options.mask:
            what = "stylized with masks" if options.mask else "refined"
            raise InputError(
                f"{source} is too large to be {what}: give `max_size`, such as 4096", file=source
            )
        missing = stylize_file(model, source, target, settings, options.file.quality)
    else:
        missing = missing_pixels(photo)
        if isinstance(model, AllStyles):
            check_size(target, *model.sheet_size(photo, settings))
            image = model(photo, settings, refine)
        else:
            check_size(target, *photo.size)
            masks = [open_mask(mask, job, photo.size) for mask in options.mask or ()]  # fails before the work
            images = (
                stylize_photo(one, photo, settings)
                if refine is None
                else refine_photo(one, name, photo, settings, refine)
                for name, one in zip(options.checkpoint or (None,), models, strict=True)
            )
            image = combine(photo, zip(images, masks, strict=True)) if masks else next(images)
        save_image(image, target, options.file.quality)
        if refine is not None and refine.failure is not None:
            failure, refine.failure = refine.failure, None
            raise InputError(f"{target} is the best image so far: {failure}", file=source)
    log(missing and truncation_warning(source, target, missing))
    return missing is None


def refine_photo(
    model: Model, name: str | None, photo: Image.Image, settings: StylizeSettings, refine: "Refiner"
) -> Image.Image:
    """Stylize a photo, refine the stylized image, and blend the result with the photo."""
    full = replace(settings, strength=1.0, preserve_color=False)
    first = refine.start(photo) if model is None else stylize_photo(model, photo, full)
    return blend_images(refine(first, photo, name), photo, settings.strength, settings.preserve_color)


def read_photo(source: Path, max_size: int | None) -> Image.Image | None:
    """Return the image, no larger than ``max_size``, or None if it must be stylized from file to file.

    ``missing_pixels`` says how many of its pixels are missing.
    """
    if max_size is None and vips.count_pixels(source) >= vips.MIN_VIPS_PIXELS:
        return None
    return limit_size(read_image(source), max_size)


def stylize_photo(model: Model, photo: Image.Image, settings: StylizeSettings) -> Image.Image:
    """Stylize an image in memory, whole or in tiles."""
    assert isinstance(model, Stylizer)
    return model(photo, **vars(settings))


def stylize_file(
    model: Stylizer, source: Path, target: Path, settings: StylizeSettings, quality: int
) -> str | None:
    """Stylize an image from file to file, in bands or tiles.

    Returns:
        A warning if pixels of the image are missing, else None.
    """
    with vips.mapped_images(source, target, quality) as (photo, out, warning):
        model.stylize_pixels(photo[..., :3], out[..., :3], settings)
    return warning
