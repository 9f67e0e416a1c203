"""ProGAN, StyleGAN and R3GAN from their papers, fully grown, in the plainest operations.

At the widths of galgen's pairs and with the same number of parameters, so that they do the same
work.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.plain import LEAK, Conv, Dense, Head, Mapping, Noise, doublings_of, pixel_norm, widths_of

ROOT2 = math.sqrt(2)


def doubled(x: Tensor, mode: str) -> Tensor:
    corners = False if mode == "bilinear" else None
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)


class ProGANGenerator(nn.Module):
    """Karras et al. 2018 (arXiv:1710.10196), table 2."""

    def __init__(self, size: int, bands: int, latent: int, width: int, most: int) -> None:
        super().__init__()
        self.latent = latent
        features = widths_of(doublings_of(size), width, most)
        self.dense = Dense(latent, features[0] * 16, ROOT2 / 4)
        convs = [Conv(features[0], features[0], 3, ROOT2)]
        for coarse, fine in pairwise(features):
            convs += [Conv(coarse, fine, 3, ROOT2), Conv(fine, fine, 3, ROOT2)]
        self.convs = nn.ModuleList(convs)
        self.to_bands = Conv(features[-1], bands, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(pixel_norm(z)).view(len(z), -1, 4, 4)
        x = pixel_norm(F.leaky_relu(x, LEAK))
        for place, conv in enumerate(self.convs):
            x = doubled(x, "nearest") if place % 2 else x
            x = pixel_norm(F.leaky_relu(conv(x), LEAK))
        return self.to_bands(x)


class GrownCritic(nn.Module):
    """The mirrored critic of ProGAN and StyleGAN."""

    def __init__(self, size: int, bands: int, width: int, most: int) -> None:
        super().__init__()
        features = widths_of(doublings_of(size), width, most)[::-1]
        self.from_bands = Conv(bands, features[0], 1, ROOT2)
        convs: list[Conv] = []
        for fine, coarse in pairwise(features):
            convs += [Conv(fine, fine, 3, ROOT2), Conv(fine, coarse, 3, ROOT2)]
        self.convs = nn.ModuleList(convs)
        self.head = Head(features[-1])

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.from_bands(x), LEAK)
        for place, conv in enumerate(self.convs):
            x = F.leaky_relu(conv(x), LEAK)
            x = F.avg_pool2d(x, 2) if place % 2 else x
        return self.head(x)


class Styled(nn.Module):
    """Noise, leaky ReLU and AdaIN (Karras et al. 2019, figure 1b)."""

    def __init__(self, latent: int, channels: int) -> None:
        super().__init__()
        self.noise, self.norm = Noise(channels), nn.InstanceNorm2d(channels)
        self.affine = Dense(latent, 2 * channels)
        with torch.no_grad():
            self.affine.bias[:channels] = 1.0

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.norm(F.leaky_relu(self.noise(x), LEAK))
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        return scale * x + shift


class StyleGANGenerator(nn.Module):
    """Karras et al. 2019 (arXiv:1812.04948)."""

    def __init__(
        self, size: int, bands: int, latent: int, depth: int, width: int, most: int
    ) -> None:
        super().__init__()
        self.latent = latent
        features = widths_of(doublings_of(size), width, most)
        self.mapping = Mapping(latent, depth)
        self.constant = nn.Parameter(torch.randn(1, features[0], 4, 4))
        self.first = Styled(latent, features[0])
        convs = [Conv(features[0], features[0], 3, ROOT2)]
        for coarse, fine in pairwise(features):
            convs += [Conv(coarse, fine, 3, ROOT2), Conv(fine, fine, 3, ROOT2)]
        self.convs = nn.ModuleList(convs)
        self.styles = nn.ModuleList(Styled(latent, conv.weight.shape[0]) for conv in convs)
        self.to_bands = Conv(features[-1], bands, 1)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        x = self.first(self.constant.repeat(len(z), 1, 1, 1), w)
        for place, (conv, style) in enumerate(zip(self.convs, self.styles, strict=True)):
            x = doubled(x, "bilinear") if place % 2 else x
            x = style(conv(x), w)
        return self.to_bands(x)


class Residual(nn.Module):
    """1x1, grouped 3x3, 1x1 (Huang et al. 2024, arXiv:2501.05441, section 3.2)."""

    def __init__(self, features: int, group: int, expansion: int) -> None:
        super().__init__()
        inner = features * expansion
        self.expand = nn.Conv2d(features, inner, 1)
        self.grouped = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // group)
        self.project = nn.Conv2d(inner, features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.expand(x), LEAK)
        return x + self.project(F.leaky_relu(self.grouped(y), LEAK))


class R3GANGenerator(nn.Module):
    """Residual stages with bilinear resampling between them, from a modulated basis."""

    def __init__(
        self, size: int, bands: int, latent: int, width: int, most: int, group: int, expansion: int
    ) -> None:
        super().__init__()
        self.latent = latent
        features = widths_of(doublings_of(size), width, most)
        self.modulation = nn.Linear(latent, features[0])
        self.basis = nn.Parameter(torch.randn(1, features[0], 4, 4))
        self.blocks = nn.ModuleList(Residual(f, group, expansion) for f in features)
        self.transitions = nn.ModuleList(
            nn.Identity() if a == b else nn.Conv2d(a, b, 1, bias=False)
            for a, b in pairwise(features)
        )
        self.to_bands = nn.Conv2d(features[-1], bands, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks[0](self.basis * self.modulation(z)[:, :, None, None])
        for transition, block in zip(self.transitions, list(self.blocks)[1:], strict=True):
            x = block(transition(doubled(x, "bilinear")))
        return self.to_bands(x)


class R3GANCritic(nn.Module):
    """The generator's mirror."""

    def __init__(
        self, size: int, bands: int, width: int, most: int, group: int, expansion: int
    ) -> None:
        super().__init__()
        features = widths_of(doublings_of(size), width, most)[::-1]
        self.from_bands = nn.Conv2d(bands, features[0], 1)
        self.blocks = nn.ModuleList(Residual(f, group, expansion) for f in features)
        self.transitions = nn.ModuleList(
            nn.Identity() if a == b else nn.Conv2d(a, b, 1, bias=False)
            for a, b in pairwise(features)
        )
        self.basis = nn.Parameter(torch.randn(features[-1], 4, 4) / 4)
        self.score = nn.Linear(features[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.from_bands(x))
        for transition, block in zip(self.transitions, list(self.blocks)[1:], strict=True):
            half = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
            x = block(transition(half))
        return self.score((x * self.basis).sum(dim=(2, 3))).squeeze(1)
