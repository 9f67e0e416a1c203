"""Colours of simulated galaxies: wavelengths of bands and spectra of stars old and young.

The spectra are smooth fits by eye to the broad-band colours of real galaxies (an old
population has g - r about 0.75 and r - i about 0.4 at redshift 0, a young one about 0.1 in
both), good enough for a red sequence, a blue cloud and bulges that are redder than disks.
They hold from the ultraviolet to 5 micron and are no stellar population synthesis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galgen.errors import ConfigError

Array = NDArray[np.float64]

#: Effective wavelengths in nm of filters that go by a letter.
LETTER_WAVELENGTHS: dict[str, float] = {
    "u": 355.0, "g": 477.0, "r": 620.0, "i": 755.0, "z": 890.0, "y": 975.0,
    "U": 365.0, "B": 440.0, "G": 530.0, "V": 550.0, "R": 640.0, "I": 800.0, "Z": 880.0,
    "Y": 1020.0, "J": 1250.0, "H": 1640.0, "K": 2190.0, "Ks": 2150.0,
}  # fmt: skip
#: Numbers of JWST filters above F200 (NIRCam, and MIRI below 10 micron): units of 10 nm.
_JWST_NUMBERS = frozenset((
    "200W", "210M", "212N", "250M", "277W", "300M", "322W", "323N", "335M", "356W", "360M",
    "405N", "410M", "430M", "444W", "460M", "466N", "470N", "480M", "560W", "770W",
))  # fmt: skip
REFERENCE_WAVELENGTH = 620.0
_FORMS = (
    "a letter (u g r i z y, U B V R G I, Y J H K Ks), an HST or JWST filter (F606W, F115W), "
    "or a wavelength (620nm, 1.5um)"
)


def wavelength(band: str) -> float:
    """Effective wavelength of a band in nm, from its name.

    An instrument in front is ignored (``HSC-G``, ``SDSS_r``, ``ACS_F606W``). Filters named
    ``F<number><letter>`` count in 10 nm where the number is below 200 (WFC3/IR F160W,
    NIRCam F115W), where it is one of NIRCam's or MIRI's (F277W, F444W) or where it has four
    digits, and in nm otherwise (WFPC2, ACS and WFC3/UVIS: F450W, F814W). F410M is NIRCam's.

    Raises
    ------
    ConfigError
        If the name has none of the forms that are understood.

    Examples
    --------
    >>> wavelength("F814W"), wavelength("F444W"), wavelength("HSC-Z")
    (814.0, 4440.0, 880.0)
    """
    name = re.split(r"[-_. /]", band.strip())[-1]
    if name in LETTER_WAVELENGTHS:
        return LETTER_WAVELENGTHS[name]
    if found := re.fullmatch(r"[Ff](\d{3,4})([A-Za-z]{1,2}\d?)", name):
        number, kind = found.groups()
        tens = int(number) < 200 or len(number) == 4 or number + kind[0].upper() in _JWST_NUMBERS
        return float(number) * (10.0 if tens else 1.0)
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(nm|um)", band.strip().lower()):
        value = float(found[1]) * (1000.0 if found[2] == "um" else 1.0)
        if 90.0 <= value <= 30000.0:
            return value
    raise ConfigError(
        f"the simulated set has no wavelength for the band {band!r}: name it by {_FORMS} "
        "(option --bands)."
    )


def wavelengths(bands: Sequence[str]) -> Array:
    """Effective wavelengths in nm, shape (C,)."""
    return np.array([wavelength(b) for b in bands])


def _step(x: Array, width: float) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x / width))


def old_spectrum(rest: Array, tilt: Array | float = 0.0) -> Array:
    """Flux per unit frequency of old stars at rest wavelengths in nm, 1 near 550 nm.

    Parameters
    ----------
    rest
        Rest-frame wavelength, any shape.
    tilt
        Added to the power-law slope at 550 nm: positive (metal rich) is redder.
    """
    x = np.log(rest / 550.0)
    inner = np.clip(x, -1.2, 2.3)
    log_flux = (2.6 + tilt) * x - 0.95 * inner * (2.0 * x - inner)
    return np.asarray(np.exp(log_flux) * (0.35 + 0.65 * _step(np.log(rest / 390.0), 0.03)))


def young_spectrum(rest: Array) -> Array:
    """Flux per unit frequency of young stars, as `old_spectrum`."""
    x = np.log(rest / 550.0)
    inner = np.clip(x, 0.0, 2.3)
    log_flux = 0.25 * x - 0.3 * inner * (2.0 * x - inner)
    balmer = 0.75 + 0.25 * _step(np.log(rest / 370.0), 0.03)
    lyman = 0.02 + 0.98 * _step(np.log(rest / 121.6), 0.03)
    return np.asarray(np.exp(log_flux) * balmer * lyman)


def band_fluxes(
    observed: Array, redshift: Array, old_fraction: Array, tilt: Array, optical_depth: Array
) -> Array:
    """Flux of populations in bands, relative to the flux at 620 nm observed.

    Parameters
    ----------
    observed
        Wavelengths of the bands in nm, shape (C,).
    redshift, tilt
        Per galaxy, shape (N,).
    old_fraction
        Share of old stars in the light at 550 nm (rest), shape (N, P) for P populations.
    optical_depth
        Of dust at 550 nm (rest), shape (N, P); the extinction goes with wavelength^-0.7
        (Charlot & Fall 2000, ApJ 539, 718).

    Returns
    -------
    Array
        Shape (N, P, C).
    """
    reference = np.append(observed, REFERENCE_WAVELENGTH)
    rest = reference / (1.0 + redshift[:, None])
    old, young = old_spectrum(rest, tilt[:, None])[:, None], young_spectrum(rest)[:, None]
    stars = old_fraction[..., None] * old + (1.0 - old_fraction[..., None]) * young
    flux = stars * np.exp(-optical_depth[..., None] * (rest[:, None] / 550.0) ** -0.7)
    return np.asarray(flux[..., :-1] / flux[..., -1:])
