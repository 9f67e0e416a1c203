"""The built-in set ``hubble``: real galaxies cut from the picture that scikit-image ships.

The picture is the Hubble eXtreme Deep Field (NASA, ESA, G. Illingworth et al. 2012, release
STScI-2012-37; public domain), 1000 x 872 pixels of 8-bit colour. It is a display image: each
colour sums several ACS and WFC3 filters under an unknown stretch, so its bands are called
R, G and B, it has no flux unit, and no pixel scale is claimed for the reduced picture.

How a source becomes a cutout:

1. Grey mean of the colours, smoothed by a Gaussian of 1 pixel; sky level and noise by
   3-sigma clipping.
2. At least 55 connected pixels more than 5 sigma above the sky, then deblended (`photutils`).
3. The cutout is centred on the centroid of the source's brightness.
4. Dropped as **edge**: the cutout would reach beyond the picture.
5. Dropped as **star**: bright (summed brightness above 40,000), saturated (some colour at 250
   or more in at least 4 pixels) and with a cross of diffraction spikes. Those of ACS (B) and
   of WFC3/IR (R) lie at different angles, so around a star the colour R - B goes round four
   times: the fourth Fourier amplitude of R - B at radii of 4 to 12 pixels, divided by the sum
   of R + B, exceeds 0.03 and 1.5 times each of the first three. Fainter stars, without
   spikes, cannot be told from compact galaxies in this picture and stay.
6. Dropped as **companion**: within 16 pixels there is a pixel, outside the source's own
   segment, that is more than 1.5 times as bright as the source's peak; the galaxy to be shown
   is then the other one.

Neighbouring cutouts share pixels: at 32 px, 242 of 321 do with some other. Chains of them are
one group (`overlap_groups`), which is never split between training and hold-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.errors import ConfigError

#: No chain of overlapping cutouts may hold a larger share of the set, or too few are left to
#: be held out.
LARGEST_GROUP = 0.8
BANDS = ("R", "G", "B")
MIN_PIXELS = 55
_SMOOTHING = 1.0
_SIGMAS = 5.0
_LEVELS, _CONTRAST = 32, 0.005
_NEIGHBOURHOOD = 16
_OUTSHONE = 1.5
_STAR_BRIGHTNESS = 40_000.0
_SATURATED, _SATURATED_PIXELS = 250.0, 4
_SPIKES, _SPIKES_OVER_REST = 0.03, 1.5


def hubble(
    size: int = 32,
) -> tuple[NDArray[np.float32], list[str], dict[str, NDArray[np.generic]]]:
    """Cut the galaxies out.

    Parameters
    ----------
    size
        Side in pixels. Larger cutouts lose more sources to the border.

    Returns
    -------
    pixels : (N, 3, size, size) float32
        0..255, bands `BANDS`.
    names : list of str
        ``xdf_0432_0107`` by the x and y of the central pixel.
    table : dict of (N,) arrays
        ``x``, ``y`` (pixels of the picture), ``area`` (pixels of the segment), ``brightness``
        (mean of the colours summed over it, above the sky), ``r_half`` (pixels; half of that
        within).

    Raises
    ------
    ConfigError
        If `size` leaves no source.
    """
    picture, table = _sources()
    half = size // 2
    height, width = picture.shape[1:]
    x, y = np.rint(table["x"]).astype(int), np.rint(table["y"]).astype(int)
    left, top = x - half, y - half
    inside = (left >= 0) & (top >= 0) & (left + size <= width) & (top + size <= height)
    if not inside.any():
        raise ConfigError(f"--size {size} is too large for the set hubble: take 32 to 128.")
    rows = np.flatnonzero(inside)
    pixels = np.stack([picture[:, top[k] : top[k] + size, left[k] : left[k] + size] for k in rows])
    names = [f"xdf_{x[k]:04d}_{y[k]:04d}" for k in rows]
    return pixels, names, {key: column[rows] for key, column in table.items()}


def overlap_groups(names: Sequence[str], size: int) -> tuple[list[str], int]:
    """Group of each cutout: those that share pixels, directly or through others.

    Two cutouts share pixels where their centres differ by less than `size` in x and in y.
    Large cutouts chain up until all are one group; then the groups are those of the largest
    smaller squares about the same centres for which no group exceeds `LARGEST_GROUP`.

    Parameters
    ----------
    names
        As `hubble` gives them.
    size
        Side of the cutouts in pixels.

    Returns
    -------
    groups : list of str
        Name of the group's first member.
    reach : int
        Side of the squares of which no two groups share a pixel; `size` where that was possible.
    """
    from scipy.sparse.csgraph import connected_components

    centres = np.array([[int(part) for part in name.split("_")[1:]] for name in names])
    apart = np.abs(centres[:, None] - centres).max(axis=-1)
    for reach in range(size, 0, -1):
        _, numbers = connected_components(apart < reach)
        if reach == 1 or np.bincount(numbers).max() <= LARGEST_GROUP * len(names):
            break
    _, first = np.unique(numbers, return_index=True)
    return [names[first[number]] for number in numbers], reach


@lru_cache(maxsize=1)
def _sources() -> tuple[NDArray[np.float32], dict[str, NDArray[np.generic]]]:
    """The picture (3, 872, 1000) and the table of its galaxies, from top to bottom."""
    from astropy.stats import sigma_clipped_stats
    from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources
    from scipy.ndimage import gaussian_filter
    from skimage.data import hubble_deep_field

    picture = np.moveaxis(hubble_deep_field(), -1, 0).astype(np.float32)
    sky = np.array([sigma_clipped_stats(channel)[1] for channel in picture])
    grey = picture.mean(axis=0)
    smooth = gaussian_filter(grey, _SMOOTHING)
    _, level, noise = sigma_clipped_stats(smooth, sigma=3.0)
    found = detect_sources(smooth, level + _SIGMAS * noise, n_pixels=MIN_PIXELS)
    segments = deblend_sources(
        smooth,
        found,
        n_pixels=MIN_PIXELS,
        n_levels=_LEVELS,
        contrast=_CONTRAST,
        progress_bar=False,
    )
    catalogue = SourceCatalog(grey - level, segments)
    columns: dict[str, NDArray[Any]] = {
        "x": np.asarray(catalogue.x_centroid, dtype=np.float64),
        "y": np.asarray(catalogue.y_centroid, dtype=np.float64),
        "area": np.asarray(catalogue.area.value, dtype=np.int64),
        "brightness": np.asarray(catalogue.segment_flux, dtype=np.float64),
        "r_half": np.asarray(catalogue.flux_radius(0.5).value, dtype=np.float64),
    }
    keep = []
    for k, label in enumerate(segments.labels):
        x, y = round(columns["x"][k]), round(columns["y"][k])
        here = (
            slice(max(0, y - _NEIGHBOURHOOD), y + _NEIGHBOURHOOD + 1),
            slice(max(0, x - _NEIGHBOURHOOD), x + _NEIGHBOURHOOD + 1),
        )
        own = segments.data[here] == label
        peak = smooth[here][own].max()
        rest = np.where(own, 0, smooth[here]).max()
        bright = columns["brightness"][k] > _STAR_BRIGHTNESS
        star = bright and _has_spikes(picture[(slice(None), *here)], sky, smooth[here], own)
        if rest <= _OUTSHONE * peak and not star:
            keep.append(k)
    order = sorted(keep, key=lambda k: (columns["y"][k], columns["x"][k]))
    return picture, {key: column[order] for key, column in columns.items()}


def _has_spikes(
    colours: NDArray[np.float32],
    sky: NDArray[np.float64],
    smooth: NDArray[np.float32],
    own: NDArray[np.bool_],
) -> bool:
    """Saturated core and two crosses of spikes of different colour, see the module."""
    core = (colours.max(axis=0) >= _SATURATED) & own
    if core.sum() < _SATURATED_PIXELS:
        return False
    y0, x0 = np.unravel_index(np.argmax(np.where(own, smooth, -np.inf)), smooth.shape)
    y, x = np.mgrid[: smooth.shape[0], : smooth.shape[1]]
    radius, angle = np.hypot(x - x0, y - y0), np.arctan2(y - y0, x - x0)
    ring = (radius >= 4) & (radius <= 12)
    red, blue = colours[0][ring] - sky[0], colours[2][ring] - sky[2]
    total = np.clip(red + blue, 0, None).sum()
    waves = [abs(((red - blue) * np.exp(1j * m * angle[ring])).sum()) / total for m in (1, 2, 3, 4)]
    return bool(waves[3] > _SPIKES and waves[3] > _SPIKES_OVER_REST * max(waves[:3]))
