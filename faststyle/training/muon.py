"""Muon: momentum whose every update turns all of a matrix's directions alike.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. torch.optim.Muon takes matrices alone; a network of
convolutions has four dimensions.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from faststyle.device import has_fast_bfloat16


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring a matrix's singular values near 1, (M,N) to (M,N), by a Newton-Schulz iteration."""
    x = matrix / (matrix.norm() + 1e-7)
    # The authors' precision. Below about 96 rows it gains nothing.
    if x.dtype == torch.float32 and min(x.shape) >= 96 and has_fast_bfloat16(x.device):
        x = x.bfloat16()
    if tall := len(x) > x.shape[1]:
        x = x.T  # the products are of the shorter side
    for _ in range(steps):
        product = x @ x.T
        # The authors' polynomial: it does not settle at 1, but comes near it soonest.
        change = torch.addmm(product, product, product, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, change, x, beta=3.4445)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for kernels and matrices, Adam for what has one dimension, at one learning rate.

    Departs from the authors, who leave a network's first and last layers to Adam: here they did well.
    A kernel (C_out,C_in,h,w) counts as the matrix (C_out,C_in·h·w). Its update is scaled to the root
    mean square that Adam's usually has (Liu et al., "Muon is scalable for LLM training", 2025), so
    that a learning rate means the same for both.

    Args:
        parameters: of a network.
        lr: the learning rate.
        momentum: of the kernels' gradients, with Nesterov's look ahead.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95):
        kernels: list[Tensor] = []
        vectors: list[Tensor] = []
        for parameter in parameters:
            (kernels if parameter.ndim > 1 else vectors).append(parameter)
        super().__init__([{"params": kernels}, {"params": vectors}], {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make one update.

        Args:
            closure: computes the loss and its gradients anew, as Lightning wants it.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, update in zip(self.param_groups, (self.turn, self.adam), strict=True):
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * update(parameter, parameter.grad, group["momentum"]))
        return loss

    def turn(self, kernel: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        state["momentum"].mul_(momentum).add_(gradient)
        matrix = gradient.add(state["momentum"], alpha=momentum).flatten(1)  # (C_out,C_in·h·w)
        return 0.2 * max(matrix.shape) ** 0.5 * orthogonalize(matrix).view_as(kernel)

    def adam(self, vector: Tensor, gradient: Tensor, _: float) -> Tensor:
        state = self.state[vector]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(vector), torch.zeros_like(vector)
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - 0.9)
        state["square"].lerp_(gradient.square(), 1 - 0.999)
        mean = state["mean"] / (1 - 0.9 ** state["step"].item())
        square = state["square"] / (1 - 0.999 ** state["step"].item())
        return mean / (square.sqrt() + 1e-8)
