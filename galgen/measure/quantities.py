"""Numbers that are measured on galaxies by name: ``mag_r``, ``g-r``, ``r_half``, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.bands import ImageSpec, band_indices
from galgen.errors import ConfigError
from galgen.measure.photometry import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: What can be measured, in words, for messages.
MEASURABLE = "mag_BAND, colours such as g-r, r_half and ellipticity"
_SHAPES = ("r_half", "ellipticity")
_MAGNITUDE = "mag_"
#: Images measured at a time, which bounds the memory of float64 copies.
_CHUNK = 64


def why_not(name: str, spec: ImageSpec) -> str | None:
    """Why a quantity cannot be measured on images of `spec`, as part of a sentence.

    Parameters
    ----------
    name
        ``mag_<band>``, ``<band>-<band>``, ``r_half`` or ``ellipticity``; case counts in a
        band's name only where it must.
    spec
        Facts about the images. Those of pictures are allowed: their magnitudes are
        instrumental.

    Returns
    -------
    str or None
        None where it can be measured; else for instance
        ``"there is no band 'z' to measure 'mag_z' in: the bands are g, r, i"``.

    Examples
    --------
    >>> about = ImageSpec(32, ("g", "r"))
    >>> why_not("g-r", about)
    >>> why_not("mag_z", about)
    "there is no band 'z' to measure 'mag_z' in: the bands are g, r"
    """
    if name in _SHAPES:
        return None
    wanted = _bands_of(name, spec)
    if wanted is None:
        return f"{name!r} is nothing that can be measured: {MEASURABLE} are"
    for band in wanted:
        if _channel(band, spec) is None:
            return (
                f"there is no band {band!r} to measure {name!r} in: "
                f"the bands are {', '.join(spec.bands)}"
            )
    if len(wanted) == 2 and _channel(wanted[0], spec) == _channel(wanted[1], spec):
        return f"{name!r} is the difference of a band and itself"
    return None


def is_magnitude(name: str) -> bool:
    """Whether a quantity has the unit mag: a magnitude or a colour, as its name says.

    >>> is_magnitude("mag_r"), is_magnitude("g-r"), is_magnitude("r_half")
    (True, True, False)
    """
    return name not in _SHAPES and (name.startswith(_MAGNITUDE) or "-" in name)


def measure_numbers(
    flux: Tensor | NDArray[Any],
    spec: ImageSpec,
    names: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Measure named quantities of the central galaxy of every image, by its Kron aperture.

    Parameters
    ----------
    flux
        (N, C, H, W) in the unit of `spec`; a tensor may lie on any device.
    spec
        Bands, zero points and pixel scale. Magnitudes are instrumental (zero point 0) where
        there is no zero point, and for pictures.
    names
        K quantities, see `why_not`. ``mag_<band>``: AB magnitude. ``<band>-<band>``: the
        difference of two of them. ``r_half``: radius in arcsec, in pixels where
        `spec.pixel_scale` is None, of the circle that holds half the light. ``ellipticity``:
        1 - b/a of the second moments.
    progress
        Called with the number of galaxies of each chunk.

    Returns
    -------
    (N, K) float64
        NaN where a galaxy is not detected or its flux is not positive.

    Raises
    ------
    ConfigError
        For a quantity that `why_not` has a reason against.

    Notes
    -----
    Measured sizes hold the width of the point spread function, and ellipticities its
    roundness: both are those of the galaxy as it is seen. On galaxies of
    `galgen.data.sersic.simulate` see tests/measure/test_quantities.py for bias and scatter.
    """
    for name in names:
        reason = why_not(name, spec)
        if reason is not None:
            raise ConfigError(f"{reason}.")
    pixels = np.asarray(flux.detach().cpu() if hasattr(flux, "detach") else flux)
    values = np.full((len(pixels), len(names)), np.nan)
    for first in range(0, len(pixels), _CHUNK):
        chunk = pixels[first : first + _CHUNK]
        columns = measure(chunk, spec, method="kron")
        for k, name in enumerate(names):
            values[first : first + _CHUNK, k] = quantity(columns, name, spec)
        if progress is not None:
            progress(len(chunk))
    # A magnitude that is infinite is as good as none.
    values[~np.isfinite(values)] = np.nan
    return values


def quantity(columns: dict[str, NDArray[Any]], name: str, spec: ImageSpec) -> NDArray[np.float64]:
    """A named quantity (N,) from the columns of `measure`, in the units of `measure_numbers`."""
    if name == "r_half":
        return np.asarray(columns[name] * (spec.pixel_scale or 1.0))
    if name in _SHAPES:
        return columns[name]
    rows = [
        spec.bands[c] for b in _bands_of(name, spec) or () if (c := _channel(b, spec)) is not None
    ]
    first = columns[f"mag_{rows[0]}"]
    return first if len(rows) == 1 else np.asarray(first - columns[f"mag_{rows[1]}"])


def _bands_of(name: str, spec: ImageSpec) -> tuple[str, ...] | None:
    """The band of a magnitude or the two of a colour, None for any other text."""
    if name.startswith(_MAGNITUDE) and len(name) > len(_MAGNITUDE):
        return (name[len(_MAGNITUDE) :],)
    # A band's own name may hold a minus: the first cut that gives two bands is taken.
    cuts = [(name[:i], name[i + 1 :]) for i, sign in enumerate(name) if sign == "-"]
    cuts = [(blue, red) for blue, red in cuts if blue and red]
    for blue, red in cuts:
        if _channel(blue, spec) is not None and _channel(red, spec) is not None:
            return blue, red
    return cuts[0] if cuts else None


def _channel(band: str, spec: ImageSpec) -> int | None:
    try:
        return band_indices(spec.bands, [band])[0]
    except ConfigError:
        return None
