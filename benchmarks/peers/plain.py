"""Small parts that the plain forms share, written the shortest way that the papers allow."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2


def widths_of(doublings: int, width: int, most: int) -> list[int]:
    """Feature maps coarse to fine: `width` at the finest, doubled below it."""
    return [min(most, width * 2 ** (doublings - level)) for level in range(doublings + 1)]


def doublings_of(size: int) -> int:
    """From 4 px to a power of two."""
    return int(math.log2(size)) - 2


class Dense(nn.Module):
    """Dense layer with an equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), start))
        self.scale = gain / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class Conv(nn.Module):
    """Convolution with an equalised learning rate."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, gain: float = 1.0, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.padding = gain / math.sqrt(inputs * kernel**2), kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class Noise(nn.Module):
    """Fresh noise, one map for all channels, scaled per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.strength * torch.randn(len(x), 1, *x.shape[2:])


class Mapping(nn.Module):
    """z, scaled to a mean square of 1, through dense layers to w."""

    def __init__(self, latent: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Dense(latent, latent, math.sqrt(2)) for _ in range(depth))

    def forward(self, z: Tensor) -> Tensor:
        z = pixel_norm(z)
        for layer in self.layers:
            z = F.leaky_relu(layer(z), LEAK)
        return z


class Head(nn.Module):
    """Minibatch standard deviation over groups of four, a convolution, two dense layers."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = Conv(features + 1, features, 3, math.sqrt(2))
        self.dense = Dense(features * 16, features, math.sqrt(2))
        self.score = Dense(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        groups = x.view(-1, 4, *x.shape[1:])
        std = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        maps = std.repeat_interleave(4).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        x = F.leaky_relu(self.conv(torch.cat([x, maps], dim=1)), LEAK)
        return self.score(F.leaky_relu(self.dense(x.flatten(1)), LEAK)).squeeze(1)


def pixel_norm(x: Tensor) -> Tensor:
    """Features scaled to a mean square of 1."""
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
