"""The fourth tab's work: one pass of a trained network beside the slow baseline, as it goes."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.evaluation.judge import Judge
from faststyle.image.convert import to_image, to_tensor
from faststyle.web.styles import Style, load
from faststyle.web.uploads import open_upload

SIZES = (256, 384)
MAX_STEPS = 200


class Stage(NamedTuple):
    """A picture on the way, what it scores on the model's training objective, and when."""

    picture: Image.Image
    step: int
    objective: float
    seconds: float


def race(
    photo: str | None, painting: str | None, style: Style, size: int, steps: int
) -> Iterator[tuple[Stage, Stage, list[str]]]:
    """Stylize a photo at once, then slowly.

    Args:
        photo: the upload.
        painting: the upload of what the style was trained on; not needed where it is known.
        size: longer side of both results, in pixels.
        steps: of the baseline, from the photo.

    Yields:
        The fast result, the slow one so far (the best of its steps), and what one must know of both.

    Raises:
        InputError: no photo, no painting, or not one that can be read.
    """
    content = open_upload(photo, "photo", size).convert("RGB")
    if painting is None and style.painting is None:
        raise InputError(
            f"Add the painting of {style.title}: the slow way paints from it, and ready styles come without."
        )
    if painting is not None:
        open_upload(painting, "painting")  # which says what is wrong with it
    stylize = load(style.model)
    judge = Judge(stylize.card, painting or str(style.painting), stylize.device, stylize.dtype)
    pixels = to_tensor(content)[None].to(stylize.device)

    stylize(pixels)  # the first pass of a size takes longer
    started = time.perf_counter()
    y = stylize(pixels)
    seconds = time.perf_counter() - started
    # No update, one evaluation: the very function that the baseline lowers.
    total = next(judge.descend(y, pixels, 0)).terms["total"]
    fast = Stage(to_image(y[0]), 0, total, seconds)

    started, slow = time.perf_counter(), None
    for step in judge.descend(pixels, pixels, steps):
        seconds, total = time.perf_counter() - started, step.terms["total"]
        # L-BFGS may rise for a while; a person would keep the lowest so far.
        picture = to_image(step.picture[0]) if slow is None or total < slow.objective else slow.picture
        slow = Stage(picture, step.number, min(total, slow.objective if slow else total), seconds)
        yield fast, slow, judge.notes
