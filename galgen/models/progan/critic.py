"""Critic of the growing pairs, `progan` and `stylegan`."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from galgen.nn.condition import Given
from galgen.nn.equalised import EqualisedConv2d, EqualisedLinear
from galgen.nn.growing import Growing
from galgen.nn.layers import MinibatchStd, leaky_relu_
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.resample import average2
from galgen.nn.scoring import ScoringCritic
from galgen.nn.units import Layer

#: Keeps the variance through a layer with a leaky ReLU (He et al. 2015, arXiv:1502.01852).
GAIN = 2**0.5


class Critic(Growing, ScoringCritic):
    """The mirrored critic of Karras et al. 2018 (arXiv:1710.10196, table 2).

    At every resolution a 1x1 convolution from the bands, two 3x3 convolutions and average
    pooling; at the coarsest a minibatch standard deviation, a convolution and two dense layers.
    A new resolution fades in against the pooled image's own features.

    Parameters
    ----------
    size, bands
        As of the images.
    width, max_width
        Feature maps at the finest resolution, doubled below it up to `max_width`.
    first_level
        Resolution that growing starts from, 0 for the coarsest.
    given
        What it is given beside the image.
    name
        Of the pair, for messages.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        width: int = 32,
        max_width: int = 128,
        first_level: int = 0,
        given: Given | None = None,
        name: str = "progan",
    ) -> None:
        super().__init__()
        self.size, self.bands = size, bands
        base, doublings = exact_levels(size, name)
        features = doubling_widths(doublings, width, max_width)
        self.stand_at_the_top([base * 2**level for level in range(doublings + 1)], first_level)
        self.from_bands = nn.ModuleList(
            EqualisedConv2d(bands, f, 1, gain=GAIN) for f in features[first_level:]
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(
                [
                    EqualisedConv2d(fine, fine, 3, gain=GAIN),
                    EqualisedConv2d(fine, coarse, 3, gain=GAIN),
                ]
            )
            for coarse, fine in pairwise(features)
        )
        coarsest = features[0]
        self.minibatch_std = MinibatchStd()
        self.mix = EqualisedConv2d(coarsest + 1, coarsest, 3, gain=GAIN)
        self.dense = EqualisedLinear(coarsest * base**2, coarsest, gain=GAIN)
        self.add_head(EqualisedLinear(coarsest, 1), coarsest, given or Given())

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, side, side) in network space to features (N, F).

        The side is that of the resolution the critic stands at.
        """
        image, x = x, self._enter(x, self.level)
        for level in range(self.level, 0, -1):
            for conv in cast(nn.ModuleList, self.stages[level - 1]):
                x = leaky_relu_(conv(x))
            x = average2(x)
            if level == self.level and self.fading:
                x = torch.lerp(self._enter(average2(image), level - 1), x, self.alpha)
        x = leaky_relu_(self.mix(self.minibatch_std(x))).flatten(1)
        return leaky_relu_(self.dense(x))

    def _enter(self, image: Tensor, level: int) -> Tensor:
        return leaky_relu_(self.from_bands[level - self.first_level](image))

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        layers = []
        for level in range(len(self.sides) - 1, -1, -1):
            block = f"{self.sides[level]}x{self.sides[level]}"
            if level >= self.first_level:
                entrance = self.from_bands[level - self.first_level]
                layers.append(Layer(f"{block} from bands", block, (entrance,)))
            if level:
                convs = cast(nn.ModuleList, self.stages[level - 1])
                layers += [
                    Layer(f"{block} convolution {number}", block, (conv,))
                    for number, conv in enumerate(convs, start=1)
                ]
        layers.append(Layer(f"{block} mixing convolution", block, (self.mix,)))
        layers.append(Layer(f"{block} dense", block, (self.dense,)))
        layers.append(Layer(f"{block} score", block, self.head))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [(f"from_bands.{i}.weight", 1) for i in range(len(self.from_bands))]
