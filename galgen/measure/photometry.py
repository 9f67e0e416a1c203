"""Photometry of the galaxy in the middle of each cutout.

The source is found once, on a reference image that all bands share, and measured in every
band with the same aperture, so that colours compare the same part of the galaxy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.measure.apertures import circle, dilated, kron
from galgen.measure.bandorder import colour_pair, reference_band
from galgen.measure.sky import SkyModel, estimate_sky, reference_image
from galgen.measure.sources import central_label, segments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    Columns = dict[str, NDArray[Any]]

__all__ = [
    "COSMOLOGY", "METHODS", "Method", "SkyModel", "absolute_magnitude", "estimate_sky",
    "magnitude", "measure", "reference_image",
]  # fmt: skip

#: Cosmology of absolute magnitudes: Planck 2018 (A&A 641, A6), as astropy carries it.
COSMOLOGY = "Planck18"
Method = Literal["kron", "dilated", "aperture"]
METHODS: tuple[str, ...] = get_args(Method)
#: Numbers of float64 pixels at a time, which bounds memory and stays near the processor.
_NUMBERS = 2**18


def measure(
    flux: Tensor | NDArray[Any],
    spec: ImageSpec,
    *,
    method: Method = "kron",
    radius: float | None = None,
    redshift: ArrayLike | None = None,
    cosmology: str = COSMOLOGY,
) -> Columns:
    r"""Measure the central source of every image in every band.

    Parameters
    ----------
    flux
        (N, C, H, W) in the unit of `spec`; NaN pixels count as sky.
    spec
        Bands and zero points. Where a zero point is None, and for display images, the
        magnitude is instrumental (zero point 0).
    method
        ``kron``: elliptical Kron aperture (2.5 Kron radii), equal to that of photutils, neighbours
        replaced by the pixels opposite. ``dilated``: the galaxy's segment, dilated by a pixel
        all round while its flux on the reference image grows by more than 5 %, at most 6 times,
        neighbours left out. ``aperture``: one circle around the centroid, for use inside training.
        See `galgen.measure.apertures`.
    radius
        Of the circle in pixels; by default a quarter of the side.
    redshift
        (N,) redshifts. Adds ``absolute_magnitude``, :math:`M = m - \mu(z)` with the distance
        modulus of `cosmology` and no K-correction.
    cosmology
        Name of one of astropy's.

    Returns
    -------
    dict of arrays of shape (N,)
        ``detected`` (bool), ``x``, ``y`` (centroid, pixels), ``radius`` (pixels: the semi-major
        axis of the aperture, for ``dilated`` the radius of a circle as large as the segment),
        ``r_half`` (pixels), ``ellipticity`` (1 - b/a), ``flux_<band>``, ``mag_<band>``,
        ``magnitude`` (in the red band of `colour_pair`) and, with two bands or more, ``colour``.
        NaN where a galaxy is not detected or its flux in the band is not positive: a failure of
        the set it belongs to.

    Raises
    ------
    ConfigError
        For a cosmology that astropy does not have.
    ValueError
        For images that do not fit `spec`, or an unknown method.

    Notes
    -----
    Nothing is deblended: touching galaxies are one source.
    """
    shape = tuple(flux.shape)
    if len(shape) != 4 or shape[1] != spec.n_bands:
        raise ValueError(f"expected (N, {spec.n_bands}, H, W), got {shape}")
    if method not in METHODS:
        raise ValueError(f"method is {', '.join(METHODS[:-1])} or {METHODS[-1]}, not {method!r}")
    radius = radius or min(shape[2:]) / 4
    names = ("x", "y", "radius", "r_half", "ellipticity", *(f"flux_{b}" for b in spec.bands))
    rows = np.full((shape[0], len(names)), np.nan)
    detected = np.zeros(shape[0], dtype=bool)
    step = max(1, _NUMBERS // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], step):
        pixels = np.asarray(flux[first : first + step], dtype=np.float64)
        sky = estimate_sky(pixels, spec.display)
        residual = np.where(np.isfinite(pixels), pixels - sky.level[:, :, None, None], 0.0)
        reference = reference_image(residual, sky.noise)
        for i, labels in enumerate(segments(reference)):
            label = central_label(labels)
            if label is None:
                continue
            source = residual[i], reference[i], labels, label
            detected[first + i] = True
            if method == "aperture":
                rows[first + i] = circle(*source, radius)
            else:
                rows[first + i] = kron(*source) if method == "kron" else dilated(*source)
    columns: Columns = {"detected": detected}
    columns |= {name: rows[:, k].copy() for k, name in enumerate(names)}
    zero_points = (None,) * spec.n_bands if spec.display else spec.zero_points
    for band, zero_point in zip(spec.bands, zero_points, strict=True):
        columns[f"mag_{band}"] = magnitude(columns[f"flux_{band}"], zero_point)
    columns["magnitude"] = columns[f"mag_{spec.bands[reference_band(spec.bands)]}"]
    pair = colour_pair(spec.bands)
    if pair is not None:
        blue, red = (columns[f"mag_{spec.bands[c]}"] for c in pair)
        columns["colour"] = blue - red
    if redshift is not None:
        columns["absolute_magnitude"] = absolute_magnitude(
            columns["magnitude"], redshift, cosmology
        )
    return columns


def magnitude(flux: ArrayLike, zero_point: float | None) -> NDArray[Any]:
    """AB magnitude ``zero_point - 2.5 log10(flux)``; NaN for flux <= 0, zero point 0 for None."""
    values = np.asarray(flux, dtype=np.float64)
    good = values > 0
    log = np.log10(values, out=np.full_like(values, np.nan), where=good)
    return np.asarray((zero_point or 0.0) - 2.5 * log)


def absolute_magnitude(
    apparent: ArrayLike, redshift: ArrayLike, cosmology: str = COSMOLOGY
) -> NDArray[Any]:
    r"""Absolute magnitude :math:`M = m - \mu(z)`, without K-correction.

    :math:`\mu = 5 \log_{10}(d_L / 10\,\mathrm{pc})` is the distance modulus, which holds the
    10 pc already: Concepcion (2023) adds 5 once more, and is 5 mag too faint.

    Parameters
    ----------
    apparent, redshift
        Apparent magnitudes and redshifts, of shapes that broadcast.
    cosmology
        Name of one of astropy's: Planck18, Planck15, WMAP9, ...

    Returns
    -------
    array
        NaN where the redshift is not positive.

    Raises
    ------
    ConfigError
        For a cosmology that astropy does not have.
    """
    from astropy import cosmology as cosmologies

    known = cosmologies.available
    if cosmology not in known:
        raise ConfigError(f"there is no cosmology {cosmology!r}: take one of {', '.join(known)}.")
    z = np.asarray(redshift, dtype=np.float64)
    modulus = np.full(z.shape, np.nan)
    good = np.isfinite(z) & (z > 0)
    if good.any():
        modulus[good] = getattr(cosmologies, cosmology).distmod(z[good]).value
    return np.asarray(np.asarray(apparent, dtype=np.float64) - modulus)
