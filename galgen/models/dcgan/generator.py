"""Generator of the `dcgan` pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.condition import Entrance, Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.layers import LEAK, NoiseInjection, centre, upsample
from galgen.nn.norm import Norm, make_norm
from galgen.nn.pyramid import pyramid
from galgen.nn.units import Layer


class Stage(nn.Module):
    """One resolution: convolution, noise, leaky ReLU, and its share of the picture."""

    def __init__(self, features_in: int, features: int, bands: int, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features_in, features, 3, padding=1, bias=norm == "none")
        self.norm = make_norm(norm, features)
        self.noise = NoiseInjection(features)
        self.to_bands = nn.Conv2d(features, bands, 1)

    def forward(
        self, x: Tensor, picture: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w) and the coarser picture to features and picture here."""
        x = F.leaky_relu(self.noise(self.norm(self.conv(x)), noise), LEAK, inplace=True)
        share = self.to_bands(x)
        return x, share if picture is None else upsample(picture) + share


class Generator(nn.Module):
    """Convolutional generator with a skip to the picture at every resolution.

    The lineage is DCGAN (Radford et al. 2016, arXiv:1511.06434); the sum of per-resolution
    pictures is the skip generator of Karras et al. 2020 (arXiv:1912.04958, section 4.1). Its
    output is linear, which does not saturate in bright cores. Its last step is an `End`.

    Parameters
    ----------
    size
        Side length of the images, 16 to 256, any number.
    bands
        Number of bands.
    latent
        Length of the latent vector z.
    widths
        Feature maps per resolution, coarse to fine; None for 32 at the finest, growing to 128.
    given
        What it is given beside z.
    end
        What the images end in.
    norm
        ``batch`` for batch norm after the first dense layer and each 3x3 convolution, as Radford
        et al. have it; ``none`` because it draws contour lines into dark sky.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        latent: int = 64,
        widths: Sequence[int] | None = None,
        given: Given | None = None,
        end: EndSettings | None = None,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ConfigError(f"model.options.latent must be 1 or more, not {latent}.")
        self.size, self.bands, self.latent = size, bands, latent
        self.base, features = pyramid(size, widths, "widths", "dcgan")
        self.entrance = Entrance(latent, given or Given())
        self.mapping = nn.Sequential(
            nn.Linear(latent, latent),
            nn.LeakyReLU(LEAK),
            nn.Linear(latent, latent),
            nn.LeakyReLU(LEAK),
        )
        self.constant = nn.Linear(latent, features[0] * self.base**2, bias=norm == "none")
        self.norm = make_norm(norm, features[0])
        pairs = zip([features[0], *features[:-1]], features, strict=True)
        self.stages = nn.ModuleList(Stage(a, b, bands, norm) for a, b in pairs)
        self.end = End(features[-1], bands, end or EndSettings())

    @property
    def sides(self) -> list[int]:
        """Side lengths of the stages, coarse to fine."""
        return [self.base * 2**level for level in range(len(self.stages))]

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, in order."""
        shapes = [(1, side, side) for side in self.sides]
        return shapes + self.end.noise_shapes(self.sides[-1])

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
        x = self.constant(self.mapping(z)).view(len(z), -1, self.base, self.base)
        x = F.leaky_relu(self.norm(x), LEAK)
        picture = None
        for level, stage in enumerate(self.stages):
            x = upsample(x) if level else x
            x, picture = stage(x, picture, None if noise is None else noise[level])
        assert isinstance(picture, Tensor)
        rest = None if noise is None else noise[len(self.stages) :]
        return centre(self.end(x, picture, rest), self.size)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        layers = [Layer("mapping", "mapping", (self.entrance, self.mapping))]
        for side, stage in zip(self.sides, self.stages, strict=True):
            block = f"{side}x{side}"
            if side == self.base:
                layers.append(Layer(f"{block} dense", block, (self.constant, self.norm)))
            assert isinstance(stage, Stage)
            parts = (stage.conv, stage.norm, stage.noise)
            layers.append(Layer(f"{block} convolution", block, parts))
            layers.append(Layer(f"{block} to bands", block, (stage.to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        names = [f"stages.{i}.to_bands" for i in range(len(self.stages))]
        parts = [(f"{name}.{part}", 0) for name in names for part in ("weight", "bias")]
        return parts + self.end.band_parameters()
