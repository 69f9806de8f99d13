"""Comparison of a trained network with the per-image optimization baseline, for the tab Compare."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from faststyle.errors import InputError
from faststyle.evaluation.judge import Judge
from faststyle.evaluation.same_painting import is_painting_of
from faststyle.image.convert import to_image, to_tensor
from faststyle.inference.stylizer import Stylizer
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
) -> Iterator[tuple[Stage, Stage]]:
    """Stylize a photo with the network, then optimize the photo step by step.

    Args:
        photo: Path of the uploaded photo.
        painting: Path of the uploaded painting of the style. It can be None if ``style.painting`` is set.
        style: The style of both methods.
        size: Longer side of both results, in pixels.
        steps: Number of optimization steps, which start from the photo.

    Yields:
        The network's result, and the best result of the optimization so far.

    Raises:
        InputError: The photo or the painting is missing or cannot be read, or the style was trained on
            another painting.
    """
    content = open_upload(photo, "photo", size).convert("RGB")
    if painting is None and style.painting is None:
        raise InputError(
            f"Add the painting of {style.title}: the slow method needs the painting itself, and a built-in "
            "style does not contain it."
        )
    stylize = load_shared_stylizer(style.model)
    if painting is not None:
        check_painting(painting, style, stylize)
    judge = Judge(stylize.card, painting or str(style.painting), *stylize.on_torch())
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
        yield fast, slow


def check_painting(path: str, style: Style, stylize: Stylizer) -> None:
    """Check that an uploaded painting is the one that a style was trained on.

    Raises:
        InputError: The upload is another painting, or cannot be read.
    """
    if not is_painting_of(stylize, open_upload(path, "painting")):
        raise InputError(
            f"{Path(path).name} is not the painting of {style.title}. Both methods must aim at the same "
            "painting: add that one, choose its style, or make a style of yours on the tab Stylize."
        )
