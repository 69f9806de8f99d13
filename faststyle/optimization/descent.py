"""Gradient descent on the pixels of one image, which yields every evaluation of the objective."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from faststyle.errors import InputError
from faststyle.losses.objective import Objective
from faststyle.losses.statistics import STATISTICS
from faststyle.losses.vgg import VGG
from faststyle.optimization.tiles import MAX_WHOLE_PIXELS, TiledEvaluation
from faststyle.registry import choose


class Step(NamedTuple):
    """One evaluation of the objective."""

    number: int
    """Number of updates before the evaluation; 0 is the start."""
    terms: dict[str, float]
    """Terms of the objective before their weights, and total, their weighted sum."""
    picture: Tensor
    """Pixels that were evaluated, (1,3,H,W) in [0,1]."""


HISTORY_SIZE = 20  # updates that L-BFGS remembers; 10, 30 and 100 reach the same objective
MAX_HISTORY_BYTES = 800_000_000  # L-BFGS remembers an update as two images of float32


def make_lbfgs(pixels: Tensor, learning_rate: float | None) -> torch.optim.Optimizer:
    """Return L-BFGS that makes one evaluation a step, without line search and without early stopping."""
    return torch.optim.LBFGS(
        [pixels],
        lr=1.0 if learning_rate is None else learning_rate,
        max_iter=1,
        history_size=max(3, min(HISTORY_SIZE, MAX_HISTORY_BYTES // (8 * pixels.numel()))),
        tolerance_grad=0,
        tolerance_change=0,
    )


def make_adam(pixels: Tensor, learning_rate: float | None) -> torch.optim.Optimizer:
    """Return Adam with a default learning rate for pixels."""
    return torch.optim.Adam([pixels], lr=0.02 if learning_rate is None else learning_rate)


# Lengths of a move: root mean square of the change of the values in [0,1].
MAX_MOVE = 0.05  # Adam's moves at its usual learning rates are shorter
# L-BFGS does not know the curvature yet at its first move, and the length of the gradient is no guide.
FIRST_MOVE = 0.035
OPTIMIZERS = {"lbfgs": make_lbfgs, "adam": make_adam}


def check_precision(precision: torch.dtype) -> None:
    """Refuse float16, in which most of the gradient would be lost.

    Raises:
        InputError: The precision is float16.
    """
    if precision == torch.float16:
        raise InputError(
            "`precision` fp16 is for stylizing alone, because VGG's gradients vanish in it: take bf16 or fp32"
        )


def has_whole_grams(objective: Objective) -> bool:
    """Return True where the style is Gram matrices of whole images, which can be summed over tiles."""
    is_relative_gram = objective.preset.style is None and objective.statistic is STATISTICS["gram"]
    return is_relative_gram and not any(region is not None for region in objective.regions)


def can_be_tiled(objective: Objective) -> bool:
    """Return True where no layer of the objective sees beyond the halo of ``TiledEvaluation``'s tiles."""
    fits_halo = all(layer.partition("/")[0] <= "relu5_1" for layer in objective.layers)
    content_at_full_size = not any("/" in layer for layer in objective.content_layers)
    return fits_halo and content_at_full_size and has_whole_grams(objective)


class Evaluation:
    """The objective of an image, whole or in tiles, evaluated at its present pixels.

    Args:
        pixels: (1,3,H,W) in [0,1], which require a gradient and change in place between evaluations.
        photo: (1,3,H,W) in [0,1].
        vgg: VGG with the objective's layers, on the same device.
        objective: Objective with its style set.

    Attributes:
        terms: The terms of the last evaluation, before their weights, and total.
    """

    def __init__(self, pixels: Tensor, photo: Tensor, vgg: VGG, objective: Objective):
        self.pixels, self.vgg, self.objective = pixels, vgg, objective
        self.terms: dict[str, Tensor] = {}
        self.tiled = None
        self.content: dict[str, Tensor] = {}
        if pixels.shape[-2] * pixels.shape[-1] > MAX_WHOLE_PIXELS and can_be_tiled(objective):
            self.tiled = TiledEvaluation(photo, vgg, objective)
        else:
            with torch.no_grad():
                self.content = vgg(photo, objective.content_layers)

    def backward(self) -> float:
        """Evaluate, set the gradient of the pixels, and return the total."""
        self.pixels.grad = None
        if self.tiled is not None:
            self.terms, self.pixels.grad = self.tiled(self.pixels)
        else:
            self.terms = self.evaluate_whole()
            self.terms["total"].backward()
        return self.terms["total"].item()

    @torch.no_grad()
    def forward(self) -> None:
        """Evaluate without a gradient."""
        self.terms = self.evaluate_whole() if self.tiled is None else self.tiled(self.pixels)[0]

    def evaluate_whole(self) -> dict[str, Tensor]:
        """Return the terms of the objective, from the features of the whole image."""
        features = self.vgg(self.pixels, self.objective.layers_at(*self.pixels.shape[-2:]))
        devices = [self.pixels.device] if self.pixels.device.type == "cuda" else []
        # Random statistics get the same numbers each time, because L-BFGS needs one function.
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            return self.objective(self.pixels, features, self.content)

    def values(self) -> dict[str, float]:
        """Return the terms as numbers, in one transfer, because each transfer makes a GPU wait."""
        return dict(zip(self.terms, torch.stack([*self.terms.values()]).tolist(), strict=True))


def descend(
    start: Tensor,
    photo: Tensor,
    vgg: VGG,
    objective: Objective,
    steps: int,
    optimizer: str = "lbfgs",
    learning_rate: float | None = None,
    first_move: float = FIRST_MOVE,
) -> Iterator[Step]:
    """Lower the objective by changing pixels, and yield every evaluation as it is made.

    After each update the pixels are projected into [0,1], so that what is measured is an image
    (projected L-BFGS, as Johnson et al. 2016 measure their figure 5). A move longer than ``MAX_MOVE`` is
    shortened, because L-BFGS without a line search makes first moves that go far astray.

    Args:
        start: (1,3,H,W) in [0,1].
        photo: (1,3,H,W) in [0,1]: the content.
        vgg: VGG with the objective's layers, on the same device.
        objective: Objective with its style set.
        steps: Number of updates; one more evaluation measures the last.
        optimizer: lbfgs or adam.
        learning_rate: By default 1 for L-BFGS and 0.02 for Adam.
        first_move: Length of L-BFGS's first move: root mean square over the values in [0,1].

    Yields:
        ``steps`` + 1 evaluations.

    Raises:
        InputError: The objective is not a number.
    """
    pixels = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    make_optimizer = choose("optimizer", optimizer, OPTIMIZERS)
    updater = make_optimizer(pixels, learning_rate)
    evaluation = Evaluation(pixels, photo, vgg, objective)
    # L-BFGS knows no scale at first. Its first move has a length of its own, which is quartered until an
    # evaluation is lower than the start's.
    searching, length, lowest = optimizer == "lbfgs", first_move, math.inf
    for number in range(steps + 1):
        image = pixels.detach().clone()
        if number < steps:
            updater.step(evaluation.backward)
        else:
            evaluation.forward()
        terms = evaluation.values()
        check_total(terms["total"], number)
        yield Step(number, terms, image)
        if searching and terms["total"] >= lowest:
            length /= 4
            with torch.no_grad():
                pixels.copy_(start.lerp(image, 0.25))
            updater = make_optimizer(pixels, learning_rate)
            continue
        is_first_move = searching and updater.state[pixels].get("n_iter") == 1
        searching, lowest = searching and number == 0, min(lowest, terms["total"])
        limit_move(updater, pixels, image, length if is_first_move else None)


def check_total(total: float, step: int) -> None:
    """Refuse an objective that is infinite or not a number.

    Raises:
        InputError: The total is infinite or not a number.
    """
    if not math.isfinite(total):
        raise InputError(
            f"the objective was not a number at step {step}: lower `style_weight`, or set "
            "`optimizer` to adam or `precision` to fp32"
        )


@torch.no_grad()
def limit_move(updater: torch.optim.Optimizer, pixels: Tensor, image: Tensor, length: float | None) -> None:
    """Shorten the optimizer's last move, project the pixels into [0,1], and update L-BFGS's memory.

    Args:
        updater: The optimizer that moved the pixels.
        pixels: (1,3,H,W), changed in place.
        image: The pixels before the move.
        length: Length of the move, root mean square; by default at most ``MAX_MOVE``.
    """
    move = pixels - image
    size = move.square().mean().sqrt().clamp_min(1e-12)
    move *= (MAX_MOVE / size).clamp_max(1) if length is None else length / size
    pixels.copy_((image + move).clamp_(0, 1))
    memory = updater.state[pixels]
    if "d" in memory:  # L-BFGS learns the curvature from the move that was made
        memory["d"], memory["t"] = (pixels - image).flatten(), 1.0
