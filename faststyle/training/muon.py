"""The optimizer Muon: momentum with orthogonalized updates.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. torch.optim.Muon accepts only matrices, but the
kernels of convolutions have four dimensions.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from faststyle.device import has_fast_bfloat16


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of an (M,N) matrix near 1 by a Newton-Schulz iteration."""
    x = matrix / (matrix.norm() + 1e-7)
    # bfloat16 as the authors do. It is not faster below about 96 rows.
    if x.dtype == torch.float32 and min(x.shape) >= 96 and has_fast_bfloat16(x.device):
        x = x.bfloat16()
    if tall := len(x) > x.shape[1]:
        x = x.T  # so that the products have the size of the shorter side
    for _ in range(steps):
        product = x @ x.T
        # The authors' polynomial. It does not converge to 1, but comes near it in the fewest steps.
        change = torch.addmm(product, product, product, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, change, x, beta=3.4445)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for kernels and matrices and Adam for vectors, with one learning rate.

    Departs from the authors, who train the first and last layers with Adam: here Muon trains
    them well too. A kernel (C_out,C_in,h,w) is treated as the matrix (C_out,C_in·h·w). Its update is scaled
    to the root mean square that Adam's updates usually have (Liu et al., "Muon is scalable for LLM
    training", 2025), so that one learning rate suits both.

    Args:
        parameters: Parameters of a network.
        lr: Learning rate.
        momentum: Nesterov momentum of the kernels' gradients.
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
            closure: Function that computes the loss and its gradients; Lightning passes one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, update in zip(self.param_groups, (self.muon_update, self.adam_update), strict=True):
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * update(parameter, parameter.grad, group["momentum"]))
        return loss

    def muon_update(self, kernel: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        state["momentum"].mul_(momentum).add_(gradient)
        matrix = gradient.add(state["momentum"], alpha=momentum).flatten(1)  # (C_out,C_in·h·w)
        return 0.2 * max(matrix.shape) ** 0.5 * orthogonalize(matrix).view_as(kernel)

    def adam_update(self, vector: Tensor, gradient: Tensor, _: float) -> Tensor:
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
