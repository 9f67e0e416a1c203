"""Critic of the `stylegan2` pair."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from galgen.nn.condition import Given
from galgen.nn.equalised import EqualisedConv2d, EqualisedLinear
from galgen.nn.layers import MinibatchStd, leaky_relu_
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.resample import blur, downsample2
from galgen.nn.scoring import ScoringCritic
from galgen.nn.units import Layer

ROOT2 = math.sqrt(2)


class Block(nn.Module):
    """Two convolutions beside a 1x1 skip, both halved; their sum divided by the root of 2
    (Karras et al. 2020, figure 7c), which the initial weights contain.
    """

    def __init__(self, features_in: int, features: int) -> None:
        super().__init__()
        self.conv = EqualisedConv2d(features_in, features_in, 3, gain=ROOT2)
        self.halve = EqualisedConv2d(features_in, features, 3, stride=2, padding=0)
        self.skip = EqualisedConv2d(features_in, features, 1, bias=False, gain=1 / ROOT2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 2h, 2w) to (N, C', h, w)."""
        y = leaky_relu_(self.conv(x))
        y = leaky_relu_(self.halve(blur(y, 2)))
        return y + self.skip(downsample2(x))


class Critic(ScoringCritic):
    """Residual critic (Karras et al. 2020, arXiv:1912.04958, section 4.1).

    Parameters
    ----------
    size, bands
        As of the images.
    width, max_width
        Feature maps at full resolution, doubled at each resolution below up to the most.
    given
        What it is given beside the image.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        width: int = 32,
        max_width: int = 128,
        given: Given | None = None,
    ) -> None:
        super().__init__()
        self.size, self.bands = size, bands
        self.base, doublings = exact_levels(size, "stylegan2")
        features = doubling_widths(doublings, width, max_width)[::-1]
        last = features[-1]
        self.from_bands = EqualisedConv2d(bands, features[0], 1, gain=ROOT2)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(features))
        self.minibatch_std = MinibatchStd()
        self.mix = EqualisedConv2d(last + 1, last, 3, gain=ROOT2)
        self.dense = EqualisedLinear(last * self.base**2, last, gain=ROOT2)
        self.add_head(EqualisedLinear(last, 1), last, given or Given())

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to features (N, F)."""
        x = leaky_relu_(self.from_bands(x))
        for block in self.blocks:
            x = block(x)
        x = leaky_relu_(self.mix(self.minibatch_std(x)))
        with torch.autocast(x.device.type, enabled=False):
            return leaky_relu_(self.dense(x.to(self.dense.weight.dtype).flatten(1)))

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        side = self.size
        layers = [Layer(f"{side}x{side} from bands", f"{side}x{side}", (self.from_bands,))]
        for block in self.blocks:
            assert isinstance(block, Block)
            name = f"{side}x{side}"
            layers.append(Layer(f"{name} convolution", name, (block.conv,)))
            layers.append(Layer(f"{name} halving convolution", name, (block.halve,)))
            layers.append(Layer(f"{name} skip", name, (block.skip,)))
            side //= 2
        name = f"{side}x{side}"
        layers.append(Layer(f"{name} convolution", name, (self.mix,)))
        layers.append(Layer(f"{name} dense", name, (self.dense,)))
        layers.append(Layer(f"{name} score", name, self.head))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("from_bands.weight", 1)]
