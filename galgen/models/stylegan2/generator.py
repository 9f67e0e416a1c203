"""Generator of the `stylegan2` pair."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.condition import Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.layers import LEAK, NoiseInjection, upsample
from galgen.nn.modulated import ModulatedConv2d
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.style import Mapping, StyleGenerator
from galgen.nn.units import Layer

#: Initial strength of a resolution's share of the picture. Sky lies near 0 in network space and
#: galaxies well below 1, so a response of 1 would begin far outside.
TO_BANDS_GAIN = 0.25


class Constant(nn.Module):
    """The learned map that every image starts from."""

    def __init__(self, features: int, side: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(features, side, side))

    def forward(self, n: int) -> Tensor:
        """(n, features, side, side)."""
        return self.value.expand(n, -1, -1, -1)


class StyledConv(nn.Module):
    """Modulated convolution, bias, noise and leaky ReLU (Karras et al. 2020, figure 2c)."""

    def __init__(self, features_in: int, features: int, style: int, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(features_in, features, 3, style, up=up, gain=math.sqrt(2))
        self.bias = nn.Parameter(torch.zeros(features))
        self.noise = NoiseInjection(features)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, C, h, w), styles (N, W) and noise (N, 1, h', w') to features."""
        x = self.noise(self.conv(x, style, self.bias), noise)
        return F.leaky_relu(x, LEAK, inplace=True)


class ToBands(nn.Module):
    """A resolution's share of the picture: modulated 1x1 convolution, not demodulated."""

    def __init__(self, features: int, bands: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(features, bands, 1, style, demodulate=False, gain=TO_BANDS_GAIN)
        self.bias = nn.Parameter(torch.zeros(bands))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (N, C, h, w) and styles (N, W) to (N, bands, h, w), in float32."""
        return self.conv(x, style).float() + self.bias[:, None, None]


class Stage(nn.Module):
    """One resolution: one or two convolutions and the share of the picture."""

    def __init__(
        self, features_in: int, features: int, bands: int, style: int, first: bool
    ) -> None:
        super().__init__()
        self.up = None if first else StyledConv(features_in, features, style, up=True)
        self.conv = StyledConv(features, features, style)
        self.to_bands = ToBands(features, bands, style)

    @property
    def convolutions(self) -> list[StyledConv]:
        """In the order of their work."""
        return [self.conv] if self.up is None else [self.up, self.conv]


class Generator(StyleGenerator):
    """Skip generator of modulated convolutions (Karras et al. 2020, arXiv:1912.04958).

    Parameters
    ----------
    size
        Side length of the images: 4, 5, 6 or 7 times a power of two, 16 to 256.
    bands
        Number of bands.
    latent
        Length of z and of w.
    depth
        Layers of the mapping from z to w.
    width, max_width
        Feature maps at full resolution, doubled at each resolution below up to the most.
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
        depth: int = 2,
        width: int = 32,
        max_width: int = 128,
        given: Given | None = None,
        end: EndSettings | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("latent", latent), ("depth", depth)):
            if value < 1:
                raise ConfigError(f"model.options.{name} must be 1 or more, not {value}.")
        self.size, self.bands, self.latent = size, bands, latent
        self.base, doublings = exact_levels(size, "stylegan2")
        features = doubling_widths(doublings, width, max_width)
        self.mapping = Mapping(latent, latent, depth, given=given)
        self.constant = Constant(features[0], self.base)
        pairs = zip([features[0], *features[:-1]], features, strict=True)
        self.stages = nn.ModuleList(
            Stage(a, b, bands, latent, first=level == 0) for level, (a, b) in enumerate(pairs)
        )
        # The last to-bands has a style of its own, every other one that of the next convolution.
        self.style_layers = 2 * len(self.stages)
        self.end = End(features[-1], bands, end or EndSettings())

    @property
    def sides(self) -> list[int]:
        """Side lengths of the stages, coarse to fine."""
        return [self.base * 2**level for level in range(len(self.stages))]

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, in order."""
        shapes = [
            (1, side, side)
            for side, stage in zip(self.sides, self._stages(), strict=True)
            for _ in stage.convolutions
        ]
        return shapes + self.end.noise_shapes(self.size)

    def synthesise(self, styles: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Styles (N, style_layers, W) to images (N, bands, size, size) in network space.

        Parameters
        ----------
        noise
            One tensor (N, C, h, h) per entry of `noise_shapes`; drawn freshly when None.
        """
        x, picture, place = self.constant(len(styles)), None, 0
        for stage in self._stages():
            for conv in stage.convolutions:
                x = conv(x, styles[:, place], None if noise is None else noise[place])
                place += 1
            share = stage.to_bands(x, styles[:, place])
            picture = share if picture is None else upsample(picture) + share
        assert isinstance(picture, Tensor)
        return self.end(x, picture, None if noise is None else noise[place:])

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        layers = [Layer("mapping", "mapping", (self.mapping,))]
        for side, stage in zip(self.sides, self._stages(), strict=True):
            block = f"{side}x{side}"
            if stage.up is None:
                layers.append(Layer(f"{block} constant", block, (self.constant,)))
            else:
                layers.append(Layer(f"{block} doubling convolution", block, (stage.up,)))
            layers.append(Layer(f"{block} convolution", block, (stage.conv,)))
            layers.append(Layer(f"{block} to bands", block, (stage.to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        names = [f"stages.{i}.to_bands" for i in range(len(self.stages))]
        parts = [(f"{name}.{part}", 0) for name in names for part in ("conv.weight", "bias")]
        return parts + self.end.band_parameters()

    def _stages(self) -> list[Stage]:
        return [stage for stage in self.stages if isinstance(stage, Stage)]
