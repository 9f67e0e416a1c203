"""Sums of Gaussians to pixels: the inner loop of the simulator."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
# A Gaussian narrower than this many (sub)pixels is not sampled well enough to keep its flux.
_NARROWEST = 0.6
_MAX_OVERSAMPLING = 5
_STRIP = 512
_GROUP = 4
# Exponents below it would make denormal numbers, which are ten times slower.
_FAR = -60.0


def oversampling(psf_sigma: float) -> int:
    """Sub-pixels a side for which a PSF of this sigma (pixels) is sampled well, 1 to 5."""
    if psf_sigma <= 0:
        return _MAX_OVERSAMPLING
    return max(1, min(_MAX_OVERSAMPLING, math.ceil(_NARROWEST / psf_sigma)))


def render(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    cxx: NDArray[np.float64],
    cxy: NDArray[np.float64],
    cyy: NDArray[np.float64],
    flux: NDArray[np.float64],
    size: int,
    psf_sigma: float,
) -> NDArray[np.float32]:
    """Images of sums of Gaussians, convolved with a Gaussian PSF and integrated over pixels.

    Pixels are integrated by adding the variance of a (sub)pixel, 1/12 of its square, which
    is right to third order for the widths that occur: below `_NARROWEST` sub-pixels a
    Gaussian is widened to it.

    Parameters
    ----------
    x, y, cxx, cxy, cyy
        Centres relative to the middle of the frame and covariances in pixels, shape (N, K).
    flux
        Flux of each Gaussian in each band, shape (N, C, K).
    size
        Side of the frame.
    psf_sigma
        In pixels; 0 for none.

    Returns
    -------
    ndarray
        Shape (N, C, size, size).
    """
    sub = oversampling(psf_sigma)
    round_part = max(psf_sigma**2, (_NARROWEST / sub) ** 2) + 1.0 / (12.0 * sub**2)
    cxx, cyy = cxx + round_part, cyy + round_part
    det = cxx * cyy - cxy**2
    height = flux / (2 * np.pi * np.sqrt(det) * sub**2)[:, None]
    # (p, q; 0, r) is a Cholesky factor of half the inverse covariance
    r = np.sqrt(0.5 / cyy)
    p = np.sqrt(0.5 * cyy / det)
    q = -p * cxy / cyy

    n, bands = flux.shape[:2]
    out = np.zeros((n, bands, size, size), np.float32)
    axis = (np.arange(size * sub) + 0.5) / sub - size / 2
    for first in range(0, n, _GROUP):
        group = slice(first, first + _GROUP)
        lit: NDArray[np.bool_] = np.any(flux[group], axis=1)
        ends = np.cumsum(lit.sum(axis=1))
        along_x = axis[:, None] - x[group][lit]
        along_y = axis[:, None] - y[group][lit]
        _sum_up(
            out[group],
            (p[group][lit] * along_x).astype(np.float32),
            (q[group][lit] * along_y).astype(np.float32),
            (-((r[group][lit] * along_y) ** 2)).astype(np.float32),
            [h[:, on].T.astype(np.float32) for h, on in zip(height[group], lit, strict=True)],
            ends.tolist(),
            sub,
        )
    return out


def _sum_up(
    out: NDArray[np.float32],
    column: NDArray[np.float32],
    row: NDArray[np.float32],
    fall: NDArray[np.float32],
    height: list[NDArray[np.float32]],
    ends: list[int],
    sub: int,
) -> None:
    """Add exp(fall - (column + row)^2) times height into the images of a few galaxies.

    The Gaussians of all of them lie side by side on the last axis: numpy is fast only where
    the innermost axis is long.
    """
    side, total = column.shape
    size, bands = side // sub, out.shape[1]
    # it may not depend on the neighbours: products of another shape round differently
    step = max(1, _STRIP // (side * sub)) * sub
    work = np.empty((step, side, total), np.float32)
    for top in range(0, side, step):
        part = slice(top, min(top + step, side))
        t = work[: part.stop - part.start]
        np.add(column, row[part, None], out=t)
        np.multiply(t, t, out=t)
        np.subtract(fall[part, None], t, out=t)
        np.maximum(t, _FAR, out=t)
        np.exp(t, out=t)
        flat = t.reshape(-1, total)
        start = 0
        for image, weight, end in zip(out, height, ends, strict=True):
            strip = flat[:, start:end] @ weight
            if sub > 1:
                strip = strip.reshape(-1, sub, size, sub, bands).sum(axis=(1, 3))
            strip = strip.reshape(-1, size, bands)
            image[:, part.start // sub : part.stop // sub] = strip.transpose(2, 0, 1)
            start = end
