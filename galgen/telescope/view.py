"""From galaxies of a model to what a telescope makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.io.cutout import file_kind
from galgen.io.pixels import rebinning
from galgen.io.psf import Psf, kernel_digest, read_psf
from galgen.telescope.difference import difference_kernels, widths
from galgen.telescope.noise import Noise
from galgen.telescope.telescope import CARD_KEYS, NOISELESS, Telescope
from galgen.telescope.units import rescaled

if TYPE_CHECKING:
    from torch import Tensor

#: Widths of a PSF in a model's pixels below which they cannot show it on finer ones (Nyquist's
#: rule for a Gaussian: less than 3 % of a wave of two pixels is left).
_SAMPLED = 2.0
#: A stamp may be so many fields of the model wide, and has no more pixels along a side.
_FIELDS, _LARGEST = 16, 8192


@dataclass(frozen=True)
class View:
    """Galaxies of one model through one telescope.

    Attributes
    ----------
    telescope
        With the numbers that its instrument stood for.
    spec
        Of the images that come out.
    look_psf, look_noise
        What the model has to be asked for: ``none`` for galaxies above the telescope, and
        whether with its own grain.
    cards
        For the provenance of a file.
    """

    telescope: Telescope
    spec: ImageSpec
    look_psf: str | None = None
    look_noise: bool = True
    cards: Mapping[str, Any] = field(default_factory=dict)
    _kernels: NDArray[np.float64] | None = None
    _pixels: NDArray[np.float64] | None = None
    _factor: float = 1.0
    _dark: bool = False
    _noise: Noise | None = None

    def apply(self, flux: Tensor, indices: Sequence[int], seed: int, attempt: int = 0) -> Tensor:
        """What the telescope sees of galaxies.

        Each by itself in float64, so that nothing depends on the others.

        Parameters
        ----------
        flux
            (n, C, H, W) float32 on the CPU, in the unit of the model.
        indices
            Sample numbers.
        seed
            Of the samples; of the noise too, where the telescope has no seed for it.
        attempt
            How often these samples were drawn before: each time has its own noise.

        Returns
        -------
        Tensor
            (n, C, size, size) float32.
        """
        import torch

        noise_seed = self.telescope.noise_seed
        noise_seed = seed if noise_seed is None else noise_seed
        seen = np.empty((len(flux), *self.spec.shape), np.float32)
        for place, (galaxy, index) in enumerate(zip(flux.numpy(), indices, strict=True)):
            seen[place] = self._see(galaxy, noise_seed, index, attempt)
        return torch.from_numpy(seen)

    def _see(
        self, galaxy: NDArray[np.float32], seed: int, index: int, attempt: int
    ) -> NDArray[np.float64]:
        light = galaxy.astype(np.float64)
        if self._kernels is not None:
            light = convolved(light, self._kernels, self._dark)
        if self._pixels is not None:
            light = self._pixels @ light @ self._pixels.T
        if self._factor != 1:
            light *= self._factor
        if self._noise is None:
            return light
        return self._noise.add(light, seed, index, self.telescope.name, attempt)


def convolved(
    light: NDArray[np.float64], kernels: NDArray[np.float64], dark: bool
) -> NDArray[np.float64]:
    """An image (C, n, n) through kernels (C, k, k).

    Beyond its edges it goes on as its mirror image, as in `galgen.nn.psf.convolve`; or, with
    `dark`, there is nothing there, and the image grows by all that is blurred out of it, k - 1.
    """
    from scipy import fft

    side, n = kernels.shape[1], light.shape[1]
    radius, first = side // 2, 0
    if not dark:
        edges = (radius, radius)
        light, first = np.pad(light, ((0, 0), edges, edges), mode="symmetric"), side - 1
    last = n + side - 1
    shape = (fft.next_fast_len(last, real=True),) * 2
    spectrum = fft.rfft2(light, s=shape) * fft.rfft2(kernels, s=shape)
    return np.ascontiguousarray(fft.irfft2(spectrum, s=shape)[:, first:last, first:last])


def prepare(telescope: Telescope, spec: ImageSpec, layered: bool, grained: bool) -> View:
    """Find out how galaxies of a model are seen through a telescope.

    Parameters
    ----------
    telescope
        What was asked for.
    spec
        Of the model's images.
    layered
        Whether its generator ends in a PSF layer, so that it can draw galaxies without a PSF.
    grained
        Whether its generator ends in grain, which is left out where the telescope has noise of
        its own, or another PSF: noise is made behind the PSF.

    Raises
    ------
    UserError
        If it cannot be, with the reason.
    """
    if telescope.instrument is not None:
        from galgen.telescope.instruments import resolve

        telescope = resolve(telescope, spec)
    noiseless = telescope.noise == NOISELESS
    changes = telescope.pixel_scale is not None or telescope.noise not in (None, NOISELESS)
    if spec.display and (changes or (telescope.psf is not None and not layered)):
        option = "--psf" if not changes else "--noise" if telescope.noise else "--pixel-scale"
        raise ConfigError(
            f"{option}: this model makes pictures, whose values are no fluxes, so leave it out, or "
            "train one on FITS files."
        )
    ratio = _ratio(telescope, spec)
    # All of the field: pixels across its edge hold what lies inside.
    field = math.ceil(spec.size / ratio - 1e-9)
    size = field if telescope.size is None else telescope.size
    _refuse_size(telescope, size, field, spec)
    # What is added to the field is dark, and takes up the light of the wings.
    dark = size > field
    canvas = spec.replace(size=int(size * ratio + 1e-9)) if dark else spec
    kernels, fwhm = _psf(telescope, spec, canvas, layered)
    if ratio < 1 - 1e-9:
        _refuse_unsampled(telescope, spec, layered, fwhm)
    grown = spec.size + (kernels.shape[1] - 1 if dark and kernels is not None else 0)
    same = ratio == 1 and grown == size
    pixels = None if same else rebinning(grown, size, ratio, not dark)
    factor, zero_points = rescaled(spec, ratio)
    noise = None
    if telescope.noise is not None and not noiseless:
        noise = Noise.read_text(telescope.noise, spec.bands)
    quiet = grained and (noiseless or noise is not None or telescope.psf is not None)
    return View(
        telescope=telescope,
        spec=spec.replace(
            size=size,
            pixel_scale=telescope.pixel_scale or spec.pixel_scale,
            psf_fwhm=fwhm,
            zero_points=zero_points,
        ),
        look_psf="none" if layered and telescope.psf is not None else None,
        look_noise=not quiet,
        cards=_cards(telescope, size, spec, noise, kernels)
        | ({} if noise is None and kernels is None and pixels is None else libraries()),
        _kernels=kernels,
        _pixels=pixels,
        _factor=factor,
        _dark=dark,
        _noise=noise,
    )


def libraries() -> dict[str, str]:
    """Versions of what draws the noise and shares out the light, by keys of the provenance."""
    import scipy

    return {"numpy": np.__version__, "scipy": scipy.__version__}


def _refuse_size(telescope: Telescope, size: int, field: int, spec: ImageSpec) -> None:
    """Refuse stamps that hold no galaxy or no memory."""
    if telescope.size is None and size < 4:
        raise ConfigError(
            f"--pixel-scale {telescope.pixel_scale:g}: {size} pixels would be left of "
            f"{spec.size}, give smaller ones or a larger --stamp."
        )
    most = min(_FIELDS * field, _LARGEST)
    if size > most:
        option = "--pixel-scale" if telescope.size is None else "--stamp"
        value = telescope.pixel_scale if telescope.size is None else telescope.size
        raise ConfigError(
            f"{option} {value:g}: {size:,} pixels along a side are more than the {most:,} that a "
            f"stamp of this model may have ({_FIELDS} of its fields of {field:,}, at most "
            f"{_LARGEST:,}), give fewer."
        )


def _ratio(telescope: Telescope, spec: ImageSpec) -> float:
    """Side of a new pixel in old ones."""
    scale = telescope.pixel_scale
    if scale is None:
        return 1.0
    if spec.pixel_scale is None:
        raise ConfigError(
            f"--pixel-scale {scale:g}: how large this model's own pixels are is not known, so "
            "leave it out, or train one with data.pixscale."
        )
    ratio = scale / spec.pixel_scale
    return 1.0 if abs(ratio - 1) < 1e-9 else ratio


def _psf(
    telescope: Telescope, spec: ImageSpec, canvas: ImageSpec, layered: bool
) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None]:
    """Kernels to convolve with, and the width of the PSF that is seen in the end."""
    text = telescope.psf
    if text is None:
        return None, spec.psf_fwhm
    found: Psf | None
    if layered:
        found = read_psf(text, canvas, "--psf")
        kernels = None if found is None else found.kernels
    else:
        kernels, found = difference_kernels(text, telescope.own_psf, canvas)
    if kernels is not None and kernels.shape[1] == 1:
        kernels = None
    return kernels, None if found is None else found.fwhm


def _refuse_unsampled(
    telescope: Telescope, spec: ImageSpec, layered: bool, fwhm: tuple[float, ...] | None
) -> None:
    """On finer pixels a galaxy needs a PSF that its own pixels can show."""
    assert spec.pixel_scale is not None
    if fwhm is None:
        text = telescope.psf
        if text is None:
            return
        psf = read_psf(text, spec, "--psf")
        fwhm = (0.0,) if psf is None else tuple(w * spec.pixel_scale for w in widths(psf))
    if min(fwhm) < _SAMPLED * spec.pixel_scale * (1 - 1e-6):
        raise ConfigError(
            f"--pixel-scale {telescope.pixel_scale:g}: this model's pixels of "
            f"{spec.pixel_scale:g} arcsec hold no finer detail, which a PSF of {min(fwhm):.3g} "
            f"arcsec would show; give pixels as large as those, or a PSF of "
            f"{_SAMPLED * spec.pixel_scale:.3g} arcsec or more."
        )


def _cards(
    telescope: Telescope,
    size: int,
    spec: ImageSpec,
    noise: Noise | None,
    kernels: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """What a header says: enough to make the same telescope again."""
    text = telescope.noise if noise is None else noise.text()
    telescope = replace(telescope, size=size, noise=text)
    found = {key: getattr(telescope, name) for name, key in CARD_KEYS.items()}
    for name in ("telescope_psf", "own_psf"):
        text = found[name]
        if text is not None and file_kind(text) == "fits":
            found[name] = Path(text).name
    if found["telescope_psf"] is not None:
        found["psf"] = found["telescope_psf"]
        if kernels is not None:
            found["psf_hash"] = kernel_digest(kernels)
    return {key: value for key, value in found.items() if value not in (None, "")}
