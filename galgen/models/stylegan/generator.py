"""Generator of the `stylegan` pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.progan.critic import GAIN
from galgen.nn.adain import AdaIN
from galgen.nn.condition import Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.equalised import EqualisedConv2d
from galgen.nn.growing import PICTURE, Growing, fade_in
from galgen.nn.layers import LEAK, NoiseInjection, upsample
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.style import Mapping, StyleGenerator
from galgen.nn.units import Layer

#: Root mean square of feature maps after a new style, whose scales and shifts vary by about 1.
STYLED = 2.0
#: Training starts at the resolution above the constant, 8x8 for a constant of 4x4.
FIRST_LEVEL = 1


class Constant(nn.Module):
    """The learned input, the same for every galaxy.

    It starts as white noise: in a flat map the style's normalisation would find nothing.

    Parameters
    ----------
    channels, side
        Its shape (C, h, h).
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(1, channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        """Anything of batch size N to the constant (N, C, h, h), in its type."""
        return self.value.to(x.dtype).expand(len(x), -1, -1, -1)


class StyledLayer(nn.Module):
    """What follows an input or a convolution: noise, leaky ReLU, style (Karras et al. 2019,
    figure 1b).

    Parameters
    ----------
    source
        The convolution, or the constant.
    channels
        Feature maps that it makes.
    width
        Length of the style w.
    """

    def __init__(self, source: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        self.source = source
        self.noise = NoiseInjection(channels)
        self.adain = AdaIN(width, channels)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Input, styles (N, width) and noise (N, 1, h, h) to feature maps (N, C, h, h)."""
        x = F.leaky_relu(self.noise(self.source(x), noise), LEAK, inplace=True)
        return cast(Tensor, self.adain(x, w))


class Generator(Growing, StyleGenerator):
    """The style-based generator of Karras et al. 2019 (arXiv:1812.04948), as the thesis of
    Concepción 2023 used it.

    A mapping turns z into a style w. A learned constant is upsampled from resolution to
    resolution; each has two convolutions (the coarsest the constant and one), each followed by
    noise scaled per channel, leaky ReLU and `AdaIN` with its own affine function of w. A 1x1
    convolution to the bands stands at every resolution from `first_level` on. At full
    resolution its last step is an `End`.

    Parameters
    ----------
    size
        Side length of the images: 4, 5, 6 or 7 times a power of two, 16 to 256.
    bands
        Number of bands.
    latent
        Length of the latent vector z and of the style w.
    depth
        Layers of the mapping.
    width, max_width
        Feature maps at the finest resolution, doubled below it up to `max_width`.
    given
        What it is given beside z.
    end
        What the images end in.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        latent: int = 128,
        depth: int = 8,
        width: int = 32,
        max_width: int = 128,
        given: Given | None = None,
        end: EndSettings | None = None,
    ) -> None:
        super().__init__()
        for option, value in (("latent", latent), ("depth", depth)):
            if value < 1:
                raise ConfigError(f"model.options.{option} must be 1 or more, not {value}.")
        self.size, self.bands, self.latent = size, bands, latent
        base, doublings = exact_levels(size, "stylegan")
        features = doubling_widths(doublings, width, max_width)
        self.stand_at_the_top([base * 2**level for level in range(doublings + 1)], FIRST_LEVEL)
        self.style_layers = 2 * len(self.sides)
        self.mapping = Mapping(latent, latent, depth, given=given)

        def layer(source: nn.Module, channels: int) -> StyledLayer:
            return StyledLayer(source, channels, latent)

        def convolution(channels_in: int, channels: int) -> StyledLayer:
            return layer(EqualisedConv2d(channels_in, channels, 3, gain=GAIN), channels)

        start = [layer(Constant(features[0], base), features[0])]
        start.append(convolution(features[0], features[0]))
        finer = (
            [convolution(coarse, fine), convolution(fine, fine)]
            for coarse, fine in pairwise(features)
        )
        self.stages = nn.ModuleList(nn.ModuleList(stage) for stage in (start, *finer))
        self.to_bands = nn.ModuleList(
            EqualisedConv2d(f, bands, 1, gain=PICTURE / STYLED)
            for f in features[self.first_level :]
        )
        self.end = End(features[-1], bands, end or EndSettings())

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, in order."""
        shapes = [(1, side, side) for side in self.sides for _ in range(2)]
        return shapes + self.end.noise_shapes(self.size)

    @property
    def active_styles(self) -> int:
        """Two for every resolution that the generator has grown to."""
        return 2 * (self.level + 1)

    def synthesise(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Styles (N, style_layers, latent) to images (N, bands, side, side) in network space.

        The side is that of the resolution the generator stands at; styles and noise of finer
        ones are not used.

        Parameters
        ----------
        noise
            One tensor (N, C, h, h) per entry of `noise_shapes`; drawn freshly when None.
        """
        before = x = styles
        for level in range(self.level + 1):
            before = x
            x = upsample(x) if level else x
            for place, layer in enumerate(cast(nn.ModuleList, self.stages[level]), 2 * level):
                x = layer(x, styles[:, place], None if noise is None else noise[place])
        picture = self._picture(x, self.level)
        if self.fading:
            picture = fade_in(self._picture(before, self.level - 1), picture, self.alpha)
        if self.level < len(self.sides) - 1:
            return picture
        rest = None if noise is None else noise[self.style_layers :]
        return cast(Tensor, self.end(x, picture, rest, self.alpha))

    def _picture(self, x: Tensor, level: int) -> Tensor:
        return cast(Tensor, self.to_bands[level - self.first_level](x))

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        layers = [Layer("mapping", "mapping", (self.mapping,))]
        for level, (side, stage) in enumerate(zip(self.sides, self.stages, strict=True)):
            block = f"{side}x{side}"
            for number, layer in enumerate(cast(nn.ModuleList, stage), start=1):
                name = f"convolution {number}" if level else ("constant", "convolution")[number - 1]
                layers.append(Layer(f"{block} {name}", block, (layer,)))
            if level >= self.first_level:
                to_bands = self.to_bands[level - self.first_level]
                layers.append(Layer(f"{block} to bands", block, (to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        count = len(self.to_bands)
        names = [f"to_bands.{i}.{part}" for i in range(count) for part in ("weight", "bias")]
        return [(name, 0) for name in names] + self.end.band_parameters()
