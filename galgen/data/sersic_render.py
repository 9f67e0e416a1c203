"""Sums of Gaussians to pixels: the inner loop of the simulator."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
# A Gaussian narrower than this many (sub)pixels is not sampled well enough to keep its flux.
_NARROWEST = 0.6
_MAX_OVERSAMPLING = 5
_WORKING_SET = 1 << 17


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
    n, bands, k = flux.shape
    sub = oversampling(psf_sigma)
    side = size * sub
    round_part = max(psf_sigma**2, (_NARROWEST / sub) ** 2) + 1.0 / (12.0 * sub**2)
    cxx, cyy = cxx + round_part, cyy + round_part
    det = cxx * cyy - cxy**2
    # (p, q; 0, r) is a Cholesky factor of half the inverse covariance
    r = np.sqrt(0.5 / cyy)[..., None]
    p = np.sqrt(0.5 * cyy / det)[..., None]
    q = p * (-cxy / cyy)[..., None]
    axis = (np.arange(side) + 0.5) / sub - size / 2
    column = (p * (axis - x[..., None])).astype(np.float32)
    row = (q * (axis - y[..., None])).astype(np.float32)
    fall = -((r * (axis - y[..., None])) ** 2).astype(np.float32)
    height = (flux / (2 * np.pi * np.sqrt(det) * sub**2)[:, None]).astype(np.float32)

    out = np.empty((n, bands, size, size), np.float32)
    rows = max(1, min(side, _WORKING_SET // (k * side)))
    rows -= rows % sub if rows >= sub else rows - sub
    work = np.empty((k, rows, side), np.float32)
    for i in range(n):
        for top in range(0, side, rows):
            part = slice(top, min(top + rows, side))
            t = work[:, : part.stop - part.start]
            np.add(column[i, :, None, :], row[i, :, part, None], out=t)
            np.multiply(t, t, out=t)
            np.subtract(fall[i, :, part, None], t, out=t)
            np.exp(t, out=t)
            strip = height[i] @ t.reshape(k, -1)
            if sub > 1:
                shape = (bands, t.shape[1] // sub, sub, size, sub)
                strip = strip.reshape(shape).sum(axis=(2, 4))
            strip = strip.reshape(bands, -1, size)
            out[i, :, part.start // sub : part.stop // sub] = strip
    return out
