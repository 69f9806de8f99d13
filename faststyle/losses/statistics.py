"""Style statistics of VGG features, and the distances between them."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from faststyle.losses.patches import deep_correlation, mrf, style_swap

TINY = 1e-12  # floor of a denominator, for styles without any texture


def at_least_float32(x: Tensor) -> Tensor:
    """Return half precisions in float32, others as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def in_float32(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run a function in float32: sums over positions overflow float16 and are coarse in bfloat16."""

    @wraps(function)
    def run(*tensors: Tensor) -> Tensor:
        with torch.autocast(tensors[0].device.type, enabled=False):
            return function(*(at_least_float32(tensor) for tensor in tensors))

    return run


def mean_square(x: Tensor) -> Tensor:
    """Return the mean of the squares of each image's values: (B,…) to (B,)."""
    return x.flatten(1).square().mean(1)


@in_float32
def relative(x: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference over the target's mean square: (B,…) twice to (B,)."""
    return mean_square(x - target) / mean_square(target).clamp(min=TINY)


def bounded_relative(x: Tensor, target: Tensor) -> Tensor:
    """Return ‖x−t‖² / (‖x‖² + ‖t‖²), which is from 0 to 1 for Gram matrices: (B,…) twice to (B,)."""
    return mean_square(x - target) / (mean_square(x) + mean_square(target)).clamp(min=TINY)


class SelfProduct(torch.autograd.Function):
    """X Xᵀ of (B,C,N), with one product in the backward pass, where autograd makes two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        both = grad + grad.transpose(1, 2)
        # The result has the memory layout of the features, whose channels may come last.
        return (x.transpose(1, 2) @ both).transpose(1, 2) if x.stride(1) == 1 else both @ x


def gram(features: Tensor) -> Tensor:
    """Compute the Gram matrix: the mean over positions of the products of every two channels.

    Dividing by the positions alone lets images of different sizes be compared. Features in bfloat16 are
    multiplied in bfloat16, with sums in float32. Features in float16 are converted to float32 first, because
    float16 would overflow.
    Gatys et al., "Image style transfer using convolutional neural networks", CVPR 2016.

    Args:
        features: (B,C,…), such as (B,C,H,W).

    Returns:
        (B,C,C) float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        flat = features.flatten(2)  # (B,C,N), a view also where channels come last
        if flat.dtype == torch.float16:
            flat = flat.float()
        return at_least_float32(SelfProduct.apply(flat)) / flat.shape[2]


@in_float32
def covariance(x: Tensor) -> Tensor:
    """Compute the covariance of the channels: (B,C,N) to (B,C,C)."""
    return gram(x - x.mean(2, keepdim=True))


@in_float32
def moments(x: Tensor) -> Tensor:
    """Compute each channel's mean and standard deviation: (B,C,N) to (B,C,2).

    Li et al., "Demystifying neural style transfer", IJCAI 2017; also what AdaIN exchanges.
    """
    variance, mean = torch.var_mean(x, 2, correction=0)
    return torch.stack([mean, (variance + 1e-8).sqrt()], 2)  # the root's slope at 0 is infinite


@in_float32
def four_moments(x: Tensor) -> Tensor:
    """Compute each channel's mean, standard deviation, skewness and kurtosis: (B,C,N) to (B,C,4)."""
    two = moments(x)
    standard = (x - two[:, :, :1]) / two[:, :, 1:]
    square = standard.square()
    return torch.cat([two, torch.stack([(square * standard).mean(2), square.square().mean(2)], 2)], 2)


@in_float32
def relative_by_moment(x: Tensor, target: Tensor) -> Tensor:
    """Average the relative distances of the four moments, all with the same weight: (B,C,4) twice to (B,)."""
    return torch.stack([relative(x[:, :, k], target[:, :, k]) for k in range(4)], 1).mean(1)


def with_mean(matrix: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return a function that puts each channel's mean before its matrix: (B,C,N) to (B,C,1+C)."""
    return in_float32(lambda x: torch.cat([x.mean(2, keepdim=True), matrix(x)], 2))


@in_float32
def polynomial_mmd(x: Tensor, style: Tensor) -> Tensor:
    """Compute the maximum mean discrepancy with the kernel (xᵀy + c)²: means and Grams (B,C,1+C) to (B,).

    With G and A the Gram matrices, it equals ‖G−A‖² + 2c‖μ−ν‖²: all pairs of positions, without a
    quadratic cost. c is the style's mean squared norm, so that neither term is negligible.
    Li et al., "Demystifying neural style transfer", IJCAI 2017.
    """
    c = style[:, :, 1:].diagonal(dim1=1, dim2=2).sum(1)  # (1,)

    def squared(x: Tensor) -> Tensor:
        return x[:, :, 1:].square().sum((1, 2)) + 2 * c * x[:, :, 0].square().sum(1)

    return squared(x - style) / squared(style).clamp(min=TINY)


@cache
def normal_frequencies(channels: int) -> Tensor:
    """Return fixed random frequencies (2C,C), so that every evaluation is of one function."""
    return torch.randn(2 * channels, channels, generator=torch.Generator().manual_seed(0))


def mean_waves(x: Tensor, frequencies: Tensor) -> Tensor:
    """Average cosine and sine over the positions: (B,C,N) and (K,C) to (B,2K)."""
    angles = frequencies @ x
    return torch.cat([angles.cos().mean(2), angles.sin().mean(2)], 1)


@in_float32
def positions(x: Tensor) -> Tensor:
    """Return the features, for distances that need those of both images: (B,C,…)."""
    return x


@in_float32
def gaussian_mmd(x: Tensor, style: Tensor) -> Tensor:
    """Compute the maximum mean discrepancy with the kernel exp(−‖x−y‖²/σ²): (B,C,N), (1,C,M) to (B,).

    σ² is the mean squared distance within the style. The kernel is approximated by 2C random Fourier
    features, so that the cost is linear in the number of positions.
    Rahimi and Recht, "Random features for large-scale kernel machines", NeurIPS 2007.
    """
    with torch.no_grad():
        spread = 2 * (style - style.mean(2, keepdim=True)).square().sum(1).mean()  # σ²
        spread = spread.clamp(min=1e-3 * style.square().sum(1).mean() + TINY)  # a flat style has none
        frequencies = normal_frequencies(x.shape[1]).to(x.device) * (2 / spread).sqrt()
        target = mean_waves(style, frequencies)
        nothing = mean_waves(torch.zeros_like(style[:, :, :1]), frequencies)
    return mean_square(mean_waves(x, frequencies) - target) / mean_square(nothing - target).clamp(min=TINY)


@in_float32
def quantiles(x: Tensor) -> Tensor:
    """Sort each channel's values: (B,C,N)."""
    return x.sort(2).values


@in_float32
def quantile_distance(x: Tensor, style: Tensor) -> Tensor:
    """Average the squared differences to the style's values of the same rank: (B,C,N), (1,C,M) to (B,).

    Ranks carry no gradient, so this is the distance to the histogram-matched features.
    Risser et al., "Stable and controllable neural texture synthesis and style transfer using
    histogram losses", 2017, https://arxiv.org/abs/1701.08893.
    """
    target = style
    if x.shape[2] != style.shape[2]:
        target = F.interpolate(style, x.shape[2], mode="linear", align_corners=True)
    return mean_square(x - target) / mean_square(style).clamp(min=TINY)


@in_float32
def sliced_wasserstein(x: Tensor, style: Tensor) -> Tensor:
    """Average the squared 2-Wasserstein distance over C random directions: (B,C,N), (1,C,M) to (B,).

    Each call takes new directions from torch's global generator.
    Heitz et al., "A sliced Wasserstein loss for neural texture synthesis", CVPR 2021.
    """
    directions = F.normalize(torch.randn(x.shape[1], x.shape[1], device=x.device), dim=1)
    with torch.no_grad():
        target = quantiles(directions @ style)
    return quantile_distance(quantiles(directions @ x), target)


@in_float32
def gaussian_wasserstein(x: Tensor, style: Tensor) -> Tensor:
    """Compute the squared 2-Wasserstein distance of normal distributions: mean, covariance (B,C,1+C) to (B,).

    ‖μ−ν‖² + tr A + tr B − 2 tr (B^½ A B^½)^½. It is computed in float64: float32 rounds eigenvalues
    of 0 to 1e-7, whose root is not small, and singular matrices have hundreds of them.
    Olkin and Pukelsheim, "The distance between two random vectors with given dispersion matrices", 1982.
    """
    device = torch.device("cpu") if x.device.type == "mps" else x.device  # MPS has no float64
    x64, style64 = x.to(device, torch.float64), style.to(device, torch.float64)
    with torch.no_grad():
        values, vectors = torch.linalg.eigh(style64[:, :, 1:])
        root = vectors @ (values.clamp(min=0).sqrt().unsqueeze(2) * vectors.transpose(1, 2))
        smallest = 1e-6 * values[:, -1:].clamp(min=TINY)
        size = style64[:, :, 0].square().sum(1) + values.clamp(min=0).sum(1)
    # Unlike the gradient of eigenvectors, that of eigenvalues is finite where two are equal.
    product = torch.linalg.eigvalsh(root @ x64[:, :, 1:] @ root).clamp(min=0)
    common = ((product + smallest.square()).sqrt() - smallest).sum(1)  # the root's slope at 0 is infinite
    trace = (x64[:, :, 1:] + style64[:, :, 1:]).diagonal(dim1=1, dim2=2).sum(1)
    between = (x64[:, :, 0] - style64[:, :, 0]).square().sum(1)
    return ((between + trace - 2 * common) / size.clamp(min=TINY)).to(x.device, torch.float32)


class Statistic(NamedTuple):
    """A style statistic of the features at one layer, and the distance between two images' statistics.

    A distance is relative: 0 where both are equal, about 1 where the image's features are all
    zero, so that one weight means the same for every statistic, layer, VGG and image size.

    Attributes:
        represent: Maps features (B,C,N), positions in any order, to what is compared, (B,…) float32.
        distance: Maps the images' representation (B,…) and the style's (1,…) to (B,).
        spatial: represent takes (B,C,H,W), because it looks at neighbours. It cannot be limited to a region.
        layers: VGG layers that the statistic is meant for, with weights; None for the objective's own.
        swap: Maps the photo's and the style's representation to the target. Such a target belongs to one
            photo, so the statistic serves only the per-image baseline.
    """

    represent: Callable[[Tensor], Tensor]
    distance: Callable[[Tensor, Tensor], Tensor]
    spatial: bool = False
    layers: dict[str, float] | None = None
    swap: Callable[[Tensor, Tensor], Tensor] | None = None


STATISTICS: dict[str, Statistic] = {
    "gram": Statistic(gram, relative),
    "covariance": Statistic(covariance, relative),
    "moments": Statistic(moments, relative),
    "moments-4": Statistic(four_moments, relative_by_moment),
    "mmd-linear": Statistic(in_float32(lambda x: x.mean(2)), relative),
    "mmd-polynomial": Statistic(with_mean(gram), polynomial_mmd),
    "mmd-gaussian": Statistic(positions, gaussian_mmd),
    "histogram": Statistic(quantiles, quantile_distance),
    "sliced-wasserstein": Statistic(positions, sliced_wasserstein),
    "wasserstein": Statistic(with_mean(covariance), gaussian_wasserstein),
    "mrf": Statistic(positions, in_float32(mrf), True, {"relu3_1": 0.5, "relu4_1": 0.5}),
    "style-swap": Statistic(positions, relative, True, {"relu3_1": 1.0}, in_float32(style_swap)),
    "deep-correlation": Statistic(
        in_float32(deep_correlation), relative, True, {"relu3_3": 0.5, "relu4_3": 0.5}
    ),
}
