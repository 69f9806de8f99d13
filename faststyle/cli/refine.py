"""Refine the images of ``faststyle stylize --refine N``, with a progress bar."""

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from faststyle.cli.stylize_options import Options
from faststyle.device import pick_device, pick_precision
from faststyle.errors import InputError
from faststyle.image.color_transfer import match_color
from faststyle.image.convert import to_image, to_tensor
from faststyle.image.mosaic import open_style
from faststyle.losses.painting import measure_grams
from faststyle.models.find import find_grams
from faststyle.optimization.descent import check_precision
from faststyle.optimization.refine import refinement


class Refiner:
    """Refines images towards the painting of a model, or a given one.

    Attributes:
        stopped: Ctrl-C ended a refinement; its best image so far is the result.
        failure: What ended a refinement early, such as missing memory; likewise.

    Raises:
        InputError: No such painting, or a model without its painting's Gram matrices.
    """

    def __init__(self, options: Options):
        assert options.refine is not None
        self.evaluations = options.refine
        self.device, self.precision = options.machine.device, options.machine.precision
        check_precision(pick_precision(self.precision, pick_device(self.device)))
        self.painting = open_style(options.style) if options.style else None
        self.stopped = False
        self.failure: InputError | None = None
        self.targets: dict[str | None, dict[str, Tensor]] = {}  # by model
        for model in () if options.is_sheet else options.checkpoint or (None,):
            self.target_of(model)  # fails before the work

    def target_of(self, model: str | None) -> dict[str, Tensor]:
        """Return the Gram matrices to refine towards."""
        key = None if self.painting else model
        if key not in self.targets:
            self.targets[key] = measure_grams(self.painting) if self.painting else find_grams(str(model))
        return self.targets[key]

    def start(self, photo: Image.Image) -> Image.Image:
        """Return the photo in the painting's colours, to be refined where there is no model."""
        assert self.painting is not None
        given, painting = (to_tensor(one.convert("RGB"))[None] for one in (photo, self.painting))
        result = to_image(match_color(given, painting)[0])
        if photo.mode == "RGBA":
            result.putalpha(photo.getchannel("A"))
        return result

    def __call__(self, image: Image.Image, photo: Image.Image, model: str | None) -> Image.Image:
        """Refine an image of a photo.

        Args:
            image: The stylized image.
            photo: The photo.
            model: Name of the image's model; None without one.
        """
        if self.stopped:
            return image
        target = self.target_of(model)
        run = refinement(image, photo, target, self.evaluations, device=self.device, precision=self.precision)
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
