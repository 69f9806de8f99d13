"""The objective and its gradient tile by tile, for images whose features do not fit into memory."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from faststyle.losses.objective import Objective
from faststyle.losses.statistics import gram
from faststyle.losses.vgg import VGG, reduce, split_scale, step_of

MAX_WHOLE_PIXELS = 2_900_000  # pixels of an image that is evaluated whole, which takes 1.7 kB a pixel
TILE_SIZE = 832  # pixels on a side that belong to one tile alone
HALO = 96  # pixels around them, more than relu5_1 sees; a multiple of relu5_1's step


class Tile(NamedTuple):
    """A tile of an image, with its halo.

    Attributes:
        rows, columns: The tile with its halo, in the image.
        own_rows, own_columns: The part without halo, in the tile. Own parts cover the image once.
    """

    rows: slice
    columns: slice
    own_rows: slice
    own_columns: slice

    def crop_to_own(self, features: Tensor, step: int) -> Tensor:
        """Return the features of the tile's own pixels.

        Args:
            features: (B,C,h,w) of the tile with its halo.
            step: Pixels between two neighbouring positions of the features.
        """
        rows, columns = (
            slice(own.start // step, own.stop // step) for own in (self.own_rows, self.own_columns)
        )
        return features[..., rows, columns]


def split_side(length: int) -> list[tuple[slice, slice]]:
    """Cut a side into tiles, and return for each the part with its halo, and its own part within that."""
    parts = []
    for start in range(0, length, TILE_SIZE):
        stop = min(start + TILE_SIZE, length)
        first, last = max(0, start - HALO), min(length, stop + HALO)
        parts.append((slice(first, last), slice(start - first, stop - first)))
    return parts


def split_image(height: int, width: int) -> Iterator[Tile]:
    """Cut an image into tiles, row by row."""
    for rows, own_rows in split_side(height):
        for columns, own_columns in split_side(width):
            yield Tile(rows, columns, own_rows, own_columns)


class TiledEvaluation:
    """Evaluates an objective of Gram matrices, and its gradient, tile by tile.

    Gram matrices are sums over positions. A first pass adds them up over the tiles. A second pass takes
    the gradient of the objective by the Gram matrices back through each tile.

    Args:
        photo: (1,3,H,W) in [0,1].
        vgg: VGG with the objective's layers.
        objective: Objective of Gram matrices, without regions, with its style set. Its content distance is
            not bounded beyond 1 as in ``Objective``, because images that large start near their photo.
    """

    def __init__(self, photo: Tensor, vgg: VGG, objective: Objective):
        self.photo, self.vgg, self.objective = photo, vgg, objective
        size = photo.shape[-2:]
        self.style_layers: dict[int, list[str]] = {}  # by the factor that the image is reduced by
        for layer in objective.measured(*size):
            name, factor = split_scale(layer)
            self.style_layers.setdefault(factor, []).append(name)
        # Squared norms of the photo's features.
        self.content_norms = dict.fromkeys(objective.content_layers, 0.0)
        with torch.no_grad():
            for tile in split_image(*size):
                for layer, x in self.content_features(tile).items():
                    self.content_norms[layer] += x.float().square().sum().item()

    def content_features(self, tile: Tile) -> dict[str, Tensor]:
        """Return the photo's features of a tile's own pixels."""
        features = self.vgg(self.photo[..., tile.rows, tile.columns], self.objective.content_layers)
        return {layer: tile.crop_to_own(x, step_of(layer)) for layer, x in features.items()}

    @torch.enable_grad()
    def __call__(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Evaluate (1,3,H,W) in [0,1].

        Returns:
            The objective's terms and their total, as ``Objective`` returns them, and the gradient by the
            pixels.
        """
        objective = self.objective
        pixels = pixels.detach()
        images = {n: pixels if n == 1 else reduce(pixels, n) for n in {1, *self.style_layers}}
        terms = {"content": pixels.new_zeros(())}
        style_terms, gram_gradients = self.evaluate_style(images)
        terms |= style_terms
        gradient = torch.zeros_like(pixels)
        for n, image in images.items():
            content_layers = objective.content_layers if n == 1 else {}
            part, content = self.backward(image, gram_gradients.get(n, {}), content_layers)
            terms["content"] = terms["content"] + content
            if n > 1:
                part = part.repeat_interleave(n, 2).repeat_interleave(n, 3) / n**2
            gradient[..., : part.shape[-2], : part.shape[-1]] += part
        leaf = pixels.clone().requires_grad_()
        variation = objective.preset.variation(leaf).mean()
        (variation_gradient,) = torch.autograd.grad(objective.tv_weight * variation, [leaf])
        terms["variation"] = variation.detach()
        terms["total"] = (
            objective.content_weight * terms["content"]
            + objective.style_weight * terms["style"]
            + objective.tv_weight * terms["variation"]
        )
        return terms, gradient + variation_gradient

    def evaluate_style(
        self, images: Mapping[int, Tensor]
    ) -> tuple[dict[str, Tensor], dict[int, dict[str, Tensor]]]:
        """Evaluate the style on the Gram matrices of whole images.

        Args:
            images: (1,3,h,w) in [0,1] by the factor that they are reduced by.

        Returns:
            The style's terms, and the gradient by each Gram matrix, (1,C,C) by factor and layer.
        """
        objective = self.objective
        grams = {n: self.sum_grams(images[n], n) for n in self.style_layers}
        total = images[1].new_zeros(())
        terms = {"style": total}
        for n, by_layer in grams.items():
            for name, leaf in by_layer.items():
                layer = name if n == 1 else f"{name}/{n}"
                distance = objective.whole_distance(leaf, layer).mean()
                terms[f"style_{layer}"] = distance.detach()
                total = total + objective.style_layers[layer] * distance
        terms["style"] = total.detach()
        leaves = [leaf for by_layer in grams.values() for leaf in by_layer.values()]
        found = iter(torch.autograd.grad(objective.style_weight * total, leaves) if leaves else ())
        return terms, {n: {name: next(found) for name in by_layer} for n, by_layer in grams.items()}

    @torch.no_grad()
    def sum_grams(self, image: Tensor, factor: int) -> dict[str, Tensor]:
        """Add the Gram matrices up over the tiles; return leaves of autograd, (1,C,C) by layer."""
        sums: dict[str, Tensor] = {}
        positions = dict.fromkeys(self.style_layers[factor], 0)
        for tile in split_image(*image.shape[-2:]):
            features = self.vgg(image[..., tile.rows, tile.columns], self.style_layers[factor])
            for layer, x in features.items():
                own = tile.crop_to_own(x, step_of(layer))
                count = own.shape[-2] * own.shape[-1]
                if count:
                    sums[layer] = sums.get(layer, 0) + gram(own) * count
                    positions[layer] += count
        return {layer: (total / positions[layer]).requires_grad_() for layer, total in sums.items()}

    def backward(
        self, image: Tensor, gram_gradients: Mapping[str, Tensor], content_layers: Mapping[str, float]
    ) -> tuple[Tensor, Tensor]:
        """Take the gradients of style and content back to the pixels, tile by tile.

        Args:
            image: (1,3,h,w) in [0,1].
            gram_gradients: Gradient of the objective by each Gram matrix, (1,C,C) by layer.
            content_layers: Layers that are compared with the photo's, with their weights; none at a
                reduced size.

        Returns:
            The gradient by the pixels, (1,3,h,w), and the content's term before its weight.
        """
        gradient, content = torch.zeros_like(image), image.new_zeros(())
        height, width = image.shape[-2:]
        for tile in split_image(height, width):
            window = image[..., tile.rows, tile.columns].clone().requires_grad_()
            features = self.vgg(window, {*gram_gradients, *content_layers})
            loss = window.new_zeros(())
            for layer, gram_gradient in gram_gradients.items():
                step = step_of(layer)
                own = tile.crop_to_own(features[layer], step)
                if share := own.shape[-2] * own.shape[-1] / ((height // step) * (width // step)):
                    loss = loss + share * (gram(own) * gram_gradient).sum()
            if content_layers:
                with torch.no_grad():
                    targets = self.content_features(tile)
            for layer, weight in content_layers.items():
                own = tile.crop_to_own(features[layer], step_of(layer)).float()
                difference = (own - targets[layer].float()).square().sum()
                distance = difference / max(self.content_norms[layer], 1e-12)
                content = content + weight * distance.detach()
                loss = loss + self.objective.content_weight * weight * distance
            if loss.requires_grad:
                (window_gradient,) = torch.autograd.grad(loss, [window])
                gradient[..., tile.rows, tile.columns] += window_gradient
        return gradient, content
