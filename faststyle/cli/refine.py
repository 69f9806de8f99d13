"""``--refine N``: a few evaluations of the per-image baseline on each image, with a bar."""

import argparse

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from faststyle.device import pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.image.color import match_color
from faststyle.image.convert import to_image, to_tensor
from faststyle.image.mosaic import open_style
from faststyle.models.find import find_grams
from faststyle.optimization.descent import check_precision
from faststyle.optimization.refine import measure_grams, refinement


class Refiner:
    """Refines images as the options say.

    Attributes:
        stopped: Ctrl-C ended a refinement; its best image so far is the result.
        failure: What ended a refinement early, such as missing memory; likewise.

    Raises:
        InputError: No such painting, or a model without its painting's Gram matrices.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.evaluations = arguments.refine
        self.options = {"device": arguments.device, "precision": arguments.precision}
        self.painting = open_style(arguments.style[0]) if arguments.style else None
        self.stopped = False
        self.failure: InputError | None = None
        self.model = arguments.checkpoint
        check_precision(pick_precision(arguments.precision, pick_device(arguments.device)))
        self.grams: dict[str, dict[str, Tensor]] = {}  # of each model
        if self.model != "all":
            self.style(self.model)  # before the work

    def style(self, model: str) -> dict[str, Tensor]:
        """Return the Gram matrices to refine towards."""
        if model not in self.grams:
            self.grams[model] = measure_grams(self.painting) if self.painting else find_grams(model)
        return self.grams[model]

    def start(self, photo: Image.Image) -> Image.Image:
        """Return the photo in the painting's colours, to be refined where there is no model."""
        assert self.painting is not None
        given, painting = (to_tensor(one.convert("RGB"))[None] for one in (photo, self.painting))
        result = to_image(match_color(given, painting)[0])
        if photo.mode == "RGBA":
            result.putalpha(photo.getchannel("A"))
        return result

    def __call__(self, image: Image.Image, photo: Image.Image, model: str | None = None) -> Image.Image:
        """Refine an image of a photo; ``model`` is its own, where there are several."""
        if self.stopped:
            return image
        run = refinement(image, photo, self.style(model or self.model), self.evaluations, **self.options)
        moved = False
        try:
            with tqdm(total=run.steps, unit="evaluation", desc="refining", leave=False) as bar:
                for step in run:
                    bar.update(step.number - bar.n)
                    moved = step.number > 0
        except KeyboardInterrupt:
            self.stopped = True
        except InputError as error:
            if not moved:
                raise
            self.failure = error  # the best image so far is written first
        return run.result()
