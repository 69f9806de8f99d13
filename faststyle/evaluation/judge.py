"""A model's own training objective, and distances that the objective does not use."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from faststyle.errors import InputError
from faststyle.evaluation.measure import LAYERS, Measure
from faststyle.evaluation.same_painting import is_painting_of
from faststyle.image.color import luminance
from faststyle.image.convert import scale_to, to_image, to_tensor
from faststyle.image.mosaic import MOSAIC, open_style
from faststyle.inference.stylizer import Stylizer
from faststyle.losses.objective import Objective
from faststyle.losses.statistics import gram, relative
from faststyle.losses.vgg import VGG
from faststyle.models.card import ModelCard, TrainingSettings
from faststyle.optimization.descent import Step, check_precision, descend

HELD_OUT_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
HELD_OUT_CONTENT = "relu4_2"


class Judge:
    """The objective that a model was trained with, made from its card, and layers it does not use.

    Args:
        card: Card of the model. Without training settings in it, the default objective judges.
        style: File of the painting, or mosaic.
        device: Device to compute on.
        precision: Precision of VGG.

    Attributes:
        objective: The objective, with its style set.
        style_layers, content_layers: VGG layers that the objective does not use.
        painting: The painting, a PIL image in RGB at its full size.
        style: The painting at the size at which the model was trained on it.
        vgg_options: Parameters of ``refine`` that choose the VGG of the objective.
        notes: What a reader of the report must know about how the model was trained, as sentences.
        description: The objective in one line.

    Raises:
        InputError: The painting cannot be read, or the card has a name that is unknown here.
    """

    def __init__(self, card: ModelCard, style: str, device: torch.device, precision: torch.dtype):
        check_precision(precision)
        training = card.training or TrainingSettings()
        self.objective = Objective(**asdict(training.objective)).to(device)
        used = self.objective.layers
        self.style_layers = [layer for layer in HELD_OUT_STYLE if layer not in used]
        self.content_layers = [layer for layer in [HELD_OUT_CONTENT] if layer not in used]
        self.layers = [*self.style_layers, *self.content_layers]
        name, pooling = training.vgg, training.pooling
        self.vgg = VGG(name, pooling, [*used, *self.layers], precision).to(device)
        self.style_size = training.style_size

        precision_name = "bf16" if precision == torch.bfloat16 else "fp32"
        self.vgg_options = {"vgg": name, "pooling": pooling, "precision": precision_name}
        self.painting = open_style(style).convert("RGB")
        self.style = scale_to(self.painting, self.style_size)
        painting = to_tensor(self.style)[None].to(device)
        existing = self.objective.existing(*painting.shape[-2:])
        features = self.features(painting, {*existing, *self.layers})
        self.objective.set_style([features])
        self.grams = {layer: gram(features[layer]) for layer in self.style_layers}
        self.notes = list_training_notes(card, style)
        names = f"preset {training.objective.preset}, statistic {training.objective.statistic}"
        self.description = describe_objective(self.objective, f"{names}, {name}, {pooling} pooling")

    @cached_property
    def measure(self) -> Measure:
        """The measure of images, with a VGG in float32 of its own."""
        return Measure(self.painting, VGG(self.vgg_options["vgg"], self.vgg_options["pooling"], LAYERS))

    def features(self, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Return VGG's features of (B,3,H,W) in [0,1], (B,C,h,w) by layer, without gradients."""
        with torch.no_grad():
            return self.vgg(images, layers)

    def descend(self, start: Tensor, photo: Tensor, steps: int) -> Iterator[Step]:
        """Run the per-image baseline from a start, and yield its evaluations.

        Args:
            start: (1,3,H,W) in [0,1].
            photo: (1,3,H,W) in [0,1].
            steps: Number of updates.
        """
        return descend(start, photo, self.vgg, self.objective, steps)

    def measure_distances(self, images: dict[str, Tensor], photo: Tensor) -> dict[str, dict[str, float]]:
        """Measure images by what the objective does not use.

        Args:
            images: (1,3,H,W) in [0,1] by name.
            photo: (1,3,H,W) in [0,1].

        Returns:
            For each image, the distances at the unused layers, the style distances half, quarter and tiles
            of ``Measure``, and ssim, the structural similarity to the photo.
        """
        target = self.features(photo, self.content_layers)
        photo_luminance = luminance(photo)[0, 0].cpu().numpy()  # (H,W)
        photo_image = to_image(photo[0])
        distances = {}
        for name, image in images.items():
            features = self.features(image, self.layers)
            row = {
                layer: relative(gram(features[layer]), self.grams[layer]).item()
                for layer in self.style_layers
            }
            for layer in self.content_layers:
                row[layer] = relative(features[layer], target[layer]).item()
            measures = self.measure(to_image(image[0]), photo_image)
            row |= {"half": measures.half, "quarter": measures.quarter, "tiles": measures.tiles}
            image_luminance = luminance(image)[0, 0].cpu().numpy()
            ssim = structural_similarity(image_luminance, photo_luminance, data_range=1)
            distances[name] = row | {"ssim": float(ssim)}
        return distances


def is_style_file(card: ModelCard, style: str) -> bool:
    """Return True if a file, or the mosaic, is one that the model was trained on, by its digest."""
    digest = None if style == MOSAIC else hashlib.sha256(Path(style).read_bytes()).hexdigest()
    return digest in [image.sha256 for image in card.style]


def check_painting(stylizer: Stylizer, style: str) -> None:
    """Check that a model was trained on a painting, as far as the model's file shows that.

    Raises:
        InputError: The model was trained on another painting, or the painting cannot be read.
    """
    painting, card = open_style(style), stylizer.card
    if len(card.style) > 1 or is_style_file(card, style):
        return
    if not is_painting_of(stylizer, painting):
        raise InputError(
            f"{style} is not the painting that {stylizer.source} was trained on, and both methods must aim "
            "at the same painting: give that one as `style`, or a model that was trained on yours"
        )


def list_training_notes(card: ModelCard, style: str) -> list[str]:
    """Return what a reader of the report must know about how the model was trained, as sentences."""
    notes = []
    if card.training is None:
        notes.append(
            "The model's file does not say how it was trained. It is judged by the default objective, with "
            "the style at 512 pixels, and may have been trained for another one."
        )
    if card.style and not is_style_file(card, style):
        names = ", ".join(image.name for image in card.style)
        notes.append(f"The style image is not the file that the model was trained on ({names}).")
    if len(card.style) > 1:
        notes.append(
            f"The model was trained on a blend of {len(card.style)} styles, and is judged by one of them."
        )
    return notes


def describe_objective(objective: Objective, names: str) -> str:
    """Return the objective in one line; ``names`` are those of its preset, statistic and VGG."""

    def join_layers(weights: dict[str, float]) -> str:
        return ", ".join(f"{layer} {weight:g}" for layer, weight in weights.items()) or "no layer"

    return (
        f"The objective: {objective.content_weight:g} × content ({join_layers(objective.content_layers)}) + "
        f"{objective.style_weight:g} × style ({join_layers(objective.style_layers)}) + "
        f"{objective.tv_weight:g} × total variation ({names})."
    )
