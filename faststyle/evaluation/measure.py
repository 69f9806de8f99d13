"""Measure an image against a painting, fine and coarse and in places, and against its photo."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from faststyle.image.color import luminance
from faststyle.image.convert import scale_to, to_tensor
from faststyle.losses.statistics import gram, relative
from faststyle.losses.vgg import VGG, step_of

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT = "relu4_1"
TILE_LAYERS = ("relu2_1", "relu3_1", "relu4_1")
SCALES = {"fine": "", "half": "/2", "quarter": "/4"}  # what VGG's layers have at their end
SCALED_LAYERS = [layer + scale for scale in SCALES.values() for layer in LAYERS]
IMAGE, PAINTING = 512, 384  # pixels of the longer sides
TILE, STRIDE = 128, 64  # pixels
BLOCK = 16  # pixels of a square whose mean luminance is compared


class Measures(NamedTuple):
    """Distances of an image; each style distance is 0 for the painting's own statistics.

    Attributes:
        content: ‖F−P‖²/‖P‖² of the features at relu4_1 to the photo's.
        fine, half, quarter: Mean over five layers of ‖G−A‖²/‖A‖², G and A the Gram matrices of image and
            painting at full size, and averaged down by 2 and 4.
        tiles: The 90th percentile over windows of 128 px: high where the sky is left unpainted.
        contrast: Standard deviation of the luminance, as a share of the painting's.
        light: Correlation of the luminances of image and photo, averaged over squares of 16 px.
    """

    content: float
    fine: float
    half: float
    quarter: float
    tiles: float
    contrast: float
    light: float


class Measure:
    """Measures images against one painting, in float32.

    Args:
        painting: A PIL image in RGB.
        vgg: With ``LAYERS``; VGG-19 of Caffe without it.
    """

    def __init__(self, painting: Image.Image, vgg: VGG | None = None):
        self.vgg = vgg or VGG(layers=LAYERS)
        with torch.no_grad():
            self.painting = to_tensor(scale_to(painting.convert("RGB"), PAINTING))[None]
            self.targets = {layer: gram(x) for layer, x in self.vgg(self.painting, SCALED_LAYERS).items()}

    @torch.no_grad()
    def __call__(self, image: Image.Image, photo: Image.Image) -> Measures:
        """Measure a stylized image of a photo; both are brought to 512 px."""
        image = scale_to(image.convert("RGB"), IMAGE)
        given = to_tensor(photo.convert("RGB").resize(image.size, Image.Resampling.LANCZOS))[None]
        made = to_tensor(image)[None]
        features = self.vgg(made, SCALED_LAYERS)
        content = relative(features[CONTENT], self.vgg(given, [CONTENT])[CONTENT]).item()
        styles: list[float] = []
        for scale in SCALES.values():
            layers = [layer + scale for layer in LAYERS]
            each = [relative(gram(features[layer]), self.targets[layer]) for layer in layers]
            styles.append(torch.stack(each).mean().item())
        light, dark = luminance(made), luminance(self.painting)
        blocks = torch.stack([F.avg_pool2d(luminance(x), BLOCK).flatten() for x in (made, given)])
        return Measures(
            content,
            *styles,  # type: ignore[call-arg]
            self.worst_tiles(features),
            (light.std() / dark.std()).item(),
            torch.corrcoef(blocks)[0, 1].item(),
        )

    def worst_tiles(self, features: dict[str, Tensor]) -> float:
        """Return the 90th percentile of the windows' distances."""
        distances = []
        for layer in TILE_LAYERS:
            x, step = features[layer], step_of(layer)
            for dim in (2, 3):  # a strip is narrower than a window
                x = x.unfold(dim, min(TILE // step, x.shape[dim]), STRIDE // step)
            windows = x[0].permute(1, 2, 0, 3, 4).flatten(0, 1)  # (tiles,C,h,w)
            distances.append(relative(gram(windows), self.targets[layer]))
        return torch.stack(distances).mean(0).quantile(0.9).item()
