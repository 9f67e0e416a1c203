"""Presets of telescopes, from instruments.yaml, and what they are for a model's bands and unit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from types import MappingProxyType

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.telescope.noise import Noise
from galgen.telescope.telescope import Telescope
from galgen.telescope.units import rescaled


@dataclass(frozen=True)
class Filter:
    """One band of an instrument.

    Attributes
    ----------
    fwhm
        Of the PSF, arcsec.
    zero
        AB magnitude of one electron per second.
    exposure, times
        Seconds of one exposure, and how many there are.
    sky
        AB magnitude per square arcsec.
    read
        Read noise of one exposure, electrons per pixel of the detector.
    detector
        Arcsec per pixel of the detector.
    names
        Other names of the band.
    """

    fwhm: float
    zero: float
    exposure: float
    times: int
    sky: float
    read: float
    detector: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """An instrument.

    Attributes
    ----------
    name, title
        What it is called, short and long.
    pixel_scale
        Arcsec per pixel of its images.
    bands
        By name.
    source
        Where the numbers are from.
    """

    name: str
    title: str
    pixel_scale: float
    bands: Mapping[str, Filter]
    source: str

    def band(self, name: str) -> Filter | None:
        """The band that a model's band is: ``r``, ``R``, ``HSC-R`` and ``sdss_r`` are r."""
        known = {
            other.lower(): band for own, band in self.bands.items() for other in (own, *band.names)
        }
        words = name.strip().lower()
        return known.get(words) or known.get(re.split(r"[^a-z0-9]+", words)[-1])


@cache
def instruments() -> Mapping[str, Preset]:
    """All presets, by name."""
    import yaml

    text = resources.files("galgen.telescope").joinpath("instruments.yaml").read_text("utf-8")
    found = {}
    for name, facts in yaml.safe_load(text).items():
        title, source = facts.pop("title"), facts.pop("source")
        bands, scale = facts.pop("bands"), facts.pop("pixel_scale")
        filters = {}
        for band, own in bands.items():
            own = {"detector": scale, **facts, **own}
            filters[band] = Filter(**{**own, "names": tuple(own.get("names", ()))})
        found[name] = Preset(name, title, scale, MappingProxyType(filters), source)
    return MappingProxyType(found)


def preset(name: str) -> Preset:
    """A preset by its name, whatever its case.

    Raises
    ------
    ConfigError
        If there is none.
    """
    known = instruments()
    words = name.strip().lower().replace("_", "-")
    if words not in known:
        near = difflib.get_close_matches(words, known)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"--instrument {name}: {hint}choose of {', '.join(known)}.")
    return known[words]


def resolve(telescope: Telescope, spec: ImageSpec) -> Telescope:
    r"""A telescope with the numbers that its instrument stands for, where nothing else was said.

    A source of flux f in a model's unit gives :math:`f\,t\,10^{0.4 (z_e - z)}` electrons in t
    seconds, with the zero points :math:`z_e` of one electron per second and z of one unit.

    Raises
    ------
    ConfigError
        If the model's bands, pixel scale or zero points do not let it.
    """
    assert telescope.instrument is not None
    found = preset(telescope.instrument)
    option = f"--instrument {found.name}"
    if spec.display:
        raise ConfigError(
            f"{option}: this model makes pictures, whose values are no fluxes, so leave it out, or "
            "train one on FITS files."
        )
    if spec.pixel_scale is None:
        raise ConfigError(
            f"{option}: how large this model's own pixels are is not known, so leave it out, or "
            "train one with data.pixscale."
        )
    bands = [found.band(name) for name in spec.bands]
    missing = [name for name, band in zip(spec.bands, bands, strict=True) if band is None]
    if missing:
        raise ConfigError(
            f"{option} has no band {', '.join(missing)}, only {', '.join(found.bands)}: use a "
            "model of these bands, or give --psf, --pixel-scale and --noise instead."
        )
    filters = [band for band in bands if band is not None]
    scale = found.pixel_scale if telescope.pixel_scale is None else telescope.pixel_scale
    psf, noise = telescope.psf, telescope.noise
    if psf is None:
        psf = ",".join(
            f"{name}={band.fwhm:g}" for name, band in zip(spec.bands, filters, strict=True)
        )
    if noise is None:
        noise = _noise(filters, spec, scale, option).text()
    return replace(telescope, instrument=None, psf=psf, pixel_scale=scale, noise=noise)


def _noise(filters: list[Filter], spec: ImageSpec, scale: float, option: str) -> Noise:
    """Sky, gain and read noise in the model's unit, per pixel of `scale` arcsec."""
    assert spec.pixel_scale is not None
    _, zero_points = rescaled(spec, scale / spec.pixel_scale)
    sky, gain, read = [], [], []
    for name, band, zero in zip(spec.bands, filters, zero_points, strict=True):
        if zero is None:
            raise ConfigError(
                f"{option}: the zero point of this model's flux in {name} is not known, so give "
                "the noise by --noise, or train a model with data.magzero."
            )
        gain.append(band.exposure * band.times * 10 ** (0.4 * (band.zero - zero)))
        sky.append(10 ** (0.4 * (zero - band.sky)) * scale**2)
        read.append(band.read * band.times**0.5 * scale / band.detector)
    # Seven digits: no more is known of any of them, and a header holds them.
    return Noise(sky=_short(sky), gain=_short(gain), read=_short(read))


def _short(values: list[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.7g}") for value in values)
