"""Light within circles and ellipses of growing radius, and the radii that follow from it.

Every pixel is put into fine rings by the distance of its middle, and counts within a radius by the
part of its side that lies inside; near the centre, where that is too coarse, by its sub-pixels.
This needs no loop over radii, and it is linear in the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.measure.morphology.shape import radii

#: Width of a ring in pixels; the sides of pixels and sub-pixels are multiples of twice it.
STEP = 0.125
#: Pixels within so many rows and columns of the centre are divided, each side into so many.
_INNER, _PARTS = 4, 4
#: Mean brightness at the Petrosian radius over that within it (Petrosian 1976; Lotz et al. 2004).
ETA = 0.2
_SMALL = 1e-12


@dataclass(frozen=True)
class Growth:
    """Sums within radii 0, STEP, 2 STEP, ... of N images, both (N, K).

    Attributes
    ----------
    light
        Of the pixels' values.
    area
        Of the pixels that count, in pixels.
    """

    light: Tensor
    area: Tensor

    def at(self, radius: Tensor) -> Tensor:
        """Light within a radius (N,)."""
        return _interpolate(self.light, radius)


def growth(
    image: Tensor,
    counts: Tensor,
    centre: Tensor,
    elongation: Tensor | None = None,
    angle: Tensor | None = None,
) -> Growth:
    """Growth curves around a centre.

    Parameters
    ----------
    image
        (N, H, W), 0 where a pixel does not count.
    counts
        (N, H, W), 1 where it does.
    centre
        (N, 2), x and y.
    elongation, angle
        (N,) a/b of the ellipses and the direction of their long axis from +x in radians; the
        radius is the long half-axis. Circles by default.
    """
    height, width = image.shape[1:]
    rings = _n_rings(height, width, elongation)
    middle = centre.round()
    rows, columns = (
        torch.arange(s, device=image.device, dtype=image.dtype) for s in (height, width)
    )
    dy, dx = rows - centre[:, 1:], columns - centre[:, :1]
    outside = _rings_of(dx, dy, elongation, angle, rings)
    near_y, near_x = (
        (v - m).abs() <= _INNER for v, m in ((rows, middle[:, 1:]), (columns, middle[:, :1]))
    )
    far = (~(near_y[:, :, None] & near_x[:, None, :])).to(image)
    light, area = _both(
        outside.flatten(1), (image * far).flatten(1), (counts * far).flatten(1), rings
    )
    light, area = (_spread(c, round(1 / STEP)) for c in (light, area))

    window = torch.arange(-_INNER, _INNER + 1, device=image.device)
    y, x = (middle[:, k, None].long() + window for k in (1, 0))
    within = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    flat = (y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]).flatten(
        1
    )
    pixels, counted = (
        (v.flatten(1).gather(1, flat).view(within.shape) * within)
        .repeat_interleave(_PARTS, 1)
        .repeat_interleave(_PARTS, 2)
        .flatten(1)
        / _PARTS**2
        for v in (image, counts)
    )
    fine = (torch.arange((2 * _INNER + 1) * _PARTS, device=image.device) + 0.5) / _PARTS
    fine = fine - _INNER - 0.5
    dy, dx = ((middle - centre)[:, k, None] + fine for k in (1, 0))
    inside = _rings_of(dx, dy, elongation, angle, rings).flatten(1)
    for total, part in zip((light, area), _both(inside, pixels, counted, rings), strict=True):
        total += _spread(part, round(1 / STEP / _PARTS))
    return Growth(light, area)


def petrosian(curve: Growth, elongation: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Petrosian radius (N,), and whether there is one within the image (N,).

    The first radius on a grid of about a pixel where a ring one pixel wide is fainter than `ETA`
    times the mean within, refined between that radius and the one before, as statmorph does.
    """
    half = round(0.5 / STEP)
    light, area = curve.light, curve.area
    ring = light[:, 2 * half :] - light[:, : -2 * half]
    ring = ring / (area[:, 2 * half :] - area[:, : -2 * half]).clamp_min(_SMALL)
    disc = light[:, half:-half] / area[:, half:-half].clamp_min(_SMALL)
    # Of radii half * STEP and up; both means are taken as positive.
    excess = ring.abs() - ETA * disc.abs()
    last = excess.shape[1] - 1
    index = torch.arange(last + 1, device=excess.device)
    stride = torch.ones_like(light[:, 0]) if elongation is None else elongation
    stride = (stride / STEP).round().long().clamp_min(1)
    first = round(1 / STEP) - half
    grid = first + index[:: round(1 / STEP)] // round(1 / STEP) * stride[:, None]
    below = (excess <= 0) & (disc.abs() > 0)
    coarse, found = _first(below.gather(1, grid.clamp_max(last)) & (grid <= last))
    coarse = first + coarse * stride
    fine, _ = _first(below & (index > (coarse - stride)[:, None]))
    fine = fine.clamp_min(1)
    above, under = (excess.gather(1, (fine - k)[:, None])[:, 0] for k in (1, 0))
    part = (above / (above - under).clamp_min(1e-6 * above.abs() + _SMALL)).clamp(0, 1)
    radius = (fine - 1 + part + half) * STEP
    # Fainter than that from the beginning: no galaxy that statmorph would measure.
    return radius, found & (coarse > first)


def radius_of(curve: Growth, outermost: Tensor, fraction: float) -> Tensor:
    """Radius (N,) that holds a fraction of the light within `outermost` (N,)."""
    target = fraction * curve.at(outermost)
    row, _ = _first(curve.light > target[:, None])
    row = row.clamp_min(1)
    below, above = (curve.light.gather(1, (row - k)[:, None])[:, 0] for k in (1, 0))
    part = ((target - below) / (above - below).clamp_min(1e-6 * target.abs() + _SMALL)).clamp(0, 1)
    return (row - 1 + part) * STEP


def _n_rings(height: int, width: int, elongation: Tensor | None) -> int:
    # Ellipses reach further; beyond two diagonals no Petrosian radius is believed.
    return math.ceil(math.hypot(height, width) * (1.0 if elongation is None else 2.0) / STEP)


def _rings_of(
    dx: Tensor, dy: Tensor, elongation: Tensor | None, angle: Tensor | None, rings: int
) -> Tensor:
    """Ring of each point (N, H, W) from its offsets (N, W) and (N, H)."""
    if elongation is None or angle is None:
        radius = ((dx * dx)[:, None, :] + (dy * dy)[:, :, None]).sqrt()
    else:
        radius = radii(dx, dy, elongation, angle)
    return (radius / STEP).long().clamp_max(rings - 1)


def _both(ring: Tensor, light: Tensor, area: Tensor, rings: int) -> tuple[Tensor, Tensor]:
    """Sums by ring (N, rings) of both."""
    zero = light.new_zeros(len(light), rings)
    return tuple(zero.scatter_add(1, ring, v) for v in (light, area))  # type: ignore[return-value]


def _spread(ring: Tensor, width: int) -> Tensor:
    """Sums within radii 0, STEP, ... of squares `width` (even) rings wide by their middles' ring.

    The mean over `width` rings of the sum of the rings below.
    """
    half = width // 2
    below = F.pad(ring.cumsum(1), (half + 1, 0))
    below = torch.cat([below, below[:, -1:].expand(-1, half)], 1)
    within = below[:, :-1] + below[:, 1:]
    # Sums of neighbours in twos, fours, ... as far as they are needed.
    total, start, size = None, 0, 1
    while size <= width:
        if width & size:
            part = within[:, start:]
            total = part if total is None else total[:, : part.shape[1]] + part
            start += size
        within, size = within[:, :-size] + within[:, size:], 2 * size
    assert total is not None
    return total[:, : ring.shape[1] + 1] / (2 * width)


def _interpolate(values: Tensor, radius: Tensor) -> Tensor:
    place = (radius / STEP).clamp(0, values.shape[1] - 1.001)
    row = place.detach().floor().long()
    below, above = (values.gather(1, (row + k)[:, None])[:, 0] for k in (0, 1))
    return below + (above - below) * (place - row)


def _first(true: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the first True of each row (N,), 0 where there is none, and whether there is one."""
    return true.to(torch.uint8).argmax(1), true.any(1)
