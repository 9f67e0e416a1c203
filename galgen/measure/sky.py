"""Level and noise of the sky of each image, and the image that all bands share."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAD_TO_SIGMA = 1.4826
#: One grey level: below it an 8-bit picture holds rounding and compression, no sky noise.
_DISPLAY_NOISE = 1.0


@dataclass(frozen=True)
class SkyModel:
    """Level and noise of the sky per image and band, each (N, C), in flux units."""

    level: NDArray[np.float64]
    noise: NDArray[np.float64]


def estimate_sky(flux: NDArray[Any], display: bool = False) -> SkyModel:
    """Median and 1.4826 times the median absolute deviation of the border pixels.

    Parameters
    ----------
    flux
        (N, C, H, W). Not-a-number pixels are left out.
    display
        For pictures: the noise is at least one grey level.

    Notes
    -----
    The border is 1/16 of the side wide, at least one pixel. A galaxy that reaches it biases
    the level upwards. Without any noise (a simulation, a clipped picture) the noise is a
    thousandth of the image's range, so that thresholds still mean something.
    """
    height, width = flux.shape[-2:]
    edge = max(1, min(height, width) // 16)
    border = np.ones((height, width), dtype=bool)
    border[edge : height - edge, edge : width - edge] = False
    finite = np.isfinite(flux)
    whole = bool(finite.all())
    pixels = np.asarray(flux if whole else np.where(finite, flux, np.nan), dtype=np.float64)
    # Many times faster where they may be used.
    median: Any = _median if whole else np.nanmedian
    most, least = (np.max, np.min) if whole else (np.nanmax, np.nanmin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bands that are all NaN
        rim = pixels[..., border]
        level = median(rim, axis=-1)
        noise = _MAD_TO_SIGMA * median(np.abs(rim - level[..., None]), axis=-1)
        extent = most(pixels, axis=(-2, -1)) - least(pixels, axis=(-2, -1))
        if not whole:
            level = np.where(np.isfinite(level), level, np.nanmedian(pixels, axis=(-2, -1)))
    level, noise, extent = (np.nan_to_num(a, nan=0.0) for a in (level, noise, extent))
    if display:
        return SkyModel(level, np.maximum(noise, _DISPLAY_NOISE))
    return SkyModel(level, np.where(noise > 1e-5 * extent, noise, extent / 1000))


def _median(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """As np.median of numbers, none of them not-a-number, in half its time."""
    ordered = np.sort(values, axis=axis)
    n = values.shape[axis]
    middle = ordered.take(range((n - 1) // 2, n // 2 + 1), axis)
    return np.asarray(middle.mean(axis))


def reference_image(residual: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[Any]:
    """Sum of the bands in units of their noise, divided by sqrt(C): unit noise, (N, H, W).

    Bands without any signal or noise (constant ones) do not take part.
    """
    weight = np.divide(1.0, noise, out=np.zeros_like(noise), where=noise > 0)
    bands = np.maximum(np.count_nonzero(weight, axis=1), 1)
    total = np.einsum("nchw,nc->nhw", residual, weight)
    return np.asarray(total / np.sqrt(bands)[:, None, None])
