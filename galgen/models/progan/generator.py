"""Generator of the `progan` pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.progan.critic import GAIN
from galgen.nn.condition import Entrance, Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.equalised import EqualisedConv2d, EqualisedLinear, pixel_norm
from galgen.nn.growing import PICTURE, Growing, fade_in
from galgen.nn.layers import LEAK
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.units import Layer


class Generator(Growing, nn.Module):
    """The growing generator of Karras et al. 2018 (arXiv:1710.10196, table 2).

    At every resolution nearest-neighbour upsampling, two 3x3 convolutions with leaky ReLU and
    pixel norm, and a 1x1 convolution to the bands. Its output is linear. At full resolution its
    last step is an `End`.

    Parameters
    ----------
    size
        Side length of the images: 4, 5, 6 or 7 times a power of two, 16 to 256.
    bands
        Number of bands.
    latent
        Length of the latent vector z, which is scaled to a mean square of 1.
    width, max_width
        Feature maps at the finest resolution, doubled below it up to `max_width`.
    pixel_norm
        Scale the features of each pixel to a mean square of 1 after every convolution.
    given
        What it is given beside z.
    end
        What the images end in.

    Attributes
    ----------
    truncates
        False: only the direction of z counts, so there is no shorter z to draw.
    """

    truncates = False

    def __init__(
        self,
        size: int,
        bands: int,
        latent: int = 128,
        width: int = 32,
        max_width: int = 128,
        pixel_norm: bool = True,
        given: Given | None = None,
        end: EndSettings | None = None,
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ConfigError(f"model.options.latent must be 1 or more, not {latent}.")
        self.size, self.bands, self.latent = size, bands, latent
        self.pixel_norm = pixel_norm
        self.base, doublings = exact_levels(size, "progan")
        features = doubling_widths(doublings, width, max_width)
        self.stand_at_the_top([self.base * 2**level for level in range(doublings + 1)], 0)
        self.entrance = Entrance(latent, given or Given())
        self.dense = EqualisedLinear(latent, features[0] * self.base**2, gain=GAIN)
        coarsest = nn.ModuleList([EqualisedConv2d(features[0], features[0], 3, gain=GAIN)])
        finer = (
            nn.ModuleList(
                [
                    EqualisedConv2d(coarse, fine, 3, gain=GAIN),
                    EqualisedConv2d(fine, fine, 3, gain=GAIN),
                ]
            )
            for coarse, fine in pairwise(features)
        )
        self.stages = nn.ModuleList([coarsest, *finer])
        self.to_bands = nn.ModuleList(EqualisedConv2d(f, bands, 1, gain=PICTURE) for f in features)
        self.end = End(features[-1], bands, end or EndSettings())

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, in order."""
        return self.end.noise_shapes(self.size)

    def forward(
        self, z: Tensor, condition: Tensor | None = None, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Latents (N, latent) to images (N, bands, side, side) in network space.

        The side is that of the resolution the generator stands at.

        Parameters
        ----------
        condition
            Rows (N, width), for a conditional generator.
        noise
            One tensor (N, C, h, h) per entry of `noise_shapes`; drawn freshly when None.
        """
        z = self.entrance(z, condition)
        x = self.dense(pixel_norm(z)).view(len(z), -1, self.base, self.base)
        before = x = self._finish(x)
        for level in range(self.level + 1):
            before = x
            x = F.interpolate(x, scale_factor=2, mode="nearest") if level else x
            for conv in cast(nn.ModuleList, self.stages[level]):
                x = self._finish(conv(x))
        picture = self.to_bands[self.level](x)
        if self.fading:
            picture = fade_in(self.to_bands[self.level - 1](before), picture, self.alpha)
        if self.level < len(self.sides) - 1:
            return cast(Tensor, picture)
        return cast(Tensor, self.end(x, picture, noise, self.alpha))

    def _finish(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(x, LEAK)
        return pixel_norm(x) if self.pixel_norm else x

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        block = f"{self.base}x{self.base}"
        layers = [Layer(f"{block} dense", block, (self.entrance, self.dense))]
        for side, stage, to_bands in zip(self.sides, self.stages, self.to_bands, strict=True):
            block = f"{side}x{side}"
            layers += [
                Layer(f"{block} convolution {number}", block, (conv,))
                for number, conv in enumerate(cast(nn.ModuleList, stage), start=1)
            ]
            layers.append(Layer(f"{block} to bands", block, (to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        count = len(self.to_bands)
        names = [f"to_bands.{i}.{part}" for i in range(count) for part in ("weight", "bias")]
        return [(name, 0) for name in names] + self.end.band_parameters()
