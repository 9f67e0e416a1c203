"""Generator of the `dcgan` pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.dcgan.pyramid import pyramid
from galgen.nn.layers import LEAK, NoiseInjection, centre, clamp_inward, upsample
from galgen.training.freezing import Layer


class Stage(nn.Module):
    """One resolution: convolution, noise, leaky ReLU, and its share of the picture."""

    def __init__(self, features_in: int, features: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features_in, features, 3, padding=1)
        self.noise = NoiseInjection(features)
        self.to_bands = nn.Conv2d(features, bands, 1)

    def forward(
        self, x: Tensor, picture: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w) and the coarser picture to features and picture here."""
        x = F.leaky_relu(self.noise(self.conv(x), noise), LEAK)
        share = self.to_bands(x)
        return x, share if picture is None else upsample(picture) + share


class Grain(nn.Module):
    r"""White noise of each band by itself, the last step to a picture.

    Sky and photon noise are independent between bands, and feature maps that all bands share
    cannot make them so. The strength is a linear function of the features, pixel by pixel. It
    fades with the brightness x of the picture as :math:`1 / \cosh(k x)`, with a learned k per
    band: what noise of constant flux becomes under an asinh stretch.

    Parameters
    ----------
    features, bands
        Feature maps in, bands out.
    """

    #: Adam moves a parameter by its learning rate a step; k is of order 5.
    SCALE = 10.0
    #: Bounds the exponent for wild pictures early in training.
    BRIGHTEST = 4.0

    def __init__(self, features: int, bands: int) -> None:
        super().__init__()
        self.strength = nn.Conv2d(features, bands, 1)
        for parameter in self.strength.parameters():
            nn.init.zeros_(parameter)
        self.fading = nn.Parameter(torch.full((bands, 1, 1), 0.3))

    def forward(self, x: Tensor, picture: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, F, h, w) and picture (N, C, h, w) to the picture with noise."""
        if noise is None:
            noise = torch.randn_like(picture)
        brightness = picture.detach().float().clamp(-self.BRIGHTEST, self.BRIGHTEST)
        fade = torch.cosh(self.SCALE * self.fading * brightness).reciprocal()
        return picture + self.strength(x) * (fade * noise).to(picture.dtype)


class Generator(nn.Module):
    """Convolutional generator with a skip to the picture at every resolution.

    The lineage is DCGAN (Radford et al. 2016, arXiv:1511.06434); the sum of per-resolution
    pictures is the skip generator of Karras et al. 2020 (arXiv:1912.04958, section 4.1). It has no
    normalisation, which would draw contour lines into dark sky, and a linear output, which does
    not saturate in bright cores. Its last step adds `Grain`, the noise of sky and photons.

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
    classes
        Number of classes; 0 for none.
    clamp
        End at 0 and 1, the range of pictures under the linear stretch. For pictures whose sky
        was cut to exact zeros (Griese et al. 2023), which an open output never meets.
    grain
        End with `Grain`; pictures without pixel noise are better off without.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        latent: int = 64,
        widths: Sequence[int] | None = None,
        classes: int = 0,
        clamp: bool = False,
        grain: bool = True,
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ConfigError(f"model.options.latent must be 1 or more, not {latent}.")
        self.size, self.bands, self.latent, self.classes = size, bands, latent, classes
        self.clamp = clamp
        self.base, features = pyramid(size, widths, "widths")
        self.embedding = nn.Embedding(classes, latent) if classes else None
        self.mapping = nn.Sequential(
            nn.Linear(latent, latent),
            nn.LeakyReLU(LEAK),
            nn.Linear(latent, latent),
            nn.LeakyReLU(LEAK),
        )
        self.constant = nn.Linear(latent, features[0] * self.base**2)
        pairs = zip([features[0], *features[:-1]], features, strict=True)
        self.stages = nn.ModuleList(Stage(a, b, bands) for a, b in pairs)
        self.grain = Grain(features[-1], bands) if grain else None

    @property
    def sides(self) -> list[int]:
        """Side lengths of the stages, coarse to fine."""
        return [self.base * 2**level for level in range(len(self.stages))]

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (C, h, h) of the noise that `forward` takes, in order."""
        shapes = [(1, side, side) for side in self.sides]
        if self.grain is not None:
            shapes.append((self.bands, self.sides[-1], self.sides[-1]))
        return shapes

    def forward(
        self, z: Tensor, labels: Tensor | None = None, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Latents (N, latent) to images (N, bands, size, size) in network space.

        Parameters
        ----------
        labels
            Class numbers (N,), for a conditional generator.
        noise
            One tensor (N, C, h, h) per entry of `noise_shapes`; drawn freshly when None.
        """
        if self.embedding is not None:
            if labels is None:
                raise ValueError("this generator is conditional: give labels")
            z = z + self.embedding(labels)
        x = F.leaky_relu(self.constant(self.mapping(z)), LEAK)
        x = x.view(len(z), -1, self.base, self.base)
        picture = None
        for level, stage in enumerate(self.stages):
            x = upsample(x) if level else x
            x, picture = stage(x, picture, None if noise is None else noise[level])
        assert isinstance(picture, Tensor)
        if self.grain is not None:
            picture = self.grain(x, picture, None if noise is None else noise[-1])
        return centre(clamp_inward(picture) if self.clamp else picture, self.size)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        start = (self.mapping,) if self.embedding is None else (self.embedding, self.mapping)
        layers = [Layer("mapping", "mapping", start)]
        for side, stage in zip(self.sides, self.stages, strict=True):
            block = f"{side}x{side}"
            if side == self.base:
                layers.append(Layer(f"{block} dense", block, (self.constant,)))
            assert isinstance(stage, Stage)
            layers.append(Layer(f"{block} convolution", block, (stage.conv, stage.noise)))
            layers.append(Layer(f"{block} to bands", block, (stage.to_bands,)))
        if self.grain is not None:
            layers.append(Layer(f"{block} grain", block, (self.grain,)))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        names = [f"stages.{i}.to_bands" for i in range(len(self.stages))]
        if self.grain is not None:
            names.append("grain.strength")
        parts = [(f"{name}.{part}", 0) for name in names for part in ("weight", "bias")]
        return parts if self.grain is None else [*parts, ("grain.fading", 0)]
