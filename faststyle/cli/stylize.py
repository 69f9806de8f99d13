"""How ``python infer.py`` reads, stylizes and writes a picture with a model, as its flags say."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faststyle.errors import InputError

# torch, and what needs it, is imported when there is work: --help answers at once.
if TYPE_CHECKING:
    from PIL.Image import Image

    from faststyle.cli.refine import Refiner
    from faststyle.inference.contact_sheet import AllStyles
    from faststyle.inference.stylizer import Stylizer

# What the results depend on beside the model, where it is not typed.
DEFAULTS: dict[str, Any] = {
    "strength": 1.0,
    "stroke_scale": "auto",
    "max_size": None,
    "tile": None,
    "engine": "auto",
}


def option(arguments: argparse.Namespace, name: str) -> Any:
    return getattr(arguments, name, DEFAULTS[name])


def load(name: str | None, arguments: argparse.Namespace) -> "Stylizer | AllStyles | None":
    """Load the model; None where --refine starts from the photo."""
    if name is None:
        return None
    machine = arguments.device, arguments.precision, option(arguments, "engine")
    if name == "all":
        from faststyle.inference.contact_sheet import AllStyles

        return AllStyles(*machine)
    from faststyle.inference.stylizer import Stylizer

    return Stylizer.load(name, *machine)


def stylize_one(
    stylize: "Stylizer | AllStyles | None",
    source: Path,
    target: Path,
    arguments: argparse.Namespace,
    refine: "Refiner | None" = None,
) -> None:
    """Stylize one picture: whole, by tiles, or by tiles from file to file; and refine it."""
    from faststyle.image.files import open_image, save_image
    from faststyle.inference.contact_sheet import AllStyles

    if isinstance(stylize, AllStyles):
        scale = option(arguments, "stroke_scale")
        picture = stylize(open_image(source), *look(arguments), option(arguments, "max_size"), scale, refine)
    elif (photo := read_photo(source, arguments)) is not None:
        if refine is not None:
            picture = refine_photo(stylize, photo, arguments, refine)
        else:
            assert stylize is not None
            picture = stylize_photo(stylize, photo, arguments)
    elif refine is not None or stylize is None:
        raise InputError(f"{source} is too large to be refined: give --max-size, such as 4096")
    else:
        return stylize_file(stylize, source, target, arguments)
    save_image(picture, target, arguments.quality)
    if refine is not None and refine.failure is not None:
        failure, refine.failure = refine.failure, None
        raise InputError(f"{target} is the best image so far: {failure}")


def refine_photo(
    stylize: "Stylizer | None", photo: "Image", arguments: argparse.Namespace, refine: "Refiner"
) -> "Image":
    """Stylize a photo, refine that, and then blend it with the photo as the options say."""
    from faststyle.inference.stylizer import finished

    full = argparse.Namespace(**vars(arguments) | {"strength": 1.0, "preserve_color": False})
    first = refine.start(photo) if stylize is None else stylize_photo(stylize, photo, full)
    return finished(refine(first, photo), photo, *look(arguments))


def look(arguments: argparse.Namespace) -> tuple[float, bool]:
    return option(arguments, "strength"), arguments.preserve_color


def read_photo(source: Path, arguments: argparse.Namespace) -> "Image | None":
    """The picture, no larger than it shall be; None where it goes from file to file."""
    from faststyle.image import vips
    from faststyle.image.convert import fit
    from faststyle.image.files import open_image

    if option(arguments, "max_size") is None and vips.pixels_of(source) >= vips.LEAST:
        return None
    return fit(open_image(source), option(arguments, "max_size"))


def stylize_photo(stylize: "Stylizer", photo: "Image", arguments: argparse.Namespace) -> "Image":
    """Stylize what was read, whole or by tiles."""
    scale = option(arguments, "stroke_scale")
    tile = option(arguments, "tile") or say_tile(stylize, *photo.size, scale)
    return stylize(photo, *look(arguments), tile=tile, stroke_scale=scale)


def stylize_file(stylize: "Stylizer", source: Path, target: Path, arguments: argparse.Namespace) -> None:
    """Stylize a picture in strips or by tiles, from file to file."""
    from faststyle.image import vips

    with vips.stylized(source, target, arguments.quality) as (photo, out):
        height, width, _ = photo.shape
        scale = option(arguments, "stroke_scale")
        tile = option(arguments, "tile") or say_tile(stylize, width, height, scale)
        stylize.stylize_pixels(photo[..., :3], out[..., :3], *look(arguments), tile, scale)


def say_tile(stylize: "Stylizer", width: int, height: int, stroke_scale: float | str) -> int | None:
    """The tile that a picture of this size needs, said on stderr; None where it fits into memory."""
    scale = stylize.scale_for(width, height, stroke_scale)
    width, height = (round(side / scale) for side in (width, height))
    tile = stylize.tile_for(width, height)
    if tile:
        print(
            f"{width}x{height} pixels are too many to stylize whole: in tiles of {tile}",
            file=sys.stderr,
        )
    return tile
