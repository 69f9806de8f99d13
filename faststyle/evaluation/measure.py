"""Distances of an image from a painting, at several scales and in windows, and from its photo."""

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
CONTENT_LAYER = "relu4_1"
WINDOW_LAYERS = ("relu2_1", "relu3_1", "relu4_1")
SCALES = {"fine": "", "half": "/2", "quarter": "/4"}  # suffixes of the names of VGG's layers
SCALED_LAYERS = [layer + scale for scale in SCALES.values() for layer in LAYERS]
IMAGE_SIZE, PAINTING_SIZE = 512, 384  # pixels of the longer sides
WINDOW, STRIDE = 128, 64  # pixels
BLOCK = 16  # pixels of the side of a square whose mean luminance is compared


class Measures(NamedTuple):
    """Distances of an image; each style distance is 0 for the painting's own Gram matrices.

    Attributes:
        content: ‖F−P‖²/‖P‖², F the features of the image at relu4_1 and P those of the photo.
        fine, half, quarter: Mean over five layers of ‖G−A‖²/‖A‖², G and A the Gram matrices of image and
            painting at full size, and averaged down by 2 and 4.
        tiles: 90th percentile of the style distances of windows of 128 px, which is high where the sky is
            left unpainted.
        contrast: Standard deviation of the luminance, divided by the painting's.
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
        painting: A PIL image.
        vgg: VGG with ``LAYERS``; by default VGG-19 of Caffe.
    """

    def __init__(self, painting: Image.Image, vgg: VGG | None = None):
        self.vgg = vgg or VGG(layers=LAYERS)
        with torch.no_grad():
            self.painting = to_tensor(scale_to(painting.convert("RGB"), PAINTING_SIZE))[None]
            self.grams = {layer: gram(x) for layer, x in self.vgg(self.painting, SCALED_LAYERS).items()}

    @torch.no_grad()
    def __call__(self, image: Image.Image, photo: Image.Image) -> Measures:
        """Measure a stylized image of a photo; both are brought to 512 px."""
        image = scale_to(image.convert("RGB"), IMAGE_SIZE)
        photo = photo.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
        stylized, content = to_tensor(image)[None], to_tensor(photo)[None]  # (1,3,H,W)
        features = self.vgg(stylized, SCALED_LAYERS)
        target = self.vgg(content, [CONTENT_LAYER])[CONTENT_LAYER]
        luminances = [luminance(x) for x in (stylized, content)]
        blocks = torch.stack([F.avg_pool2d(x, BLOCK).flatten() for x in luminances])  # (2,N)
        return Measures(
            content=relative(features[CONTENT_LAYER], target).item(),
            **{name: self.style_distance(features, suffix) for name, suffix in SCALES.items()},
            tiles=self.worst_windows(features),
            contrast=(luminances[0].std() / luminance(self.painting).std()).item(),
            light=torch.corrcoef(blocks)[0, 1].item(),
        )

    def style_distance(self, features: dict[str, Tensor], suffix: str) -> float:
        """Return the mean distance of the Gram matrices at one scale."""
        layers = [layer + suffix for layer in LAYERS]
        distances = [relative(gram(features[layer]), self.grams[layer]) for layer in layers]
        return torch.stack(distances).mean().item()

    def worst_windows(self, features: dict[str, Tensor]) -> float:
        """Return the 90th percentile of the style distances of the windows."""
        distances = []
        for layer in WINDOW_LAYERS:
            x, step = features[layer], step_of(layer)
            for dim in (2, 3):  # images narrower than a window have one window on that side
                x = x.unfold(dim, min(WINDOW // step, x.shape[dim]), STRIDE // step)
            windows = x[0].permute(1, 2, 0, 3, 4).flatten(0, 1)  # (windows,C,h,w)
            distances.append(relative(gram(windows), self.grams[layer]))
        return torch.stack(distances).mean(0).quantile(0.9).item()
