"""Rotational asymmetry, and the centre that makes it smallest.

The centres of all galaxies are searched at once: from a first guess in steps that begin with a
pixel and are halved when no neighbour is better. Turning by 180 degrees about any point is a flip
and a shift by a fraction of a pixel that is the same for the whole image, so that two linear
interpolations do it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.measure.morphology.shape import distance

_SMALL = 1e-12
#: First and last step of the search in pixels, by what it is divided, and the most steps.
_FIRST, _LAST, _FINER, _STEPS = 2.0, 0.01, 4.0, 24


def turned(image: Tensor, centre: Tensor) -> Tensor:
    """Images turned by 180 degrees about `centre` (N, 2) by bilinear interpolation: (N, H, W).

    `image` (N, H + 1, W + 1) are the images with an empty line after the last row and column, which
    stands for everything outside.
    """
    return _at(image, *(part[0] for part in _places(image, centre[None])))


def _places(image: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where turned images come from, for K centres (K, N, 2) at once.

    Row numbers (K, N, H + 1) of all images one below another, column numbers (K, N, 1, W + 1), and
    the weights (K, N, 2) of the next of two columns and rows.
    """
    n, height, width = image.shape
    whole = (2 * centre).floor()
    first = whole.long() + 1
    lines = []
    for axis, length in ((1, height - 1), (0, width - 1)):
        index = first[..., axis, None] - torch.arange(length + 1, device=image.device)
        lines.append(index.masked_fill_((index < 0) | (index > length), length))
    rows = lines[0] + height * torch.arange(n, device=image.device)[:, None]
    return rows, lines[1][:, :, None, :], 2 * centre - whole


def _at(image: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    n, height, width = image.shape
    right, up = weights[:, 0, None, None], weights[:, 1, None, None]
    lines = image.reshape(n * height, width).index_select(0, rows.flatten()).view_as(image)
    lines = torch.lerp(lines[:, 1:], lines[:, :-1], up)
    lines = lines.gather(2, columns.expand(-1, height - 1, -1))
    return torch.lerp(lines[:, :, 1:], lines[:, :, :-1], right)


def padded(image: Tensor) -> Tensor:
    """Images with the empty line that `turned` wants."""
    return F.pad(image, (0, 1, 0, 1))


def aperture(image: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """Part (N, H, W) of each pixel within a circle, to first order at its rim."""
    return (radius[:, None, None] + 0.5 - distance(image, centre)).clamp(0, 1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum (N,) of the products."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def asymmetry(image: Tensor, counts: Tensor, centre: Tensor, radius: Tensor, sky: Tensor) -> Tensor:
    r"""Asymmetry (N,) about `centre` (N, 2) within a circle of `radius` (N,).

    :math:`A = (\sum |f - f_{180}| - n\, a_{sky}) / \sum |f|` with the sky's own asymmetry per
    pixel `sky` (N,) (Conselice 2003; Lotz et al. 2004, eq. 10). Pixels that do not count, or half
    of whose counterpart does not, are left out of all three sums.
    """
    weight = aperture(image, centre, radius)
    if not counts.all():
        weight = weight * counts * (turned(padded(counts), centre) > 0.5)
    difference = (image - turned(padded(image), centre)).abs()
    light = _dot(weight, image.abs()).clamp_min(_SMALL)
    return (_dot(weight, difference) - weight.sum((1, 2)) * sky) / light


@torch.no_grad()
def centre_of_asymmetry(
    image: Tensor,
    counts: Tensor,
    centroid: Tensor,
    brightest: Tensor,
    radius: Tensor,
    drift: Tensor,
) -> Tensor:
    """The centre (N, 2) of the smallest asymmetry, near the centroid (N, 2) if it can be.

    Conselice (2003) walks over a grid around the brightest pixel, statmorph takes a simplex from
    the centroid, and from the brightest pixel where that drifts away. Here the search stays within
    `drift` (N,) pixels of its start; where it ends near that limit, a second one starts at the
    brightest pixel, and the better end counts. While the centre moves, the circle of `radius` (N,)
    stays about the centroid, and pixels that do not count are those opposite, so that only one sum
    has to be done anew.
    """
    if not counts.all():
        image = image * counts + turned(padded(image), centroid) * (1 - counts)
    search = _Search(padded(image), aperture(image, centroid, radius))
    centre, cost = search.descend(centroid, drift)
    far = ((centre - centroid).square().sum(1).sqrt() > 0.8 * drift).nonzero()[:, 0]
    if len(far):
        other, lower = search[far].descend(brightest[far], drift[far])
        centre[far] = torch.where((lower < cost[far])[:, None], other, centre[far])
    return centre


@dataclass(frozen=True)
class _Search:
    """Images (N, H + 1, W + 1) and weights (N, H, W) of the sum that is made small."""

    image: Tensor
    weight: Tensor

    def __getitem__(self, rows: Tensor) -> _Search:
        return _Search(self.image[rows], self.weight[rows])

    def cost(self, centre: Tensor) -> Tensor:
        """Sums (K, N) of the differences from images turned about `centre` (K, N, 2)."""
        here = self.image[:, :-1, :-1]
        # One after another, for which the cache is large enough.
        turns = (
            _at(self.image, *place) for place in zip(*_places(self.image, centre), strict=True)
        )
        return torch.stack([_dot(t.sub_(here).abs_(), self.weight) for t in turns])

    def descend(self, start: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest place (N, 2) found from `start` within `limit`, and its cost (N,)."""
        centre, best = start.clone(), self.cost(start[None])[0]
        step = torch.full_like(best, _FIRST)
        compass = centre.new_tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        active, here = torch.arange(len(best), device=best.device), self
        for _ in range(_STEPS):
            length, now, lowest = step[active], centre[active], best[active]
            tried = now + length[:, None] * compass[:, None]
            costs = here.cost(tried)
            leap = _bottom(costs[1::2], lowest, costs[0::2]) * length
            tried = torch.cat([tried, (now + leap.T)[None]])
            costs = torch.cat([costs, here.cost(tried[4:])])
            away = (tried - start[active]).square().sum(2).sqrt()
            least, way = costs.masked_fill_(away > limit[active], torch.inf).min(0)
            better = least < lowest
            picked = tried.gather(0, way[None, :, None].expand(1, -1, 2))[0]
            centre[active] = torch.where(better[:, None], picked, now)
            best[active] = torch.where(better, least, lowest)
            step[active] = torch.where(better & (way < 4), length, length / _FINER)
            going = step[active] >= _LAST
            if not going.any():
                break
            # Copying costs more than a few that stand still.
            if going.sum() < 0.7 * len(going):
                active, here = active[going], here[going]
        return centre, best


def _bottom(behind: Tensor, here: Tensor, ahead: Tensor) -> Tensor:
    """Where the parabola through values at -1, 0 and 1 is lowest, at most one away."""
    bend = ahead + behind - 2 * here
    return torch.where(bend > 0, 0.5 * (behind - ahead) / bend.clamp_min(_SMALL), 0.0).clamp(-1, 1)
