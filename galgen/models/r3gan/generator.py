"""Generator of the `r3gan` pair."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.r3gan.stage import Basis, Shape, Stage, make_stages, scaled_start
from galgen.nn.condition import Entrance, Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.layers import upsample
from galgen.nn.pyramid import doubling_widths, exact_levels
from galgen.nn.units import Layer


class Generator(nn.Module):
    """Residual stages from a learned basis, which z modulates, to one output convolution
    (Huang et al. 2024, arXiv:2501.05441, section 3).

    No normalisation, no mapping, no noise inside, no share of the picture at coarser
    resolutions; bilinear resampling outside the residual branches.

    Parameters
    ----------
    size
        Side length of the images: 4, 5, 6 or 7 times a power of two, 16 to 256.
    bands
        Number of bands.
    end
        What the network ends in.
    latent
        Length of the latent vector z.
    width, max_width
        Feature maps at the finest resolution, doubled at each coarser one up to the second.
    shape
        Of the residual stages.
    given
        What it is given beside z.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        end: EndSettings,
        *,
        latent: int = 64,
        width: int = 32,
        max_width: int = 128,
        shape: Shape | None = None,
        given: Given | None = None,
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ConfigError(f"model.options.latent must be 1 or more, not {latent}.")
        self.size, self.bands, self.latent = size, bands, latent
        self.base, doublings = exact_levels(size, "r3gan")
        widths = doubling_widths(doublings, width, max_width)
        self.entrance = Entrance(latent, given or Given())
        self.modulation = nn.Linear(latent, widths[0])
        scaled_start(self.modulation, 1.0)
        self.basis = Basis(widths[0], self.base, std=1.0)
        self.stages = make_stages(widths, shape or Shape())
        self.to_bands = nn.Conv2d(widths[-1], bands, 1)
        scaled_start(self.to_bands, 1.0)
        self.end = End(widths[-1], bands, end)

    @property
    def sides(self) -> list[int]:
        """Side lengths of the stages, coarse to fine."""
        return [self.base * 2**level for level in range(len(self.stages))]

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, in order."""
        return self.end.noise_shapes(self.size)

    def forward(
        self, z: Tensor, condition: Tensor | None = None, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Latents (N, latent) to images (N, bands, size, size) in network space.

        Parameters
        ----------
        condition
            Rows (N, width), for a conditional generator.
        noise
            One tensor (N, C, h, h) per entry of `noise_shapes`; drawn freshly when None.
        """
        z = self.entrance(z, condition)
        x = self.basis.spread(self.modulation(z))
        for level, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            x = stage(upsample(stage.adapt(x)) if level else x)
        return self.end(x, self.to_bands(x), noise)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        layers = [Layer("modulation", "modulation", (self.entrance, self.modulation))]
        block = f"{self.base}x{self.base}"
        layers.append(Layer(f"{block} basis", block, (self.basis,)))
        for side, stage in zip(self.sides, self.stages, strict=True):
            assert isinstance(stage, Stage)
            layers += stage.layers(side)
        block = f"{self.size}x{self.size}"
        layers.append(Layer(f"{block} to bands", block, (self.to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        own = [("to_bands.weight", 0), ("to_bands.bias", 0)]
        return own + self.end.band_parameters()
