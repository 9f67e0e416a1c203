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
    n, height, width = image.shape
    rows, up = _places(2 * centre[:, 1], height - 1)
    columns, right = _places(2 * centre[:, 0], width - 1)
    rows += height * torch.arange(n, device=image.device)[:, None]
    lines = image.reshape(n * height, width).index_select(0, rows.flatten()).view_as(image)
    lines = torch.lerp(lines[:, 1:], lines[:, :-1], up[:, None, None])
    lines = lines.gather(2, columns[:, None, :].expand(-1, height - 1, -1))
    return torch.lerp(lines[:, :, 1:], lines[:, :, :-1], right[:, None, None])


def _places(twice: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Indices (N, length + 1) of the lines that turned images are made of, and weights (N,)."""
    whole = twice.floor()
    index = whole.long()[:, None] + 1 - torch.arange(length + 1, device=twice.device)
    return torch.where((index >= 0) & (index < length), index, length), twice - whole


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
        """Sum (N,) of the differences between images and images turned about `centre` (N, 2)."""
        difference = turned(self.image, centre).sub_(self.image[:, :-1, :-1]).abs_()
        return _dot(difference, self.weight)

    def descend(self, start: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest place (N, 2) found from `start` within `limit`, and its cost (N,)."""
        centre, best = start.clone(), self.cost(start)
        step = torch.full_like(best, _FIRST)
        compass = centre.new_tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        active, here = torch.arange(len(best), device=best.device), self
        for _ in range(_STEPS):
            length, now, lowest = step[active], centre[active], best[active]
            tried = [now + length[:, None] * way for way in compass]
            costs = [here.cost(place) for place in tried]
            leap = [_bottom(costs[k + 1], lowest, costs[k]) * length for k in (0, 2)]
            tried.append(now + torch.stack(leap, 1))
            costs.append(here.cost(tried[-1]))
            places = torch.stack(tried)
            away = (places - start[active]).square().sum(2).sqrt()
            least, way = torch.stack(costs).masked_fill_(away > limit[active], torch.inf).min(0)
            better = least < lowest
            picked = places.gather(0, way[None, :, None].expand(1, -1, 2))[0]
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
