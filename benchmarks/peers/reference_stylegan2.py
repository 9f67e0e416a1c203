"""StyleGAN2 from its paper (Karras et al. 2020, arXiv:1912.04958) in reference operations.

Skip generator and residual critic at the widths of galgen's `stylegan2`, with the same number of
parameters, in two forms.

*plain*: to upsample, zeros are inserted between the pixels and a FIR filter smooths them; to
downsample, the filter is followed by taking every second pixel; convolutions come before or after.
Each image has its own modulated weights, so the convolution is grouped by image.

*merged*: a transposed convolution and then the filter upsample; the filter and then a strided
convolution downsample. Modulation scales the features before and behind one convolution.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.plain import LEAK, Conv, Dense, Head, Mapping, Noise, doublings_of, widths_of

ROOT2 = math.sqrt(2)


def fir(x: Tensor, up: int = 1, down: int = 1, before: int = 0, behind: int = 0) -> Tensor:
    """Insert zeros, pad, convolve every channel with [1, 3, 3, 1], take every `down`-th pixel."""
    n, channels, height, width = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, channels, height, 1, width, 1), [0, up - 1, 0, 0, 0, up - 1])
        x = x.reshape(n, channels, height * up, width * up)
    x = F.pad(x, [before, behind, before, behind])
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8 * up
    kernel = (row[:, None] * row)[None, None].repeat(channels, 1, 1, 1)
    return F.conv2d(x, kernel, groups=channels)[:, :, ::down, ::down]


class Modulated(nn.Module):
    """Modulated convolution (equations 1 and 3), perhaps with upsampling."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, latent: int, up: bool, merged: bool
    ) -> None:
        super().__init__()
        self.affine = Dense(latent, inputs, start=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.up, self.merged, self.demodulate = up, merged, kernel > 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n, style = len(x), self.affine(w)
        weights = self.weight[None] * self.scale * style[:, None, :, None, None]
        norm = None
        if self.demodulate:
            norm = torch.rsqrt(weights.square().sum(dim=(2, 3, 4)) + 1e-8)
        if self.merged:
            x = self._convolve(x * style[:, :, None, None])
            x = x if norm is None else x * norm[:, :, None, None]
        else:
            if norm is not None:
                weights = weights * norm[:, :, None, None, None]
            x = fir(x, up=2, before=2, behind=1) if self.up else x
            x = x.reshape(1, -1, *x.shape[2:])
            padding = weights.shape[-1] // 2
            x = F.conv2d(x, weights.flatten(0, 1), padding=padding, groups=n)
            x = x.reshape(n, -1, *x.shape[2:])
        return x + self.bias[:, None, None]

    def _convolve(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            return 4 * fir(x, before=1, behind=1)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


class Generator(nn.Module):
    """Skip generator (figure 7b)."""

    def __init__(
        self, size: int, bands: int, latent: int, depth: int, width: int, most: int, merged: bool
    ) -> None:
        super().__init__()
        self.latent = latent
        features = widths_of(doublings_of(size), width, most)
        self.mapping = Mapping(latent, depth)
        self.constant = nn.Parameter(torch.randn(1, features[0], 4, 4))
        self.convs, self.noises, self.to_bands = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, wide in enumerate(features):
            if level:
                self.convs.append(Modulated(features[level - 1], wide, 3, latent, True, merged))
            self.convs.append(Modulated(wide, wide, 3, latent, False, merged))
            self.to_bands.append(Modulated(wide, bands, 1, latent, False, merged))
        self.noises.extend(Noise(conv.weight.shape[0]) for conv in self.convs)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        x, picture = self.constant.repeat(len(z), 1, 1, 1), None
        for place, (conv, noise) in enumerate(zip(self.convs, self.noises, strict=True)):
            x = F.leaky_relu(noise(conv(x, w)), LEAK) * ROOT2
            if place % 2 == 0:
                share = self.to_bands[place // 2](x, w)
                coarse = 0 if picture is None else fir(picture, up=2, before=2, behind=1)
                picture = share + coarse
        return picture


class Block(nn.Module):
    """Two convolutions beside a skip (figure 7c)."""

    def __init__(self, inputs: int, outputs: int, merged: bool) -> None:
        super().__init__()
        self.conv = Conv(inputs, inputs, 3, ROOT2)
        self.halve = Conv(inputs, outputs, 3, ROOT2)
        self.skip = Conv(inputs, outputs, 1, bias=False)
        self.merged = merged

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.conv(x), LEAK)
        if self.merged:
            y = fir(y, before=2, behind=2)
            y = F.conv2d(y, self.halve.weight * self.halve.scale, self.halve.bias, stride=2)
            x = self.skip(fir(x, down=2, before=1, behind=1))
        else:
            y = fir(self.halve(y), down=2, before=1, behind=1)
            x = fir(self.skip(x), down=2, before=1, behind=1)
        return (F.leaky_relu(y, LEAK) + x) / ROOT2


class Critic(nn.Module):
    """Residual critic."""

    def __init__(self, size: int, bands: int, width: int, most: int, merged: bool) -> None:
        super().__init__()
        features = widths_of(doublings_of(size), width, most)[::-1]
        self.from_bands = Conv(bands, features[0], 1, ROOT2)
        self.blocks = nn.ModuleList(Block(a, b, merged) for a, b in pairwise(features))
        self.head = Head(features[-1])

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.from_bands(x), LEAK)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
