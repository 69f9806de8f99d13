"""Published objectives, each with its own formulas, layers and weights.

Each function returns one value for each image of a batch. Pixels are in 0…255. A Gram matrix G here is the
mean over the M positions, so that a paper's sum over positions is M times ours. Where image and style differ
in size, each is divided by its own M.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from faststyle.losses.statistics import mean_square, relative

# Gatys' five, and Johnson's four.
FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
FOUR = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
SCALES = ("", "/2", "/4")  # the image itself, and averaged down


def sum_square(x: Tensor) -> Tensor:
    """Sum the squares of each image's values: (B,…) to (B,)."""
    return x.flatten(1).square().sum(1)


def total_variation(images: Tensor) -> Tensor:
    """Average the absolute differences of neighbouring pixels: (B,C,H,W) in [0,1] to (B,)."""
    vertical, horizontal = images.diff(dim=2), images.diff(dim=3)
    return vertical.abs().flatten(1).mean(1) + horizontal.abs().flatten(1).mean(1)


def squared_variation(images: Tensor) -> Tensor:
    """Sum the squared differences of neighbouring pixels: (B,C,H,W) in [0,1] to (B,)."""
    pixels = 255 * images
    return sum_square(pixels.diff(dim=2)) + sum_square(pixels.diff(dim=3))


def gatys_content(features: Tensor, target: Tensor) -> Tensor:
    """Compute ½ Σ (F − P)² (Gatys et al. 2016, equation 1)."""
    return sum_square(features - target) / 2


def gatys_style(gram: Tensor, target: Tensor, positions: int) -> Tensor:
    """Compute Σ (G − A)² / 4N²M²; our Gram matrices have M divided out (Gatys et al. 2016, equation 4)."""
    return mean_square(gram - target) / 4


def coursera_content(features: Tensor, target: Tensor) -> Tensor:
    """Compute Σ (a_C − a_G)² / (4 n_H n_W n_C) (deeplearning.ai, Convolutional Neural Networks, week 4)."""
    return mean_square(features - target) / 4


def cs231n_content(features: Tensor, target: Tensor) -> Tensor:
    """Compute Σ (F − P)² (Stanford CS231n, assignment on style transfer)."""
    return sum_square(features - target)


def cs231n_style(gram: Tensor, target: Tensor, positions: int) -> Tensor:
    """Compute Σ (G − A)² of Gram matrices that are sums over the positions."""
    return sum_square(positions * (gram - target))


def johnson_content(features: Tensor, target: Tensor) -> Tensor:
    """Compute ‖F − P‖² / CHW (Johnson et al. 2016, equation 2)."""
    return mean_square(features - target)


def johnson_style(gram: Tensor, target: Tensor, positions: int) -> Tensor:
    """Compute ‖G − A‖²_F of Gram matrices divided by CHW (Johnson et al. 2016, equation 4)."""
    return mean_square(gram - target)


class Preset(NamedTuple):
    """Formulas, layers and weights of an objective.

    Attributes:
        content: Maps the features of images and photos, (B,C,H,W), to (B,).
        style: Maps Gram matrices of images (B,C,C) and of the style (1,C,C), and the number of positions of
            an image, to (B,); None for the relative distance of the style statistic.
        variation: Maps images (B,3,H,W) to (B,).
        content_layers, style_layers: VGG layers with their weights.
        content_weight, style_weight, tv_weight: Weights of the three terms.
    """

    content: Callable[[Tensor, Tensor], Tensor]
    style: Callable[[Tensor, Tensor, int], Tensor] | None
    variation: Callable[[Tensor], Tensor]
    content_layers: dict[str, float]
    style_layers: dict[str, float]
    content_weight: float
    style_weight: float
    tv_weight: float


PRESETS = {
    # Ours departs from the papers: distances are relative to the target's own size, so that one weight
    # means the same for every painting, layer, image size, statistic and VGG. Deep layers of the reduced
    # image see 100 to 300 pixels, from which whirls and waves come. relu4_1 holds the photo's shapes and
    # leaves its surfaces free. relu2_1 keeps light and dark, which networks swap early in training.
    "relative": Preset(
        relative,
        None,
        total_variation,
        {"relu4_1": 1.0, "relu2_1": 0.1},
        {layer + scale: 0.2 for scale in SCALES for layer in FIVE},
        1.0,
        3.0,
        1.0,
    ),
    # Formulas are as published, as are the layers and weights of gatys and coursera, and johnson's layers.
    # The rest is chosen for vgg19-caffe at 512 pixels, because the published values are for other networks.
    "gatys": Preset(
        gatys_content,
        gatys_style,
        squared_variation,
        {"relu4_2": 1.0},
        dict.fromkeys(FIVE, 0.2),
        1e-3,
        1.0,
        0.0,
    ),
    "coursera": Preset(
        coursera_content,
        gatys_style,
        squared_variation,
        {"relu4_2": 1.0},
        dict.fromkeys(FIVE, 0.2),
        10.0,
        40.0,
        0.0,
    ),
    "cs231n": Preset(
        cs231n_content,
        cs231n_style,
        squared_variation,
        {"relu3_3": 1.0},
        {"relu1_2": 5e-12, "relu2_2": 1.5e-11, "relu3_3": 2e-12, "relu4_3": 2.5e-11},
        1.0,
        4.0,
        50.0,
    ),
    "johnson": Preset(
        johnson_content,
        johnson_style,
        squared_variation,
        {"relu3_3": 1.0},
        dict.fromkeys(FOUR, 1.0),
        1.0,
        1e-4,
        1e-5,
    ),
}
