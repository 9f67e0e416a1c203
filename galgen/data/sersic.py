"""The built-in set ``sersic``: simulated galaxies in any bands, with a catalogue of the truth.

Bulge (Sersic index 1 to 5), exponential disk with thickness, bar, logarithmic spiral arms
and star-forming knots, inclined at random, in ellipticals, spirals and irregulars. Every
part is a sum of Gaussians (`galgen.data.sersic_profile`), so projection, PSF and total flux
are exact. Colours come from old and young stars, dust and a redshift
(`galgen.data.sersic_light`): bulges are redder than disks, knots are bluest, bright
ellipticals are redder than faint ones.

**Sizes.** A galaxy fills the same fraction of the frame whatever its size in pixels: the
half-light radius is about 0.07 of the side (2.3 pixels of 32, most between 1 and 5), so a
larger `size` shows the same galaxy in more detail, as though from nearer by.

**Magnitudes.** 17.9 to 22.1 at 620 nm for a frame of 6.4 arcsec (32 pixels of 0.2"), with
more faint galaxies than bright ones; shifted by -5 log10(side / 6.4") for other frames, which
keeps the surface brightness.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.data.sersic_galaxy import N_UNIFORM, POPULATION, gaussians
from galgen.data.sersic_light import band_fluxes, wavelengths
from galgen.data.sersic_render import FWHM_PER_SIGMA, render
from galgen.errors import ConfigError

ZERO_POINT = 22.5
UNIT = "nanomaggy"
DEFAULT_BANDS = ("g", "r", "i")
#: Names of the catalogue's ``kind`` by number.
KINDS = ("elliptical", "spiral", "irregular")
_CHUNK = 64
_GROUND_SCALE, _GROUND_FWHM = 0.2, 0.7
_HUBBLE_SCALE, _HUBBLE_FWHM = 0.05, 0.1
_WEBB_SCALE, _WEBB_FWHM = 0.03, 0.07


def _from_space(bands: Sequence[str]) -> bool:
    return all(len(b.split("_")[-1]) > 3 and b.split("_")[-1][0] in "Ff" for b in bands)


def spec(
    size: int = 32,
    bands: Sequence[str] = DEFAULT_BANDS,
    pixel_scale: float | None = None,
    psf_fwhm: float | Sequence[float] | None = None,
) -> ImageSpec:
    """Facts about the simulated images.

    Parameters
    ----------
    size
        Side in pixels, at least 4.
    bands
        Names that `galgen.data.sersic_light.wavelength` understands.
    pixel_scale
        Arcsec per pixel. Default 0.2 from the ground; 0.05 for filters called ``F...``, and
        0.03 if the reddest of them is beyond 1.7 micron (NIRCam).
    psf_fwhm
        Of the Gaussian PSF in arcsec, one number or one a band; 0 for no PSF. Default 0.7
        from the ground, 0.1 for ``F...`` filters, 0.07 for NIRCam.

    Raises
    ------
    ConfigError
        If a band has no known wavelength or a number makes no sense.
    """
    bands = tuple(bands)
    reddest = float(wavelengths(bands).max()) if bands else 0.0
    scale, fwhm = _GROUND_SCALE, _GROUND_FWHM
    if _from_space(bands):
        webb = reddest > 1700.0
        scale, fwhm = (_WEBB_SCALE, _WEBB_FWHM) if webb else (_HUBBLE_SCALE, _HUBBLE_FWHM)
    scale = scale if pixel_scale is None else float(pixel_scale)
    if psf_fwhm is None:
        psf_fwhm = fwhm
    widths = (float(psf_fwhm),) * len(bands) if np.isscalar(psf_fwhm) else tuple(psf_fwhm)  # type: ignore[arg-type]
    if size < 4:
        raise ConfigError(f"--size {size} is too small to show a galaxy: take 4 or more.")
    if not scale > 0 or not np.isfinite(scale):
        raise ConfigError(f"the pixel scale must be a positive number of arcsec, not {scale:g}.")
    if not all(np.isfinite(w) and w >= 0 for w in widths):
        raise ConfigError(f"the PSF width must be 0 arcsec (no PSF) or more, not {psf_fwhm}.")
    return ImageSpec(
        size=size,
        bands=bands,
        unit=UNIT,
        zero_points=(ZERO_POINT,) * len(bands),
        pixel_scale=scale,
        psf_fwhm=widths,
    )


def default_depth(bands: Sequence[str], pixel_scale: float) -> NDArray[np.float64]:
    """Magnitude in each band of a point source at signal-to-noise 5, shape (C,).

    25.5 at 620 nm for pixels of 0.2", deeper for smaller pixels by -5 log10(scale / 0.2") as
    the magnitudes of the galaxies are, and 2 mag shallower for every factor 10 in wavelength.
    """
    slope = -2.0 * np.log10(wavelengths(bands) / 620.0)
    return np.asarray(25.5 - 5.0 * np.log10(pixel_scale / _GROUND_SCALE) + slope)


def simulate(
    n: int,
    *,
    size: int = 32,
    bands: Sequence[str] = DEFAULT_BANDS,
    pixel_scale: float | None = None,
    psf_fwhm: float | Sequence[float] | None = None,
    seed: int = 0,
    start: int = 0,
    noise: bool = True,
    depth: float | Sequence[float] | None = None,
    frame: int | None = None,
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.generic]]]:
    r"""Simulate galaxies `start` to `start + n` of a seed.

    Galaxy *i* of a seed is the same, to the last bit, whatever `n` and `start`: its random
    numbers come from a Philox counter keyed by (seed, i). Its shape does not depend on size
    and bands either; lengths, magnitudes and with them the redshift scale with the frame.
    One thread makes some 4,000 galaxies of 32 pixels and 3 bands a second; processes that
    take slices by `start` add up.

    Parameters
    ----------
    n
        How many.
    size, bands, pixel_scale, psf_fwhm
        See `spec`.
    seed
        0 or more.
    start
        Index of the first galaxy.
    noise
        Add sky noise and the galaxy's photon noise, both as Gaussian deviates:
        :math:`\sigma^2 = \sigma_{sky}^2 + f/g` with g electrons per nanomaggy such that the
        sky itself, of 21 mag/arcsec^2 (22.5 in pixels below 0.1"), makes :math:`\sigma_{sky}`.
    depth
        Magnitude of a point source at signal-to-noise 5 with PSF weights, one number or one
        a band; default `default_depth`. It sets the sky noise.
    frame
        Side in pixels of the frame that lengths and magnitudes are scaled to; default `size`.
        A larger `size` than `frame` shows the same galaxy with more sky around it.

    Returns
    -------
    flux
        Shape (n, C, size, size), float32, nanomaggies (AB zero point 22.5).
    catalogue
        Columns of shape (n,): ``index``, ``seed``; ``mag_<band>`` the true total AB
        magnitudes, over all space and not the frame; ``snr_<band>`` and ``snr`` (all bands):
        :math:`\sqrt{\sum f^2/\sigma^2}` over the frame; ``redshift``; ``kind`` (0
        elliptical, 1 spiral, 2 irregular), ``spiral``, ``barred``, ``n_arms``, ``pitch``
        (degrees, NaN without arms); ``r_half`` (arcsec) and ``r_half_pixels``, of a circle
        that holds half the light at 620 nm before the PSF; ``bulge_fraction`` at 620 nm;
        ``sersic_n`` of the bulge; ``sersic_n_effective`` of a single Sersic profile with the
        same r80/r20; ``ellipticity`` 1 - b/a of the larger of bulge and disk;
        ``position_angle`` of its long axis in degrees from +x towards +y; ``inclination``
        (degrees); ``x``, ``y`` the centre in pixels from the middle of the frame.

    Raises
    ------
    ConfigError
        If an option makes no sense; see also `spec`.

    Examples
    --------
    >>> flux, catalogue = simulate(3, size=16, bands=("g", "r"))
    >>> flux.shape
    (3, 2, 16, 16)
    >>> again, _ = simulate(1, size=16, bands=("g", "r"), start=2)
    >>> bool((again[0] == flux[2]).all())
    True
    """
    about = spec(size, bands, pixel_scale, psf_fwhm)
    if n < 0 or start < 0 or not 0 <= seed < 2**64:
        raise ConfigError(
            f"number ({n}), start ({start}) and --seed ({seed}) of simulated galaxies must be "
            "0 or more."
        )
    scale = about.pixel_scale or _GROUND_SCALE
    limit = default_depth(bands, scale) if depth is None else np.asarray(depth, dtype=float)
    if limit.size not in (1, about.n_bands) or not np.isfinite(limit).all():
        raise ConfigError(f"depth takes one magnitude or {about.n_bands}, one a band, not {depth}.")
    limit = np.broadcast_to(limit, (about.n_bands,))
    frame = size if frame is None else frame
    if frame < 1:
        raise ConfigError(f"frame must be a positive number of pixels, not {frame}.")
    out = np.empty((n, *about.shape), np.float32)
    parts = []
    for first in range(0, n, _CHUNK):
        chunk = out[first : first + _CHUNK]
        parts.append(_simulate_chunk(chunk, about, frame, limit, seed, start + first, noise))
    if not parts:
        # an empty set has the same columns
        none = np.empty((1, *about.shape), np.float32)
        columns = _simulate_chunk(none, about, frame, limit, seed, start, noise)
        return out, {name: column[:0] for name, column in columns.items()}
    return out, {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _simulate_chunk(
    out: NDArray[np.float32],
    about: ImageSpec,
    frame: int,
    depth: NDArray[np.float64],
    seed: int,
    first: int,
    noise: bool,
) -> dict[str, NDArray[np.generic]]:
    """Fill `out` with galaxies from `first` on and return their catalogue."""
    n, scale = len(out), about.pixel_scale or _GROUND_SCALE
    streams = [
        np.random.Generator(np.random.Philox(key=np.array([seed, i], np.uint64)))
        for i in range(first, first + n)
    ]
    uniform = np.stack([s.random(N_UNIFORM) for s in streams])
    galaxies = gaussians(uniform, frame, -5.0 * np.log10(frame * scale / 6.4))
    colours = band_fluxes(
        wavelengths(about.bands),
        galaxies.redshift,
        galaxies.old_fraction,
        galaxies.tilt,
        galaxies.optical_depth,
    )
    total = 10 ** (-0.4 * (galaxies.magnitude - ZERO_POINT))
    populations = total[:, None, None] * galaxies.share[..., None] * colours
    per_gaussian = np.moveaxis(populations[:, POPULATION] * galaxies.weight[..., None], 2, 1)

    fwhm = np.asarray(about.psf_fwhm) / scale
    for width in np.unique(fwhm):
        same = np.flatnonzero(fwhm == width)
        shape = (galaxies.x, galaxies.y, galaxies.cxx, galaxies.cxy, galaxies.cyy)
        out[:, same] = render(
            *shape, per_gaussian[:, same], about.size, float(width) / FWHM_PER_SIGMA
        )
    sigma2, photon = _noise_model(about, depth)
    variance = sigma2[:, None, None] + photon[:, None, None] * np.maximum(out, 0)
    snr2 = (out**2 / variance).sum(axis=(2, 3), dtype=np.float64)
    if noise:
        np.sqrt(variance, out=variance)
        for image, deviation, stream in zip(out, variance, streams, strict=True):
            image += deviation * stream.standard_normal(image.shape, np.float32)

    catalogue: dict[str, NDArray[np.generic]] = {
        "index": np.arange(first, first + n),
        "seed": np.full(n, seed, np.uint64),
    }
    for c, band in enumerate(about.bands):
        catalogue[f"mag_{band}"] = ZERO_POINT - 2.5 * np.log10(populations[..., c].sum(1))
    for c, band in enumerate(about.bands):
        catalogue[f"snr_{band}"] = np.sqrt(snr2[:, c])
    catalogue["snr"] = np.sqrt(snr2.sum(1))
    catalogue["redshift"] = galaxies.redshift
    catalogue["r_half"] = galaxies.r_half * scale
    return catalogue | galaxies.truth


def _noise_model(
    about: ImageSpec, depth: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sky variance of a pixel and variance per flux of photon noise, shape (C,) each."""
    scale = about.pixel_scale or _GROUND_SCALE
    fwhm = np.asarray(about.psf_fwhm) / scale
    # noise-equivalent area of a Gaussian PSF, 4 pi sigma^2, of at least one pixel
    area = np.maximum(4 * np.pi * (fwhm / FWHM_PER_SIGMA) ** 2, 1.0)
    sigma = 10 ** (-0.4 * (depth - ZERO_POINT)) / 5.0 / np.sqrt(area)
    brightness = 21.0 if scale >= 0.1 else 22.5
    sky = 10 ** (-0.4 * (brightness - ZERO_POINT)) * scale**2
    return (sigma**2).astype(np.float32), (sigma**2 / sky).astype(np.float32)
