"""Three ways to add up a galaxy's light, the same pixels in every band.

Each function takes the sky-subtracted bands (C, H, W), the reference image (H, W), the labels of
its segments (H, W) and the label of the galaxy, and returns x, y, radius, half-light radius,
ellipticity (see `galgen.measure.photometry.measure`) and the flux in each band.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.measure.sources import Ellipse, ellipse

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Kron (1980) apertures as in SourceExtractor: the ellipse in which the first moment is taken, in
#: units of the second moments, the factor on that moment, and its least value.
_REACH, _KRON, _LEAST = 6.0, 2.5, 1.4
#: A segment is dilated while its flux grows by more than this, at most so often, as in ProFound
#: (Robotham et al. 2018, section 2.4).
GROWTH, DILATIONS = 1.05, 6
#: Pixels of an aperture's box beyond which there is no flux, as in photutils.
_LARGEST = 1_000_000
_NAN = float("nan")


def kron(
    residual: NDArray[Any], reference: NDArray[Any], labels: NDArray[Any], label: int
) -> list[float]:
    """Elliptical Kron aperture, by the definitions of photutils and to its last digits.

    Ten times faster than photutils' catalogue, which works with units and for many sources.
    """
    fails = [_NAN] * (5 + len(residual))
    shape = ellipse(reference, labels == label)
    if shape is None:
        return fails
    others = (labels != 0) & (labels != label)
    scale = _KRON * _kron_radius(shape, reference, others)
    layers = np.concatenate([residual, reference[None]])
    *fluxes, total = _in_ellipse(shape, scale, layers, others)
    semimajor = scale * shape.a
    found = _box(shape, semimajor, semimajor, reference.shape)
    half = _NAN
    if found is not None and math.isfinite(total) and total != 0:
        light = _mirrored(reference[found][None], others[found], shape, found)[0]
        half = _radius_of(total / 2, light, shape, found, semimajor)
    return [shape.x, shape.y, semimajor, half, shape.ellipticity, *fluxes]


def dilated(
    residual: NDArray[Any], reference: NDArray[Any], labels: NDArray[Any], label: int
) -> list[float]:
    """The galaxy's own segment, dilated by a pixel all round while its flux keeps growing.

    The last dilation, which adds too little to go on, is kept: its pixels hold light. Pixels of
    other segments never join. The radius is that of a circle of the same area, and half the
    light is that of the dilated segment.
    """
    from scipy.ndimage import binary_dilation

    segment = labels == label
    shape = ellipse(reference, segment)
    if shape is None:
        return [_NAN] * (5 + len(residual))
    allowed = segment | (labels == 0)
    flux = float(reference[segment].sum())
    for _ in range(DILATIONS):
        segment = binary_dilation(segment, np.ones((3, 3), dtype=bool), mask=allowed)
        before, flux = flux, float(reference[segment].sum())
        if not flux > GROWTH * before:
            break
    whole = slice(0, segment.shape[0]), slice(0, segment.shape[1])
    light = np.where(segment, reference, 0.0)
    half = _radius_of(flux / 2, light, shape, whole, float(np.hypot(*segment.shape)))
    fluxes = np.einsum("chw,hw->c", residual, segment.astype(np.float64))
    radius = math.sqrt(np.count_nonzero(segment) / math.pi)
    return [shape.x, shape.y, radius, half, shape.ellipticity, *fluxes.tolist()]


def circle(
    residual: NDArray[Any],
    reference: NDArray[Any],
    labels: NDArray[Any],
    label: int,
    radius: float,
) -> list[float]:
    """One circle of `radius` pixels around the segment's centroid."""
    y, x = np.nonzero(labels == label)
    weight = np.clip(reference[y, x], 1e-12, None)
    weight = weight / weight.sum()
    x0, y0 = float(weight @ x), float(weight @ y)
    xx, yy, xy = (
        float(weight @ ((a - a0) * (b - b0)))
        for a, a0, b, b0 in ((x, x0, x, x0), (y, y0, y, y0), (x, x0, y, y0))
    )
    split = np.hypot(xx - yy, 2 * xy)
    axes = np.sqrt(np.maximum([xx + yy + split, xx + yy - split], 1 / 12))
    rows, columns = np.indices(reference.shape)
    distance = np.hypot(rows - y0, columns - x0)
    # A pixel on the rim counts by the part that lies inside, to first order.
    inside = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    inside = np.where((labels == 0) | (labels == label), inside, 0.0)
    fluxes = np.einsum("chw,hw->c", residual, inside)
    order = np.argsort(distance, axis=None)
    growth = np.cumsum((reference * inside).ravel()[order])
    half = int(np.searchsorted(np.maximum.accumulate(growth), growth[-1] / 2))
    r_half = float(distance.ravel()[order][min(half, order.size - 1)])
    return [x0, y0, radius, r_half, float(1 - axes[1] / axes[0]), *fluxes.tolist()]


_Box = tuple[slice, slice]


def _box(shape: Ellipse, width: float, height: float, frame: tuple[int, ...]) -> _Box | None:
    """Rows and columns of the frame within half a width and height of a source, or None."""
    if not math.isfinite(width + height):
        return None
    left, right = math.floor(shape.x - width + 0.5), math.floor(shape.x + width + 1.5)
    bottom, top = math.floor(shape.y - height + 0.5), math.floor(shape.y + height + 1.5)
    if (right - left) * (top - bottom) > max(_LARGEST, frame[0] * frame[1]):
        return None
    columns = slice(max(0, left), min(frame[1], right))
    rows = slice(max(0, bottom), min(frame[0], top))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _mirrored(
    pixels: NDArray[Any], other: NDArray[np.bool_], shape: Ellipse, box: _Box
) -> NDArray[Any]:
    """Pixels (C, h, w) of a box with those of other sources replaced by the ones opposite.

    By 0 where these belong to another source too, or lie outside the box.
    """
    rows, columns = np.nonzero(other)
    if not len(rows):
        return pixels
    middle = int(shape.y - box[0].start + 0.5), int(shape.x - box[1].start + 0.5)
    down, across = 2 * middle[0] - rows, 2 * middle[1] - columns
    height, width = other.shape
    there = (down >= 0) & (across >= 0) & (down < height) & (across < width)
    there[there] &= ~other[down[there], across[there]]
    out = pixels.copy()
    out[:, rows, columns] = 0.0
    out[:, rows[there], columns[there]] = pixels[:, down[there], across[there]]
    return out


def _kron_radius(shape: Ellipse, reference: NDArray[Any], others: NDArray[np.bool_]) -> float:
    """First moment of the light in units of the ellipse; NaN beyond where it was measured."""
    box = _box(shape, *shape.extent(_REACH), reference.shape)
    if box is None:
        return _NAN
    light = _mirrored(reference[box][None], others[box], shape, box)[0]
    rows, columns = np.ogrid[box]
    radius = shape.radius(columns - shape.x, rows - shape.y)
    inside = radius <= _REACH
    light, radius = light[inside], radius[inside]
    total, moment = float(light.sum()), float(light @ radius)
    if total <= 0 or moment <= 0:
        return _LEAST
    return _NAN if moment / total > _REACH else max(_LEAST, moment / total)


def _in_ellipse(
    shape: Ellipse, scale: float, pixels: NDArray[Any], others: NDArray[np.bool_]
) -> list[float]:
    """Flux of each band (C, H, W) in `scale` times the ellipse, pixels on the rim by their part."""
    from photutils.geometry import elliptical_overlap_grid

    box = _box(shape, *shape.extent(scale), others.shape)
    if box is None:
        return [_NAN] * len(pixels)
    axes = scale * shape.a, scale * shape.b
    weights = elliptical_overlap_grid(*_edges(shape, box), *axes, shape.theta, 1, 1)
    if not weights.any():
        return [_NAN] * len(pixels)
    light = _mirrored(pixels[:, *box], others[box], shape, box)
    return [float(value) for value in np.einsum("chw,hw->c", light, weights)]


def _edges(shape: Ellipse, box: _Box) -> tuple[float, float, float, float, int, int]:
    """A box's left, right, lower and upper edge from the centroid, and its width and height."""
    rows, columns = box
    return (
        columns.start - 0.5 - shape.x,
        columns.stop - 0.5 - shape.x,
        rows.start - 0.5 - shape.y,
        rows.stop - 0.5 - shape.y,
        columns.stop - columns.start,
        rows.stop - rows.start,
    )


def _radius_of(
    flux: float, light: NDArray[Any], shape: Ellipse, box: _Box, largest: float
) -> float:
    """Radius of the circle about the centroid that holds `flux` of the `light` (h, w) in a box.

    Where noise makes the growth curve turn back, the largest radius is taken in by tenths until the
    flux lies between; NaN where it never does.
    """
    from photutils.geometry import circular_overlap_grid
    from scipy.optimize import brentq

    edges = _edges(shape, box)

    def missing(radius: float) -> float:
        return 1.0 - float((light * circular_overlap_grid(*edges, radius, 1, 1)).sum()) / flux

    smallest, step = 0.1, largest / 10
    if not math.isfinite(largest) or flux == 0:
        return _NAN
    first = missing(smallest)
    while largest > smallest:
        last = missing(largest)
        if first * last <= 0:
            return float(brentq(missing, smallest, largest))
        largest -= step
    return _NAN
