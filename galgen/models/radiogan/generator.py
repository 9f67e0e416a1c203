"""Generator of the `radiogan` pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.nn.condition import Branch, Entrance, Given
from galgen.nn.ending import End, EndSettings
from galgen.nn.layers import upsample
from galgen.nn.norm import BatchNorm
from galgen.nn.pyramid import exact_levels
from galgen.nn.units import Layer


def level_widths(width: int, doublings: int) -> list[int]:
    """Feature maps from the coarsest resolution to the last but one.

    >>> level_widths(64, 5)
    [512, 512, 256, 128, 64]
    """
    if width < 1:
        raise ConfigError(f"model.options.width must be 1 or more, not {width}.")
    doubled = [width * 2 ** (doublings - 1 - level) for level in range(1, doublings)]
    return [doubled[0], *doubled]


def grow(features_in: int, features: int) -> nn.ConvTranspose2d:
    """Twice the side length."""
    return nn.ConvTranspose2d(features_in, features, 4, stride=2, padding=1, bias=False)


class Maps(nn.Module):
    """A vector to feature maps of the coarsest side: transposed convolution, norm and ReLU."""

    def __init__(self, length: int, features: int, side: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(length, features, side, bias=False)
        self.norm = BatchNorm(features)

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, length) to (N, features, side, side)."""
        return F.relu(self.norm(self.conv(vectors[:, :, None, None])))


class Labels(Branch):
    """The condition's half of the first two layers.

    The published generator concatenates the maps that latent and label made and convolves both at
    once. A convolution of two inputs is the sum of their own, and as such it can start at zero.
    """

    first = ("maps.conv.weight", 0)

    def __init__(self, width: int, features: int, features_out: int, side: int) -> None:
        super().__init__()
        self.maps = Maps(width, features, side)
        self.grow = grow(features, features_out)

    def forward(self, condition: Tensor) -> Tensor:
        """Rows (N, width) to their share of the maps (N, features_out, 2 side, 2 side)."""
        share: Tensor = self.grow(self.maps(condition.float()))
        return share

    @torch.no_grad()
    def silence(self) -> None:
        """Make it zero, in a way that training can leave again."""
        self.grow.weight.zero_()


class LabelledEntrance(Entrance):
    """A discrete code is added to z as in any pair; conditions have maps of their own.

    Parameters
    ----------
    latent, given
        As of `Entrance`.
    labels
        What makes the conditions' share of the second resolution; None for none.
    """

    def __init__(self, latent: int, given: Given, labels: Labels | None) -> None:
        super().__init__(latent, Given(settings=given.settings))
        self.labels = labels

    def share(self, condition: Tensor | None) -> Tensor | None:
        """What conditions (N, width) add to the maps of the second resolution."""
        if self.labels is None:
            return None
        if condition is None:
            raise ValueError("this generator is conditional: give conditions")
        share: Tensor = self.labels(condition)
        return share


class Generator(nn.Module):
    """Transposed convolutions with batch norm, from latent and label apart to an open output
    (Rustige et al. 2023, RASTI 2, 264, arXiv:2212.08504).

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
    width
        Feature maps at half the images' side, doubled at each coarser resolution but the last.
    given
        What it is given beside z.
    """

    def __init__(
        self,
        size: int,
        bands: int,
        end: EndSettings,
        *,
        latent: int = 100,
        width: int = 64,
        given: Given | None = None,
    ) -> None:
        super().__init__()
        if latent < 1:
            raise ConfigError(f"model.options.latent must be 1 or more, not {latent}.")
        given = given or Given()
        self.size, self.bands, self.latent = size, bands, latent
        self.base, doublings = exact_levels(size, "radiogan")
        widths = level_widths(width, doublings)
        labels = Labels(given.width, widths[0], widths[1], self.base) if given.width else None
        self.entrance = LabelledEntrance(latent, given, labels)
        self.maps = Maps(latent, widths[0], self.base)
        self.stages = nn.ModuleList(grow(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(features) for features in widths[1:])
        self.to_bands = grow(widths[-1], bands)
        self.end = End(widths[-1], bands, end)

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
        share = self.entrance.share(condition)
        x = self.maps(self.entrance(z, condition))
        for level, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            x = stage(x)
            if level == 0 and share is not None:
                x = x + share
            x = F.relu(norm(x))
        picture = self.to_bands(x)
        # Grain is made of maps as large as the picture.
        return self.end(x if self.end.grain is None else upsample(x), picture, noise)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the latent to the image."""
        side, block = self.base, f"{self.base}x{self.base}"
        layers = [Layer(f"{block} transposed convolution", block, (self.entrance, self.maps))]
        for parts in zip(self.stages, self.norms, strict=True):
            side *= 2
            block = f"{side}x{side}"
            layers.append(Layer(f"{block} transposed convolution", block, parts))
        block = f"{self.size}x{self.size}"
        layers.append(Layer(f"{block} to bands", block, (self.to_bands,)))
        return layers + self.end.layers(block)

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("to_bands.weight", 1), *self.end.band_parameters()]
