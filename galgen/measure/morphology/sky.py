"""The sky's own asymmetry and roughness, which are taken off those of the galaxy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.measure.morphology import smoothing

#: Sides of the square of sky that are tried, pixels.
_SIDES = (32, 16, 8, 4, 2)


@dataclass(frozen=True)
class SkyBox:
    """A square without sources from each image.

    Attributes
    ----------
    pixels, turned
        (N, S, S) the square and the same turned by 180 degrees, 0 beyond its side.
    counts
        (N, S, S), 1 in the square.
    side
        (N,) in pixels, 0 where there is none: means are 0 then.
    """

    pixels: Tensor
    turned: Tensor
    counts: Tensor
    side: Tensor

    def asymmetry(self) -> Tensor:
        """Mean |f - f_180| (N,) in the square."""
        return self._mean((self.pixels - self.turned).abs())

    def excess(self, width: Tensor) -> Tensor:
        """Mean light (N,) above that smoothed by a square of `width` (N,) pixels."""
        return self._mean(smoothing.excess_within(self.pixels, width, self.side))

    def _mean(self, values: Tensor) -> Tensor:
        return (values * self.counts).sum((1, 2)) / self.side.square().clamp_min(1)


def sky_box(light: Tensor, sky: Tensor) -> SkyBox:
    """The first of the largest squares that are all sky, by rows from the first pixel.

    So does statmorph, with sides of 32 pixels, 16 and so on to 2. A mean over all of the sky would
    be less noisy, but not the number that has been published of real galaxies. Without a square
    nothing is taken off.

    Parameters
    ----------
    light, sky
        (N, H, W); 1 where there is no source.
    """
    n, height, width = light.shape
    with torch.no_grad():
        taken = F.pad((1 - sky).cumsum(1).cumsum(2), (1, 0, 1, 0))
        x, y, side = (torch.zeros(n, dtype=torch.long, device=light.device) for _ in range(3))
        for length in _SIDES:
            todo = (side == 0).nonzero()[:, 0]
            if length >= min(height, width) or not len(todo):
                continue
            # One column and row less than would fit, as statmorph.
            across, down = width - length, height - length
            above, below = taken[todo, :down], taken[todo, length:height]
            sums = below[:, :, length:width] - below[:, :, :across]
            sums = (sums - above[:, :, length:width] + above[:, :, :across]).flatten(1)
            least, first = sums.min(1)
            free = (least == 0).nonzero()[:, 0]
            at, place = todo[free], first[free]
            x[at], y[at], side[at] = place % across, place // across, length
        # Rows and columns of the square, and those opposite.
        count = torch.arange(max(int(side.max()), 1) if n else 1, device=light.device)
        within = count < side[:, None]
        last = (side[:, None] - 1 - count).clamp_min(0)
        step = torch.where(within, count, 0)
        here, there = (
            (y[:, None] + k)[:, :, None] * width + (x[:, None] + k)[:, None, :]
            for k in (step, last)
        )
        counts = (within[:, :, None] & within[:, None, :]).to(light)
    flat = light.flatten(1)
    pixels, turned = (
        flat.gather(1, place.flatten(1)).view_as(counts) * counts for place in (here, there)
    )
    return SkyBox(pixels, turned, counts, side.to(light))
