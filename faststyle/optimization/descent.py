"""Gradient descent on the pixels of one picture: every evaluation of the objective, as it is made."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from faststyle.errors import InputError
from faststyle.losses.objective import Objective
from faststyle.losses.statistics import STATISTICS
from faststyle.losses.vgg import VGG
from faststyle.optimization.tiles import MAX_WHOLE, TiledEvaluation
from faststyle.registry import choose


class Step(NamedTuple):
    """One evaluation of the objective.

    Attributes:
        number: of the updates before it; 0 is the start.
        terms: the objective's terms, before their weights, and total.
        picture: (1,3,H,W) in [0,1], the very pixels that were measured.
    """

    number: int
    terms: dict[str, float]
    picture: Tensor


HISTORY = 20  # updates that L-BFGS remembers; with 10, 30 and 100 it reached the same
MAX_HISTORY_BYTES = 800_000_000  # of what it remembers: two images of float32 for each update


def lbfgs(pixels: Tensor, learning_rate: float | None) -> torch.optim.Optimizer:
    # One evaluation a step, no line search, and no end before the last step.
    return torch.optim.LBFGS(
        [pixels],
        lr=1.0 if learning_rate is None else learning_rate,
        max_iter=1,
        history_size=max(3, min(HISTORY, MAX_HISTORY_BYTES // (8 * pixels.numel()))),
        tolerance_grad=0,
        tolerance_change=0,
    )


def adam(pixels: Tensor, learning_rate: float | None) -> torch.optim.Optimizer:
    return torch.optim.Adam([pixels], lr=0.02 if learning_rate is None else learning_rate)


# Root mean square over the values in [0,1]; Adam's moves at its usual learning rates are shorter.
LONGEST_MOVE = 0.05
# Of L-BFGS, which knows no curvature yet: the gradient's length does not tell how far to go.
FIRST_MOVE = 0.035
OPTIMIZERS = {"lbfgs": lbfgs, "adam": adam}


def check_precision(precision: torch.dtype) -> None:
    """Refuse float16, in which most of the gradient would be lost.

    Raises:
        InputError: it is float16.
    """
    if precision == torch.float16:
        raise InputError("fp16 is for a trained model alone, VGG's gradients vanish in it: take bf16 or fp32")


def has_whole_grams(objective: Objective) -> bool:
    """Return True where the style is Gram matrices of whole images, which can be summed over tiles."""
    relative = objective.preset.style is None and objective.statistic is STATISTICS["gram"]
    return relative and not any(region is not None for region in objective.regions)


def can_be_tiled(objective: Objective) -> bool:
    """Return True where no layer of the objective sees beyond the halo of ``TiledEvaluation``'s tiles."""
    near = all(layer.partition("/")[0] <= "relu5_1" for layer in objective.layers)
    return near and has_whole_grams(objective) and not any("/" in layer for layer in objective.content_layers)


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
    """Lower the objective by changing pixels, and give every evaluation as it is made.

    After each update the pixels are brought back into [0,1], so that what is measured is a picture
    (projected L-BFGS, as Johnson et al. 2016 measure their figure 5). A move that is longer than
    ``LONGEST_MOVE`` is shortened: without a line search L-BFGS's first ones can go far astray.

    Args:
        start: (1,3,H,W) in [0,1].
        photo: (1,3,H,W) in [0,1]: the content.
        vgg: with the objective's layers, on the same device.
        objective: with its style set.
        steps: number of updates; one more evaluation measures the last.
        optimizer: lbfgs or adam.
        learning_rate: 1 for L-BFGS and 0.02 for Adam without it.
        first_move: Length of L-BFGS's first move: root mean square over the values in [0,1].

    Yields:
        ``steps`` + 1 evaluations.

    Raises:
        InputError: the objective is not a number.
    """
    pixels = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    make = choose("optimizer", optimizer, OPTIMIZERS)
    update = make(pixels, learning_rate)
    tiled = None
    if pixels.shape[-2] * pixels.shape[-1] > MAX_WHOLE and can_be_tiled(objective):
        tiled = TiledEvaluation(photo, vgg, objective)
    with torch.no_grad():
        content = {} if tiled else vgg(photo, objective.content_layers)

    devices = [pixels.device] if pixels.device.type == "cuda" else []

    def measure() -> dict[str, Tensor]:
        features = vgg(pixels, objective.layers_at(*pixels.shape[-2:]))
        # A statistic that draws gets the same draws each time: L-BFGS needs one function.
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            return objective(pixels, features, content)

    terms: dict[str, Tensor] = {}

    def closure() -> float:
        nonlocal terms
        update.zero_grad()
        if tiled is not None:
            terms, pixels.grad = tiled(pixels)
        else:
            terms = measure()
            terms["total"].backward()
        return terms["total"].item()

    # L-BFGS knows no scale at first: its first move has a length of its own, which is quartered until an
    # evaluation is lower than the start's.
    searching, length, begun = optimizer == "lbfgs", first_move, math.inf
    for number in range(steps + 1):
        picture = pixels.detach().clone()
        if number < steps:
            update.step(closure)
        else:
            with torch.no_grad():
                terms = tiled(pixels)[0] if tiled is not None else measure()
        # One transfer: each would make a GPU wait.
        figures = dict(zip(terms, torch.stack([*terms.values()]).tolist(), strict=True))
        if not math.isfinite(figures["total"]):
            raise InputError(
                f"the objective was not a number at step {number}: lower `style_weight`, or set "
                "`optimizer` to adam or `precision` to fp32"
            )
        yield Step(number, figures, picture)
        with torch.no_grad():
            if searching and figures["total"] >= begun:
                length /= 4
                pixels.copy_(start.lerp(picture, 0.25))
                update = make(pixels, learning_rate)
                continue
            first = searching and update.state[pixels].get("n_iter") == 1
            searching, begun = searching and number == 0, min(begun, figures["total"])
            move = pixels - picture
            size = move.square().mean().sqrt().clamp_min(1e-12)
            move *= length / size if first else (LONGEST_MOVE / size).clamp_max(1)
            pixels.copy_((picture + move).clamp_(0, 1))
            memory = update.state[pixels]
            if "d" in memory:  # L-BFGS is to learn the curvature from the move that was made
                memory["d"], memory["t"] = (pixels - picture).flatten(), 1.0
