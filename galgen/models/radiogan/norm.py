"""Layer norm of single feature maps, whose gradients are quick to differentiate."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

#: As of `torch.nn.LayerNorm`.
EPSILON = 1e-5


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


def _project(g: Tensor, y: Tensor, rate: Tensor, overlap: Tensor) -> Tensor:
    """Jacobian of y times g; it is symmetric. `overlap` is the mean of g y."""
    return torch.addcmul(g - _mean(g), y, overlap, value=-1).mul_(rate)


class _Normalise(torch.autograd.Function):
    """Maps x to y of mean 0 and variance 1; gives y and 1 / sqrt(variance)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x - _mean(x)
        rate = torch.rsqrt(_mean(y.square()) + EPSILON)
        y.mul_(rate)
        ctx.save_for_backward(x, y, rate)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (g,), (x, y, rate) = gradients, ctx.saved_tensors
        return cast(Tensor, _Gradient.apply(g, x, y.detach(), rate))


class _Gradient(torch.autograd.Function):
    r"""The gradient of x, :math:`J g = r (g - \bar g - y \overline{g y})`, itself differentiable.

    With :math:`\partial r / \partial x = -r^2 y / D` and :math:`\partial y / \partial x = J`, over
    the D pixels of a map, the gradient of :math:`v^T J g` with respect to x is
    :math:`-r (\overline{v J g} y + \overline{v y} J g + \overline{g y} J v)`.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, y: Tensor, rate: Tensor) -> Tensor:
        overlap = _mean(g * y)
        result = _project(g, y, rate, overlap)
        ctx.save_for_backward(y, rate, overlap, result)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        (v,), (y, rate, overlap, result) = gradients, ctx.saved_tensors
        mine = _mean(v * y)
        back = _project(v, y, rate, mine)
        bent = torch.addcmul(y * _mean(v * result), result, mine)
        bent = torch.addcmul(bent, back, overlap).mul_(-rate)
        return back, bent, None, None


class MapNorm(nn.Module):
    """Layer norm (Ba et al. 2016, arXiv:1607.06450) of each feature map by itself, with one weight
    and one offset for each pixel, which all maps share.

    Parameters
    ----------
    side
        Of the maps.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(side, side))
        self.bias = nn.Parameter(torch.zeros(side, side))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, side, side) to the same shape, in float32; two gradients deep."""
        y: Tensor = _Normalise.apply(x.float())
        return y * self.weight + self.bias
