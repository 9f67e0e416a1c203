"""Networks of the ASTR 21100 course project, the `dcgan-course` pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.condition import Entrance, Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.layers import LEAK
from galgen.nn.pyramid import MAX_SIZE, MIN_SIZE
from galgen.nn.scoring import ScoringCritic
from galgen.nn.units import Layer

#: Times that each network doubles or halves the side.
STEPS = 3


def base_side(size: int) -> int:
    """Side of the coarsest feature maps, an eighth of the images'.

    Raises
    ------
    ConfigError
        If `size` is no multiple of 8 from 16 to 256.
    """
    factor = 2**STEPS
    if MIN_SIZE <= size <= MAX_SIZE and size % factor == 0:
        return size // factor
    below = min(max(size // factor * factor, MIN_SIZE), MAX_SIZE - factor)
    raise ConfigError(
        f"--size {size}: dcgan-course makes images of {MIN_SIZE} to {MAX_SIZE} px in steps of "
        f"{factor}: choose {below} or {below + factor}."
    )


def _three(widths: Sequence[int], option: str) -> list[int]:
    features = [int(w) for w in widths]
    if len(features) != STEPS or min(features) < 1:
        raise ConfigError(
            f"model.options.{option} needs {STEPS} positive numbers, for example 64, 128, 128; "
            f"got {features}."
        )
    return features


class CourseGenerator(nn.Module):
    """A dense layer, three transposed convolutions and a 5x5 convolution to the bands.

    Parameters
    ----------
    size
        Side length of the images, a multiple of 8 from 16 to 256.
    bands
        Number of bands.
    end
        What the images end in.
    latent
        Length of the latent vector z.
    widths
        Feature maps after each transposed convolution; the dense layer makes as many as the
        first.
    given
        What it is given beside z.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        end: EndSettings,
        *,
        latent: int = 128,
        widths: Sequence[int] = (128, 256, 512),
        given: Given | None = None,
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ConfigError(f"model.options.latent must be 1 or more, not {latent}.")
        self.size, self.bands, self.latent = size, bands, latent
        self.base, features = base_side(size), _three(widths, "widths")
        self.entrance = Entrance(latent, given or Given())
        self.dense = nn.Linear(latent, features[0] * self.base**2)
        self.stages = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)
            for a, b in zip([features[0], *features[:-1]], features, strict=True)
        )
        self.to_bands = nn.Conv2d(features[-1], bands, 5, padding=2)
        self.end = End(features[-1], bands, end)

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
        x = self.dense(z).view(len(z), -1, self.base, self.base)
        for stage in self.stages:
            x = F.leaky_relu(stage(x), LEAK)
        return self.end(x, self.to_bands(x), noise)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        block = f"{self.base}x{self.base}"
        layers, side = [Layer(f"{block} dense", block, (self.entrance, self.dense))], self.base
        for stage in self.stages:
            side *= 2
            block = f"{side}x{side}"
            layers.append(Layer(f"{block} transposed convolution", block, (stage,)))
        layers.append(Layer(f"{block} to bands", block, (self.to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        own = [("to_bands.weight", 0), ("to_bands.bias", 0)]
        return own + self.end.band_parameters()


class CourseCritic(ScoringCritic):
    """Three strided convolutions, dropout and a dense score.

    Parameters
    ----------
    size, bands
        As of the images.
    widths
        Feature maps after each convolution.
    dropout
        Fraction of the features before the score that training drops.
    given
        What it is given beside the image.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        *,
        widths: Sequence[int] = (64, 128, 128),
        dropout: float = 0.2,
        given: Given | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"model.options.dropout must be from 0 to below 1, not {dropout}.")
        self.size, self.bands = size, bands
        features = _three(widths, "critic_widths")
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1)
            for a, b in zip([bands, *features[:-1]], features, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        inputs = features[-1] * base_side(size) ** 2
        self.add_head(nn.Linear(inputs, 1), inputs, given or Given())

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to features (N, F)."""
        for stage in self.stages:
            x = F.leaky_relu(stage(x), LEAK)
        return cast(Tensor, self.dropout(x.flatten(1)))

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        layers, side = [], self.size
        for stage in self.stages:
            layers.append(Layer(f"{side}x{side} convolution", f"{side}x{side}", (stage,)))
            side //= 2
        block = f"{side}x{side}"
        layers.append(Layer(f"{block} score", block, (self.dropout, *self.head)))
        return layers

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("stages.0.weight", 1)]
