"""The sky's own asymmetry and roughness, which are taken off those of the galaxy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.measure.morphology import smoothing
from galgen.measure.morphology.asymmetry import padded, turned

#: Sides of the square of sky that are tried, pixels.
_SIDES = (32, 16, 8, 4, 2)
#: Mean of |a - b| for two Gaussian deviates of unit variance, and of the positive part of one.
_DIFFERENCE, _EXCESS = 2 / math.sqrt(math.pi), 1 / math.sqrt(2 * math.pi)
_SMALL = 1e-12


@dataclass(frozen=True)
class SkyBox:
    """A square without sources in each image.

    Attributes
    ----------
    inside
        (N, H, W), 1 in the square.
    centre
        (N, 2), x and y of its middle.
    side
        (N,) its side in pixels, 0 where there is none; `inside` is then empty.
    sigma
        (N,) standard deviation of all sky pixels, 0 where there are none.
    """

    inside: Tensor
    centre: Tensor
    side: Tensor
    sigma: Tensor

    def asymmetry(self, light: Tensor) -> Tensor:
        """Mean |f - f_180| (N,) in the square, turned about its own middle.

        Without a square, that of Gaussian noise with the variance of the sky's pixels.
        """
        difference = (light - turned(padded(light), self.centre)).abs()
        return torch.where(self.side > 0, self._mean(difference), _DIFFERENCE * self.sigma)

    def excess(self, light: Tensor, width: Tensor) -> Tensor:
        """Mean light (N,) above that smoothed by a square of `width` (N,) pixels, in the square."""
        corner = self.centre - (self.side[:, None] - 1) / 2
        values = smoothing.excess_within(light, width, corner, self.side)
        return torch.where(self.side > 0, self._mean(values), _EXCESS * self.sigma * (width > 1))

    def _mean(self, values: Tensor) -> Tensor:
        return (values * self.inside).sum((1, 2)) / self.inside.sum((1, 2)).clamp_min(1)


def sky_box(light: Tensor, sky: Tensor) -> SkyBox:
    """The first of the largest squares that are all sky, by rows from the first pixel.

    So does statmorph, with sides of 32 pixels, 16 and so on to 2. A mean over all of the sky would
    be less noisy, but not the number that has been published of real galaxies.

    Parameters
    ----------
    light, sky
        (N, H, W); True where there is no source.
    """
    n, height, width = light.shape
    with torch.no_grad():
        taken = F.pad((~sky).to(torch.int32).cumsum(1).cumsum(2), (1, 0, 1, 0))
        corner = light.new_zeros(n, 2)
        side = light.new_zeros(n)
        for length in _SIDES:
            if length >= min(height, width) or bool((side > 0).all()):
                continue
            # One column and row less than would fit, as statmorph.
            a, b = taken[:, : height - length], taken[:, length:height]
            full = b[:, :, length:width] - b[:, :, : width - length]
            full = full - a[:, :, length:width] + a[:, :, : width - length]
            free = (full == 0).flatten(1)
            first = free.to(torch.uint8).argmax(1)
            new = free.any(1) & (side == 0)
            place = torch.stack([first % (width - length), first // (width - length)], 1)
            corner = torch.where(new[:, None], place.to(corner), corner)
            side = torch.where(new, float(length), side)
        x, y = (torch.arange(s, device=light.device) for s in (width, height))
        across = (x >= corner[:, :1]) & (x < corner[:, :1] + side[:, None])
        along = (y >= corner[:, 1:]) & (y < corner[:, 1:] + side[:, None])
        inside = (along[:, :, None] & across[:, None, :]).to(light)
    pixels = sky.sum((1, 2)).clamp_min(1)
    level = (light * sky).sum((1, 2)) / pixels
    square = ((light - level[:, None, None]) ** 2 * sky).sum((1, 2)) / pixels
    sigma = torch.where(square > _SMALL, square.clamp_min(_SMALL).sqrt(), 0.0)
    return SkyBox(inside, corner + (side[:, None] - 1) / 2, side, sigma)
