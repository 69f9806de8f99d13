"""The objective and its gradient tile by tile, for images whose features memory does not hold."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from faststyle.losses.objective import Objective
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG, reduce, split_scale, step_of

MAX_WHOLE = 2_900_000  # pixels of an image that is evaluated whole, which takes 1.7 kB a pixel
TILE = 832  # new pixels on a side
HALO = 96  # pixels around them, more than relu5_1 sees; a multiple of its step


class Tile(NamedTuple):
    """The rows and columns of a tile with its halo, and which rows and columns of that are its own."""

    rows: slice
    columns: slice
    own_rows: slice
    own_columns: slice

    def core(self, features: Tensor, step: int) -> Tensor:
        """Return the features of the tile's own pixels; ``step`` pixels lie between two positions."""
        rows, columns = (
            slice(own.start // step, own.stop // step) for own in (self.own_rows, self.own_columns)
        )
        return features[..., rows, columns]


def spans(length: int) -> list[tuple[slice, slice]]:
    """Cut a side into tiles: each with its halo, and its own part within that."""
    found = []
    for start in range(0, length, TILE):
        stop = min(start + TILE, length)
        first, last = max(0, start - HALO), min(length, stop + HALO)
        found.append((slice(first, last), slice(start - first, stop - first)))
    return found


def tiles(height: int, width: int) -> Iterator[Tile]:
    """Cut an image into tiles, row by row."""
    for rows, own_rows in spans(height):
        for columns, own_columns in spans(width):
            yield Tile(rows, columns, own_rows, own_columns)


class TiledEvaluation:
    """Evaluates an objective of Gram matrices, and its gradient.

    Gram matrices are sums over positions: a first pass adds them up over the tiles, and a second one
    passes the gradient of the objective by the Gram matrices back through each tile.

    Args:
        photo: (1,3,H,W) in [0,1].
        vgg: With the objective's layers.
        objective: Of Gram matrices, without regions, with its style set. Its content distance counts as below
            1, where ``Objective`` does not bound it: images that large start near their photo.
    """

    def __init__(self, photo: Tensor, vgg: VGG, objective: Objective):
        self.photo, self.vgg, self.objective = photo, vgg, objective
        size = photo.shape[-2:]
        self.style: dict[int, list[str]] = {}  # the style layers of each reduction
        for layer in objective.measured(*size):
            self.style.setdefault(split_scale(layer)[1], []).append(split_scale(layer)[0])
        # Sums of the squares of the photo's features.
        self.sizes = dict.fromkeys(objective.content_layers, 0.0)
        with torch.no_grad():
            for tile in tiles(*size):
                for layer, x in self.content(tile).items():
                    self.sizes[layer] += x.float().square().sum().item()

    def content(self, tile: Tile) -> dict[str, Tensor]:
        """Return the photo's features of a tile's own pixels."""
        features = self.vgg(self.photo[..., tile.rows, tile.columns], self.objective.content_layers)
        return {layer: tile.core(x, step_of(layer)) for layer, x in features.items()}

    @torch.enable_grad()
    def __call__(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Evaluate (1,3,H,W) in [0,1].

        Returns:
            The objective's terms and their total, as of ``Objective``, and the gradient by the pixels.
        """
        objective = self.objective
        images = {n: pixels.detach() if n == 1 else reduce(pixels.detach(), n) for n in {1, *self.style}}
        grams = {n: self.grams(images[n], n) for n in self.style}
        leaves = [leaf for found in grams.values() for leaf in found.values()]
        style = pixels.new_zeros(())
        terms = {"content": pixels.new_zeros(()), "style": style}
        for n, found in grams.items():
            for name, leaf in found.items():
                layer = name if n == 1 else f"{name}/{n}"
                distance = objective.whole_distance(leaf, layer).mean()
                terms[f"style_{layer}"] = distance.detach()
                style = style + objective.style_layers[layer] * distance
        slopes = torch.autograd.grad(objective.style_weight * style, leaves) if leaves else ()
        terms["style"] = style.detach()
        given = iter(slopes)
        by_layer = {n: {name: next(given) for name in found} for n, found in grams.items()}

        gradient = torch.zeros_like(pixels)
        for n, image in images.items():
            part = self.backward(image, by_layer.get(n, {}), terms if n == 1 else None)
            if n > 1:
                part = part.repeat_interleave(n, 2).repeat_interleave(n, 3) / n**2
            gradient[..., : part.shape[-2], : part.shape[-1]] += part
        leaf = pixels.detach().clone().requires_grad_()
        variation = objective.preset.variation(leaf).mean()
        (slope,) = torch.autograd.grad(objective.tv_weight * variation, [leaf])
        terms["variation"] = variation.detach()
        terms["total"] = (
            objective.content_weight * terms["content"]
            + objective.style_weight * terms["style"]
            + objective.tv_weight * terms["variation"]
        )
        return terms, gradient + slope

    @torch.no_grad()
    def grams(self, image: Tensor, reduction: int) -> dict[str, Tensor]:
        """Add the Gram matrices up over the tiles: leaves (1,C,C) by layer."""
        sums: dict[str, Tensor] = {}
        positions = dict.fromkeys(self.style[reduction], 0)
        for tile in tiles(*image.shape[-2:]):
            features = self.vgg(image[..., tile.rows, tile.columns], self.style[reduction])
            for layer, x in features.items():
                own = tile.core(x, step_of(layer))
                count = own.shape[-2] * own.shape[-1]
                if count:
                    sums[layer] = sums.get(layer, 0) + gram(own) * count
                    positions[layer] += count
        return {layer: (found / positions[layer]).requires_grad_() for layer, found in sums.items()}

    def backward(self, image: Tensor, slopes: dict[str, Tensor], terms: dict[str, Tensor] | None) -> Tensor:
        """Pass the gradients by Gram matrices, and by content where ``terms`` are given, to the pixels."""
        gradient = torch.zeros_like(image)
        height, width = image.shape[-2:]
        content = self.objective.content_layers if terms is not None else {}
        for tile in tiles(height, width):
            window = image[..., tile.rows, tile.columns].clone().requires_grad_()
            features = self.vgg(window, {*slopes, *content})
            loss = window.new_zeros(())
            for layer, slope in slopes.items():
                step = step_of(layer)
                own = tile.core(features[layer], step)
                if share := own.shape[-2] * own.shape[-1] / ((height // step) * (width // step)):
                    loss = loss + share * (gram(own) * slope).sum()
            if terms is not None:
                with torch.no_grad():
                    targets = self.content(tile)
                for layer, weight in content.items():
                    own = tile.core(features[layer], step_of(layer)).float()
                    distance = (own - targets[layer].float()).square().sum() / max(self.sizes[layer], 1e-12)
                    terms["content"] = terms["content"] + weight * distance.detach()
                    loss = loss + self.objective.content_weight * weight * distance
            if loss.requires_grad:
                (slope,) = torch.autograd.grad(loss, [window])
                gradient[..., tile.rows, tile.columns] += slope
        return gradient
