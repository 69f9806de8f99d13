"""Comparison of a trained network with the per-image optimization baseline, for the fourth tab."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.evaluation.judge import Judge
from faststyle.image.convert import to_image, to_tensor
from faststyle.web.styles import Style, load_shared_stylizer
from faststyle.web.uploads import open_upload

SIZES = (256, 384)  # pixels of the longer side
MAX_STEPS = 200


class Stage(NamedTuple):
    """An intermediate or final result of one method.

    Attributes:
        image: The stylized photo.
        step: Number of the optimization step; 0 for the network.
        objective: Value of the model's training objective for the image; lower is better.
        seconds: Time since the method started.
    """

    image: Image.Image
    step: int
    objective: float
    seconds: float


def compare_methods(
    photo: str | None, painting: str | None, style: Style, size: int, steps: int
) -> Iterator[tuple[Stage, Stage, list[str]]]:
    """Stylize a photo with the network, then optimize the photo step by step.

    Args:
        photo: Path of the uploaded photo.
        painting: Path of the uploaded painting of the style. It can be None if ``style.painting`` is set.
        style: The style of both methods.
        size: Longer side of both results, in pixels.
        steps: Number of optimization steps, which start from the photo.

    Yields:
        The network's result, the best result of the optimization so far, and notes about the comparison.

    Raises:
        InputError: The photo or the painting is missing or cannot be read.
    """
    content = open_upload(photo, "photo", size).convert("RGB")
    if painting is None and style.painting is None:
        raise InputError(
            f"Add the painting of {style.title}: the slow method needs the painting itself, and a built-in "
            "style does not contain it."
        )
    if painting is not None:
        open_upload(painting, "painting")  # raises the page's error for a file that cannot be read
    stylize = load_shared_stylizer(style.model)
    judge = Judge(stylize.card, painting or str(style.painting), stylize.device, stylize.dtype)
    pixels = to_tensor(content)[None].to(stylize.device)

    stylize(pixels)  # not timed, because the first forward pass of a size takes longer
    started = time.perf_counter()
    y = stylize(pixels)
    seconds = time.perf_counter() - started
    # Zero steps evaluate the same objective that the baseline minimizes.
    total = next(judge.descend(y, pixels, 0)).terms["total"]
    fast = Stage(to_image(y[0]), 0, total, seconds)

    started, slow = time.perf_counter(), None
    for step in judge.descend(pixels, pixels, steps):
        seconds, total = time.perf_counter() - started, step.terms["total"]
        # Keep the best image so far, because L-BFGS can increase the objective for some steps.
        image = to_image(step.picture[0]) if slow is None or total < slow.objective else slow.image
        slow = Stage(image, step.number, min(total, slow.objective if slow else total), seconds)
        yield fast, slow, judge.notes
