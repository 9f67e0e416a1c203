"""Photometry of the galaxy in the middle of each cutout.

The source is found once, on a reference image that all bands share, and measured in every
band with the same aperture, so that colours compare the same part of the galaxy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from galgen.bands import ImageSpec
from galgen.measure.bandorder import colour_pair, reference_band

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    Columns = dict[str, NDArray[Any]]

#: Cosmology of absolute magnitudes: Planck 2018 (A&A 641, A6), as astropy carries it.
COSMOLOGY = "Planck18"
#: Detection threshold in units of the noise of the smoothed reference image, and the fewest
#: connected pixels above it (or an eighth of the side, where that is more). Pure noise of
#: 32 px passes in about 1 % of the images.
THRESHOLD = 3.0
CONNECTED_PIXELS = 5
SMOOTHING = 1.0
_MAD_TO_SIGMA = 1.4826
#: One grey level: below it an 8-bit picture holds rounding and compression, no sky noise.
_DISPLAY_NOISE = 1.0
#: Pixels of an aperture's box beyond which photutils gives it up.
_LARGEST = 1_000_000


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
    pixels = np.where(np.isfinite(flux), flux, np.nan).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bands that are all NaN
        rim = pixels[..., border]
        level = np.nanmedian(rim, axis=-1)
        noise = _MAD_TO_SIGMA * np.nanmedian(np.abs(rim - level[..., None]), axis=-1)
        extent = np.nanmax(pixels, axis=(-2, -1)) - np.nanmin(pixels, axis=(-2, -1))
        level = np.where(np.isfinite(level), level, np.nanmedian(pixels, axis=(-2, -1)))
    level, noise, extent = (np.nan_to_num(a, nan=0.0) for a in (level, noise, extent))
    if display:
        return SkyModel(level, np.maximum(noise, _DISPLAY_NOISE))
    return SkyModel(level, np.where(noise > 1e-5 * extent, noise, extent / 1000))


def reference_image(residual: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[Any]:
    """Sum of the bands in units of their noise, divided by sqrt(C): unit noise, (N, H, W).

    Bands without any signal or noise (constant ones) do not take part.
    """
    weight = np.divide(1.0, noise, out=np.zeros_like(noise), where=noise > 0)
    bands = np.maximum(np.count_nonzero(weight, axis=1), 1)
    total = np.einsum("nchw,nc->nhw", residual, weight)
    return np.asarray(total / np.sqrt(bands)[:, None, None])


def measure(
    flux: Tensor | NDArray[Any],
    spec: ImageSpec,
    *,
    method: Literal["kron", "aperture"] = "kron",
    radius: float | None = None,
    redshift: ArrayLike | None = None,
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
        ``kron``: elliptical Kron aperture (2.5 Kron radii) of photutils, neighbours replaced
        by the pixels opposite. ``aperture``: one circle around the centroid, ten times
        faster, for use inside training.
    radius
        Of the circle in pixels; by default a quarter of the side.
    redshift
        (N,) redshifts. Adds ``absolute_magnitude``, :math:`M = m - \mu(z)` with the distance
        modulus of `COSMOLOGY` and no K-correction.

    Returns
    -------
    dict of arrays of shape (N,)
        ``detected`` (bool), ``x``, ``y`` (centroid, pixels), ``radius`` (semi-major axis of
        the aperture, pixels), ``r_half`` (pixels), ``ellipticity`` (1 - b/a),
        ``flux_<band>``, ``mag_<band>``, ``magnitude`` (in the red band of
        `colour_pair`) and, with two bands or more, ``colour``. NaN where a galaxy is not
        detected or its flux in the band is not positive: a failure of the set it belongs to.

    Notes
    -----
    Nothing is deblended: touching galaxies are one source.
    """
    pixels = np.asarray(flux, dtype=np.float64)
    if pixels.ndim != 4 or pixels.shape[1] != spec.n_bands:
        raise ValueError(f"expected (N, {spec.n_bands}, H, W), got {pixels.shape}")
    n, side = len(pixels), min(pixels.shape[-2:])
    sky = estimate_sky(pixels, spec.display)
    level = sky.level[:, :, None, None]
    residual = np.where(np.isfinite(pixels), pixels - level, 0.0)
    reference = reference_image(residual, sky.noise)
    names = ("x", "y", "radius", "r_half", "ellipticity", *(f"flux_{b}" for b in spec.bands))
    rows = np.full((n, len(names)), np.nan)
    detected = np.zeros(n, dtype=bool)
    for i, segments in enumerate(_segment(reference)):
        label = None if segments is None else _central_label(segments.data)
        if label is None:
            continue
        detected[i] = True
        if method == "kron":
            rows[i] = _kron(residual[i], reference[i], segments, label)
        else:
            rows[i] = _circle(residual[i], reference[i], segments, label, radius or side / 4)
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
        columns["absolute_magnitude"] = absolute_magnitude(columns["magnitude"], redshift)
    return columns


def magnitude(flux: ArrayLike, zero_point: float | None) -> NDArray[Any]:
    """AB magnitude ``zero_point - 2.5 log10(flux)``; NaN for flux <= 0, zero point 0 for None."""
    values = np.asarray(flux, dtype=np.float64)
    good = values > 0
    log = np.log10(values, out=np.full_like(values, np.nan), where=good)
    return np.asarray((zero_point or 0.0) - 2.5 * log)


def absolute_magnitude(apparent: ArrayLike, redshift: ArrayLike) -> NDArray[Any]:
    """Apparent magnitude minus the distance modulus of `COSMOLOGY`, without K-correction."""
    from astropy import cosmology

    z = np.asarray(redshift, dtype=np.float64)
    modulus = np.full(z.shape, np.nan)
    good = np.isfinite(z) & (z > 0)
    if good.any():
        modulus[good] = getattr(cosmology, COSMOLOGY).distmod(z[good]).value
    return np.asarray(np.asarray(apparent, dtype=np.float64) - modulus)


def _segment(reference: NDArray[Any]) -> list[Any]:
    """Segmentation images of the smoothed references, None where nothing is found."""
    from photutils.segmentation import detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(reference, (0, SMOOTHING, SMOOTHING), truncate=3.0)
    sky = estimate_sky(smooth[:, None])
    noise = sky.noise[:, 0]
    threshold = np.where(noise > 0, THRESHOLD * noise, np.inf)
    pixels = max(CONNECTED_PIXELS, min(reference.shape[-2:]) // 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        return [
            detect_sources(image, limit, pixels) if np.isfinite(limit) else None
            for image, limit in zip(smooth, threshold, strict=True)
        ]


def _central_label(labels: NDArray[Any]) -> int | None:
    """Segment with the pixel nearest to the centre, none further away than a quarter side."""
    height, width = labels.shape
    y, x = np.nonzero(labels)
    distance = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    nearest = int(distance.argmin())
    if distance[nearest] > min(height, width) / 4:
        return None
    # Several segments may be equally near: the larger one, whatever the orientation.
    tied = np.unique(labels[y, x][distance <= distance[nearest] + 1e-9])
    return int(max(tied, key=lambda label: int((labels == label).sum())))


def _kron(
    residual: NDArray[Any], reference: NDArray[Any], segments: Any, label: int
) -> list[float]:
    """Position, aperture, half-light radius, ellipticity and Kron flux in each band."""
    from photutils.segmentation import SourceCatalog

    # Of the one source alone, and each thing once: a catalogue works out those of every source.
    source = SourceCatalog(reference, segments)[int(segments.get_index(label))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # blank sources: their NaN is the answer
        aperture = np.atleast_1d(source.kron_aperture)[0]
        semimajor = float(getattr(aperture, "a", getattr(aperture, "r", np.nan)))
        shape = [_number(getattr(source, n)) for n in ("x_centroid", "y_centroid", "ellipticity")]
        radius = _number(source.flux_radius(0.5))
    others = (segments.data != 0) & (segments.data != label)
    return [shape[0], shape[1], semimajor, radius, shape[2], *_within(aperture, residual, others)]


def _within(aperture: Any, residual: NDArray[Any], others: NDArray[np.bool_]) -> list[float]:
    """Flux of each band (C, H, W) in an aperture of photutils, as its ``kron_flux`` is.

    Pixels of other sources (H, W) are replaced by those opposite, within the aperture's box; by 0
    where these belong to another source too, or lie outside the box. Five times faster than a
    catalogue for each band.
    """
    if aperture is None or np.prod(aperture.bbox.shape) > _LARGEST:
        return [float("nan")] * len(residual)
    mask = aperture.to_mask(method="exact")
    here, part = mask.get_overlap_slices(others.shape)
    if here is None:
        return [float("nan")] * len(residual)
    pixels, other = residual[(slice(None), *here)].astype(np.float64), others[here]
    x, y = aperture.positions
    middle = int(y - here[0].start + 0.5), int(x - here[1].start + 0.5)
    rows, columns = np.nonzero(other)
    across, down = 2 * middle[1] - columns, 2 * middle[0] - rows
    height, width = other.shape
    there = (down >= 0) & (across >= 0) & (down < height) & (across < width)
    there[there] &= ~other[down[there], across[there]]
    pixels[:, rows, columns] = 0.0
    pixels[:, rows[there], columns[there]] = pixels[:, down[there], across[there]]
    weights = mask.data[part]
    inside = weights > 0
    if not inside.any():
        return [float("nan")] * len(residual)
    return [float((weights * band)[inside].sum()) for band in pixels]


def _number(value: Any) -> float:
    """A plain float from a number or a one-element array, with or without an astropy unit."""
    return float(np.atleast_1d(getattr(value, "value", value))[0])


def _circle(
    residual: NDArray[Any], reference: NDArray[Any], segments: Any, label: int, radius: float
) -> list[float]:
    """The same columns from one circle around the segment's centroid."""
    y, x = np.nonzero(segments.data == label)
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
    inside = np.where((segments.data == 0) | (segments.data == label), inside, 0.0)
    fluxes = np.einsum("chw,hw->c", residual, inside)
    order = np.argsort(distance, axis=None)
    growth = np.cumsum((reference * inside).ravel()[order])
    half = int(np.searchsorted(np.maximum.accumulate(growth), growth[-1] / 2))
    r_half = float(distance.ravel()[order][min(half, order.size - 1)])
    return [x0, y0, radius, r_half, float(1 - axes[1] / axes[0]), *fluxes.tolist()]
