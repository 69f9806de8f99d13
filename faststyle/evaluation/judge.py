"""What a picture is judged by: a model's own training objective, and layers that it does not use."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from faststyle.evaluation.measure import LAYERS, Measure
from faststyle.image.color import luminance
from faststyle.image.convert import scale_to, to_image, to_tensor
from faststyle.image.mosaic import MOSAIC, open_style
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
        card: the model's; without its training, Objective's defaults judge.
        style: the painting's file, or mosaic.
        device: where to compute.
        precision: in which VGG computes.

    Raises:
        InputError: no such picture, or a card that names what is not known here.
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

        exact = "bf16" if precision == torch.bfloat16 else "fp32"
        self.vgg_options = {"vgg": name, "pooling": pooling, "precision": exact}  # of ``refine``
        self.painting = open_style(style).convert("RGB")
        self.style = scale_to(self.painting, self.style_size)
        painting = to_tensor(self.style)[None].to(device)
        existing = self.objective.existing(*painting.shape[-2:])
        features = self.features(painting, {*existing, *self.layers})
        self.objective.set_style([features])
        self.grams = {layer: gram(features[layer]) for layer in self.style_layers}
        self.notes = read_card(card, style)
        names = f"preset {training.objective.preset}, statistic {training.objective.statistic}"
        self.description = describe(self.objective, f"{names}, {name}, {pooling} pooling")

    @cached_property
    def measure(self) -> Measure:
        """The measure of images, which takes a VGG of its own."""
        return Measure(self.painting, VGG(self.vgg_options["vgg"], self.vgg_options["pooling"], LAYERS))

    def features(self, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """(B,3,H,W) in [0,1] to (B,C,h,w) by layer, without gradients."""
        with torch.no_grad():
            return self.vgg(images, layers)

    def descend(self, start: Tensor, photo: Tensor, steps: int) -> Iterator[Step]:
        """The baseline's evaluations; (1,3,H,W) in [0,1] both."""
        return descend(start, photo, self.vgg, self.objective, steps)

    def distances(self, pictures: dict[str, Tensor], photo: Tensor) -> dict[str, dict[str, float]]:
        """Measure on layers that the objective does not use, coarsely and in places, and by SSIM.

        Args:
            pictures: (1,3,H,W) in [0,1] by name.
            photo: Likewise.
        """
        target = self.features(photo, self.content_layers)
        grey = luminance(photo)[0, 0].cpu().numpy()  # (H,W)
        given = to_image(photo[0])
        found = {}
        for name, picture in pictures.items():
            features = self.features(picture, self.layers)
            row = {
                layer: relative(gram(features[layer]), self.grams[layer]).item()
                for layer in self.style_layers
            }
            for layer in self.content_layers:
                row[layer] = relative(features[layer], target[layer]).item()
            mine = luminance(picture)[0, 0].cpu().numpy()
            measures = self.measure(to_image(picture[0]), given)
            row |= {"half": measures.half, "quarter": measures.quarter, "tiles": measures.tiles}
            found[name] = row | {"ssim": float(structural_similarity(mine, grey, data_range=1))}
        return found


def read_card(card: ModelCard, style: str) -> list[str]:
    """What a reader of the report must know of how the model was trained."""
    notes = []
    if card.training is None:
        notes.append(
            "The model's file does not say how it was trained: it is judged by the default objective, "
            "with the style at 512 pixels, which may not be what it was trained for."
        )
    digest = None if style == MOSAIC else hashlib.sha256(Path(style).read_bytes()).hexdigest()
    if card.style and digest not in [one.sha256 for one in card.style]:
        names = ", ".join(one.name for one in card.style)
        notes.append(f"The style picture is not the file that the model was trained on ({names}).")
    if len(card.style) > 1:
        notes.append(f"The model was trained on a blend of {len(card.style)} styles, and is judged by one.")
    return notes


def describe(objective: Objective, names: str) -> str:
    """The objective in a line."""

    def layers(weights: dict[str, float]) -> str:
        return ", ".join(f"{layer} {weight:g}" for layer, weight in weights.items()) or "no layer"

    return (
        f"The objective: {objective.content_weight:g} × content ({layers(objective.content_layers)}) + "
        f"{objective.style_weight:g} × style ({layers(objective.style_layers)}) + "
        f"{objective.tv_weight:g} × total variation ({names})."
    )
