"""Layers whose learning rate is equal, whatever their size.

Weights are standard normal and are scaled when they are used, so that Adam's step is the same
fraction of every layer's weight (Karras et al. 2018, arXiv:1710.10196, section 4.1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.nn.convolution import conv2d


class EqualisedLinear(nn.Module):
    r"""Dense layer :math:`y = c W x + \rho b` with :math:`c = \rho\, gain / \sqrt{n_{in}}`.

    Parameters
    ----------
    features_in, features_out
        Lengths of the vectors.
    bias
        With a bias.
    gain
        Of the initial response: its standard deviation for standard normal input.
    rate
        Learning rate relative to other layers, :math:`\rho`.
    bias_start
        Initial value of the bias as it is used.
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        bias: bool = True,
        gain: float = 1.0,
        rate: float = 1.0,
        bias_start: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features_out, features_in) / rate)
        start = torch.full((features_out,), bias_start / rate)
        self.bias = nn.Parameter(start) if bias else None
        self.scale, self.rate = rate * gain / math.sqrt(features_in), rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, features_in) to (N, features_out)."""
        bias = self.bias if self.bias is None or self.rate == 1 else self.bias * self.rate
        return F.linear(x, self.weight * self.scale, bias)


class EqualisedConv2d(nn.Module):
    r"""Convolution with weights :math:`gain / \sqrt{k^2 n_{in}}` times a standard normal.

    Parameters
    ----------
    features_in, features_out
        Feature maps.
    kernel
        Side of the square kernel k.
    stride, padding
        As of a convolution; padding None for ``kernel // 2``.
    bias, gain
        As of `EqualisedLinear`.
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features_out, features_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(features_out)) if bias else None
        self.scale = gain / math.sqrt(features_in * kernel**2)
        self.stride, self.padding = stride, kernel // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, features_in, H, W) to (N, features_out, H', W')."""
        weight = self.weight * self.scale
        return conv2d(x, weight, self.bias, stride=self.stride, padding=self.padding)


def pixel_norm(x: Tensor) -> Tensor:
    """Each pixel's (or row's) features, axis 1, scaled to a mean square of 1, in float32
    (Karras et al. 2018, section 4.2).
    """
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(dim=1, keepdim=True) + 1e-8)).to(x.dtype)
