"""Centre, ellipse, Gini coefficient and M20 of the pixels of a source."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_SMALL = 1e-12
#: Variance of a pixel's own width: no source is thinner.
_PIXEL = 1 / 12


def axes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates x (W,) and y (H,) of the pixels' middles."""
    y, x = (torch.arange(s, device=image.device, dtype=image.dtype) for s in image.shape[-2:])
    return x, y


def distance(image: Tensor, centre: Tensor) -> Tensor:
    """Distances (N, H, W) of the pixels' middles from `centre` (N, 2)."""
    x, y = axes(image)
    square = ((x - centre[:, :1]) ** 2)[:, None, :] + ((y - centre[:, 1:]) ** 2)[:, :, None]
    return square.sqrt()


def elliptical(image: Tensor, centre: Tensor, elongation: Tensor, angle: Tensor) -> Tensor:
    """Long half-axes (N, H, W) of the ellipses around `centre` that pass through the pixels.

    `elongation` is a/b and `angle` that of the long axis, both (N,).
    """
    x, y = axes(image)
    return radii(x - centre[:, :1], y - centre[:, 1:], elongation, angle)


def radii(dx: Tensor, dy: Tensor, elongation: Tensor, angle: Tensor) -> Tensor:
    """The same of points at offsets (N, W) and (N, H) from the centre."""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    stretch = elongation[:, None]
    along = (dx * cos)[:, None, :] + (dy * sin)[:, :, None]
    across = (dy * cos * stretch)[:, :, None] - (dx * sin * stretch)[:, None, :]
    return torch.hypot(along, across)


def centroid(light: Tensor) -> Tensor:
    """Mean position (N, 2) of the light (N, H, W), x and y."""
    x, y = axes(light)
    total = _away_from_zero(light.sum((1, 2)))
    return torch.stack([light.sum(1) @ x, light.sum(2) @ y], 1) / total[:, None]


def ellipse(light: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Ellipticity 1 - b/a, orientation and whether the moments make sense, each (N,).

    a and b are the square roots of the eigenvalues of the second moments Q of the light (N, H, W)
    about `centre` (N, 2); the long axis lies at
    :math:`\tfrac12 \arctan(2 Q_{xy} / (Q_{xx} - Q_{yy}))` from +x towards +y, in radians, between
    -pi/2 and pi/2.
    """
    x, y = axes(light)
    dx, dy = x - centre[:, :1], y - centre[:, 1:]
    total = _away_from_zero(light.sum((1, 2)))
    across = light.sum(1)
    along = light.sum(2)
    xx, yy = (across * dx * dx).sum(1) / total, (along * dy * dy).sum(1) / total
    xy = ((light @ dx[:, :, None])[:, :, 0] * dy).sum(1) / total
    sensible = (xx > 0) & (yy > 0)
    # SExtractor's way with infinitely thin sources (Bertin & Arnouts 1996).
    thin = _PIXEL * ((xx * yy - xy * xy).abs() < _PIXEL**2)
    xx, yy = xx + thin, yy + thin
    half, split = (xx - yy) / 2, xy
    # A round source has no orientation, and its gradient there would be 0/0.
    round_ = (half.abs() + split.abs()) < 1e-9 * (xx + yy).abs()
    half = torch.where(round_, 0.0, half)
    safe_half = torch.where(round_, 1.0, half)
    length = torch.where(round_, 0.0, torch.hypot(safe_half, torch.where(round_, 0.0, split)))
    mean = (xx + yy) / 2
    major, minor = ((mean + s * length).abs().clamp_min(_SMALL) for s in (1, -1))
    ratio = (torch.minimum(major, minor) / torch.maximum(major, minor)).sqrt()
    angle = 0.5 * torch.atan2(torch.where(round_, 0.0, split), safe_half)
    return 1 - ratio, angle, sensible


def listed(segment: Tensor, *values: Tensor) -> list[Tensor]:
    """Values (N, H, W) of the pixels of `segment` (N, H, W), in rows (N, K) that end in 0."""
    image, place = segment.flatten(1).nonzero().unbind(1)
    first = segment.flatten(1).sum(1).cumsum(0).roll(1)
    first[:1] = 0
    within = torch.arange(len(image), device=image.device) - first[image]
    longest = int(within.max()) + 1 if len(image) else 1
    empty = values[0].new_zeros(len(segment), longest)
    return [empty.index_put((image, within), v.flatten(1)[image, place]) for v in values]


def gini(light: Tensor, n: Tensor) -> Tensor:
    r"""Gini coefficient (N,) of n (N,) pixels `light` (N, K), the rest of each row 0.

    :math:`G = \sum_i (2 i - n - 1) |f_i| / (\bar f n (n - 1))` over the n sorted absolute values
    (Lotz et al. 2004, eq. 6): 0 for equal pixels, 1 for a single bright one.
    """
    # The zeros sort first, and the ranks skip them.
    flat = _sorted(light.abs())
    length = flat.shape[1]
    index = torch.arange(1, length + 1, device=light.device)
    rank = (index - (length - n)[:, None]).to(light)
    weighted = ((2 * rank - n[:, None] - 1) * flat * (rank > 0)).sum(1)
    return weighted / (flat.sum(1) * (n - 1)).clamp_min(_SMALL)


def m20(light: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""M20 (N,) of pixels `light` at `x` and `y` (N, K), and whether it could be measured (N,).

    :math:`M_{20} = \log_{10} (\sum_{i \in 20} M_i / \sum_i M_i)` with :math:`M_i = f_i r_i^2` about
    the pixels' centroid and the brightest pixels that hold 20 % of their light (Lotz et al. 2004,
    eqs. 7 and 8). Which pixels these are is held fixed by the gradient.
    """
    total = _away_from_zero(light.sum(1))
    dx, dy = (v - ((light * v).sum(1) / total)[:, None] for v in (x, y))
    moments = light * (dx * dx + dy * dy)
    with torch.no_grad():
        flat = _sorted(light.detach())
        row = (flat.cumsum(1) >= 0.8 * total[:, None]).to(light).argmax(1)
        brightest = light >= flat.gather(1, row[:, None])
    bright, whole = (moments * brightest).sum(1), moments.sum(1)
    good = (bright > 0) & (whole > 0) & (total > 0)
    bright, whole = (torch.where(good, v, 1.0) for v in (bright, whole))
    return (bright.log() - whole.log()) / math.log(10), good


def bulge(gini: Tensor, m20: Tensor) -> Tensor:
    """Bulge statistic F(G, M20) of Rodriguez-Gomez et al. 2019 (eq. 5); early types have F >= 0."""
    return -0.693 * m20 + 4.95 * gini - 3.96


def _sorted(values: Tensor) -> Tensor:
    """Rows (N, K) in rising order."""
    if values.device.type != "cpu":
        return values.sort(1).values
    # Five times faster than torch's, and twenty without the order.
    if not values.requires_grad:
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    order = np.argsort(values.detach().numpy(), axis=1)
    return values.gather(1, torch.from_numpy(order))


def _away_from_zero(values: Tensor) -> Tensor:
    return torch.where(values.abs() < _SMALL, _SMALL, values)
