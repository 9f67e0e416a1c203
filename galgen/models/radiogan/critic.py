"""Both critics of the `radiogan` pair."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galgen.errors import ConfigError
from galgen.models.radiogan.norm import MapNorm
from galgen.nn.condition import Branch, Given
from galgen.nn.convolution import Conv2d
from galgen.nn.layers import leaky_relu_
from galgen.nn.pyramid import exact_levels
from galgen.nn.scoring import ScoringCritic
from galgen.nn.units import Layer


def halve(features_in: int, features: int) -> Conv2d:
    """Half the side length."""
    return Conv2d(features_in, features, 4, stride=2, padding=1, bias=False)


class Planes(Branch):
    """The condition's half of the first two layers: planes that are 1 everywhere for the class.

    The published critic concatenates what the first convolutions made of image and planes and
    convolves both at once. A convolution of two inputs is the sum of their own; as such it can
    start at zero, and a penalty on the image's gradient does not pass it.

    Parameters
    ----------
    width
        Length of the conditions.
    features, features_out
        Feature maps after the first and the second convolution.
    """

    first = ("planes.weight", 1)
    #: Planes of this side have all that larger ones have: edges and a middle.
    SIDE = 12

    def __init__(self, width: int, features: int, features_out: int) -> None:
        super().__init__()
        self.planes, self.mixed = halve(width, features), halve(features, features_out)

    def forward(self, condition: Tensor, side: int) -> Tensor:
        """Rows (N, width) to their share of the maps (N, features_out, side, side)."""
        planes = condition.float()[:, :, None, None].expand(-1, -1, self.SIDE, self.SIDE)
        share = self.mixed(leaky_relu_(self.planes(planes)))
        for axis in (2, 3):
            first, middle, last = share.split(1, dim=axis)
            shape = [side - 2 if place == axis else -1 for place in range(4)]
            share = torch.cat([first, middle.expand(shape), last], dim=axis)
        return share

    @torch.no_grad()
    def silence(self) -> None:
        """Make it zero, in a way that training can leave again."""
        self.mixed.weight.zero_()


class Meeting(nn.Module):
    """Where image and conditions meet: the first two convolutions.

    Parameters
    ----------
    bands
        Number of bands.
    width
        Feature maps of image and planes together after the first convolution; the second makes
        twice as many.
    planes
        Length of the conditions; 0 for an image alone.
    """

    def __init__(self, bands: int, width: int, planes: int) -> None:
        super().__init__()
        self.image = halve(bands, width // 2)
        self.merge = halve(width // 2, 2 * width)
        self.projection = Planes(planes, width // 2, 2 * width) if planes else None
        if self.projection is not None:
            with torch.no_grad():
                # As the halves of one convolution of twice as many inputs start.
                for half in (self.merge, self.projection.mixed):
                    half.weight.mul_(math.sqrt(0.5))

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Images (N, bands, h, h) and rows (N, width) to maps (N, 2 width, h / 4, h / 4)."""
        x = self.merge(leaky_relu_(self.image(x)))
        if self.projection is None:
            return x
        if condition is None:
            raise ValueError("this critic is conditional: give conditions")
        share: Tensor = self.projection(condition, x.shape[-1])
        return x + share


class Critic(ScoringCritic):
    """Strided convolutions with layer norm, from image and label planes to a score
    (Rustige et al. 2023, RASTI 2, 264, arXiv:2212.08504).

    Parameters
    ----------
    size, bands
        As of the generator.
    width
        Feature maps that the image and its conditions have together at half the images' side; they
        are doubled at each coarser resolution.
    given
        What it is given beside the image.
    """

    def __init__(
        self, size: int, bands: int, *, width: int = 64, given: Given | None = None
    ) -> None:
        super().__init__()
        if width < 2:
            raise ConfigError(f"model.options.critic_width must be 2 or more, not {width}.")
        given = given or Given()
        self.size, self.bands = size, bands
        self.base, doublings = exact_levels(size, "radiogan")
        widths = [width * 2**level for level in range(1, doublings)]
        self.meeting = Meeting(bands, width, given.width if given.projects else 0)
        self.stages = nn.ModuleList(halve(a, b) for a, b in pairwise(widths))
        sides = [self.base * 2**level for level in reversed(range(doublings - 1))]
        self.norms = nn.ModuleList(MapNorm(side) for side in sides)
        inputs = widths[-1] * self.base**2
        # The published convolution of the last maps with a kernel as large as they are.
        self.add_head(nn.Linear(inputs, 1, bias=False), inputs, given, projects=False)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to features (N, F)."""
        x = leaky_relu_(self.norms[0](self.meeting(x, condition)))
        for stage, norm in zip(self.stages, self.norms[1:], strict=True):
            x = leaky_relu_(norm(stage(x)))
        return x.flatten(1)

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        side = self.size
        block = f"{side}x{side}"
        start = (self.meeting, self.norms[0])
        layers = [Layer(f"{block} convolutions of image and label", block, start)]
        side //= 4
        for parts in zip(self.stages, self.norms[1:], strict=True):
            layers.append(Layer(f"{side}x{side} convolution", f"{side}x{side}", parts))
            side //= 2
        block = f"{side}x{side}"
        return [*layers, Layer(f"{block} score", block, self.head)]

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("meeting.image.weight", 1)]


class DenseCritic(ScoringCritic):
    """The published critic without convolutions: four dense layers, then a score per class.

    The score of a class is the common one and the projection of its own vector.

    Parameters
    ----------
    size, bands, given
        As of `Critic`.
    width
        Units of each layer.
    """

    LAYERS = 4

    def __init__(
        self, size: int, bands: int, *, width: int = 250, given: Given | None = None
    ) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"model.options.dense_width must be 1 or more, not {width}.")
        self.size, self.bands = size, bands
        # As a convolution, so that bands have an axis of their own.
        self.first = nn.Conv2d(bands, width, size)
        self.dense = nn.ModuleList(nn.Linear(width, width) for _ in range(self.LAYERS - 1))
        self.add_head(nn.Linear(width, 1), width, given or Given())

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, bands, size, size) in network space to features (N, width)."""
        x = F.linear(x.flatten(1), self.first.weight.flatten(1), self.first.bias)
        x = leaky_relu_(x)
        for dense in self.dense:
            x = leaky_relu_(dense(x))
        return x

    def layers(self) -> list[Layer]:
        """Units of freezing, from the image to the score."""
        parts = [self.first, *self.dense]
        layers = [Layer(f"dense {n}", f"dense {n}", (part,)) for n, part in enumerate(parts, 1)]
        return [*layers, Layer("score", "score", self.head)]

    def band_parameters(self) -> list[tuple[str, int]]:
        """(parameter name, axis of the bands), for a change of bands in fine-tuning."""
        return [("first.weight", 1)]
