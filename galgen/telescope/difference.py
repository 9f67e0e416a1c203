r"""What brings galaxies that were seen through one PSF to look as through a wider one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.io.psf import Psf, read_psf

#: A wanted width may be this much below the own one, the error of widths in headers.
_ROUNDING = 1e-3
#: Where the wanted PSF passes more than `_POWER` of a wave, the kernel may make it `_LOUDER`.
_POWER = 1e-3
_LOUDER = 1.03
#: Squared amplitude of a wave in a PSF of pixels that rounding cannot have made.
_NOTHING = 1e-24
#: Largest sum of differences between the wanted PSF and what the kernel makes.
_WRONG = 1e-3
#: Light that may lie outside of the kernel: of Gaussians, and of PSFs with wings.
_OUTSIDE = {"gaussian": 1e-4, "moffat": 5e-3, "image": 5e-3}
#: And at most, where the image is no wider.
_CUT = 0.05


def difference_kernels(
    wanted: str, own: str | None, spec: ImageSpec, option: str = "--psf"
) -> tuple[NDArray[np.float64], Psf]:
    r"""Kernels K (bands, k, k) with :math:`P_0 * K = P_1`, and the PSF P_1.

    In Fourier space :math:`\hat K = \hat P_1 / \hat P_0` up to the highest frequency that the
    pixels hold. For two Gaussians that is the Gaussian of
    :math:`\sigma^2 = \sigma_1^2 - \sigma_0^2`; a Moffat function's transform is
    :math:`2 (\pi a u)^{\beta - 1} K_{\beta - 1}(2 \pi a u) / \Gamma(\beta - 1)` (Trujillo et al.
    2001, MNRAS 328, 977); a file's is that of its pixels. Both PSFs were integrated over the
    same pixels, so K is not. Each kernel has the sum 1.

    Parameters
    ----------
    wanted, own
        The PSF P_1 to be seen and P_0 that the galaxies carry, as `galgen.io.psf.read_psf` takes
        them; `own` None for the width that the data say.
    spec
        Of the images.
    option
        What messages call the wanted one.

    Raises
    ------
    UserError
        If there is no such kernel: the wanted PSF is narrower in some band or passes finer
        detail, or the galaxies' own is not known. See also `galgen.io.psf.read_psf`.
    """
    way = "or train a model with model.options.psf, which can leave its PSF out"
    if own is None and spec.psf_fwhm is None:
        raise ConfigError(
            f"{option} {wanted}: the PSF that this model's galaxies carry is not known, so say it "
            f"with --set sample.own_psf=0.7 (arcsec, or a file), {way}."
        )
    first = read_psf("auto" if own is None else own, spec, "sample.own_psf")
    last = read_psf(wanted, spec, option)
    if last is None and first is not None:
        raise ConfigError(
            f"{option} none: this model was trained without a PSF layer, so its galaxies carry the "
            f"data's own PSF, which cannot be taken off; leave {option} out, {way}."
        )
    if first is None or last is None:
        last = last or Psf("image", np.ones((spec.n_bands, 1, 1)), None)
        return last.kernels, last
    unit = ("arcsec", spec.pixel_scale) if spec.pixel_scale else ("px", 1.0)
    pixels = "image" in (first.kind, last.kind)
    pairs = list(zip(spec.bands, widths(first, pixels), widths(last, pixels), strict=True))
    for band, old, new in pairs:
        if new < old * (1 - _ROUNDING):
            raise ConfigError(
                f"{option} {wanted}: in {band} the galaxies of this model carry a PSF of "
                f"{old * unit[1]:.3g} {unit[0]} FWHM already, which is wider than "
                f"{new * unit[1]:.3g} and cannot be sharpened: give a wider one, {way}."
            )
    ratio, seen, passed = _ratio(first, last, max(257, 4 * spec.size + 1))
    loud = np.abs(ratio)
    for (band, old, new), above in zip(
        pairs, (loud * (np.abs(passed) > _POWER)).max(axis=(1, 2)), strict=True
    ):
        if above > _LOUDER:
            raise ConfigError(
                f"{option} {wanted}: in {band} it is sharper in its core than the PSF that the "
                f"galaxies carry ({new * unit[1]:.3g} {unit[0]} FWHM against "
                f"{old * unit[1]:.3g}), so that fine detail would have to be made "
                f"{above:.2f} times as strong: give a wider one or one of the same shape, {way}."
            )
    # Where hardly anything is left of a wave in both, it is left out rather than made louder.
    lost = (loud > 1 + 1e-9).any(axis=(1, 2), keepdims=True)
    power = np.abs(seen) ** 2
    ratio = np.where(lost, ratio * power / (power + _POWER**2), ratio)
    wrong = np.abs(np.fft.ifft2(ratio * seen - passed)).sum(axis=(1, 2)).max()
    if wrong > _WRONG:
        raise ConfigError(
            f"{option} {wanted}: no kernel makes it of the PSF that the galaxies carry, the best "
            f"one puts {wrong:.1%} of the light elsewhere: give a wider one, {way}."
        )
    kernels = np.fft.fftshift(np.fft.ifft2(ratio).real, axes=(1, 2))
    return _cut(kernels, spec.size, _OUTSIDE[last.kind], f"{option} {wanted}"), last


def widths(psf: Psf, measured: bool = False) -> list[float]:
    """Full width at half maximum in pixels per band; of a file, or where it is to be measured on
    the pixels, that of a Gaussian with the same sum of squares.
    """
    if psf.widths is not None and not measured:
        return list(psf.widths)
    area = 1 / (psf.kernels**2).sum(axis=(1, 2))
    return [float(w) for w in np.sqrt(8 * np.log(2)) * np.sqrt(area / (4 * np.pi))]


def _ratio(first: Psf, last: Psf, side: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Transforms (bands, side, side) of the kernel, of the own PSF and of the wanted one."""
    frequency = np.fft.fftfreq(side)
    seen, passed = _transform(first, frequency), _transform(last, frequency)
    # Formulas are good to their last digit however small they are, transforms of pixels are not.
    floor = _NOTHING if "image" in (first.kind, last.kind) else np.finfo(float).tiny
    ratio = passed * seen.conj() / np.maximum(np.abs(seen) ** 2, floor)
    if first.kind == last.kind == "gaussian":
        # By itself, as the wings of both may be too small for a number.
        square = frequency[:, None] ** 2 + frequency**2
        both = zip(widths(first), widths(last), strict=True)
        between = [max(0.0, new**2 - old**2) ** 0.5 for old, new in both]
        ratio = np.stack([_analytic("gaussian", width, 0.0, square) for width in between]) + 0j
    if first.kernels.shape == last.kernels.shape:
        ratio[(first.kernels == last.kernels).all(axis=(1, 2))] = 1
    return ratio, seen, passed


def _transform(psf: Psf, frequency: NDArray[Any]) -> NDArray[Any]:
    """Fourier transforms (bands, n, n), over frequencies in cycles per pixel."""
    if psf.widths is None:
        side, n = psf.kernels.shape[1], len(frequency)
        wide = np.zeros((len(psf.kernels), n, n))
        first = (n - side) // 2
        wide[:, first : first + side, first : first + side] = psf.kernels
        return np.fft.fft2(np.fft.ifftshift(wide, axes=(1, 2)))
    square = frequency[:, None] ** 2 + frequency**2
    pixel = np.sinc(frequency[:, None]) * np.sinc(frequency)
    shapes = [_analytic(psf.kind, width, psf.beta, square) for width in psf.widths]
    return np.stack(shapes) * pixel + 0j


def _analytic(
    kind: str, width: float, beta: float, square: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of a Gaussian or Moffat function of sum 1, at squared frequencies."""
    if width == 0:
        return np.ones_like(square)
    if kind == "gaussian":
        return np.exp(-2 * np.pi**2 * width**2 / (8 * np.log(2)) * square)
    from scipy.special import gamma, kv

    core = width / (2 * np.sqrt(2 ** (1 / beta) - 1))
    argument = np.maximum(2 * np.pi * core * np.sqrt(square), 1e-9)
    shape = 2 * (argument / 2) ** (beta - 1) * kv(beta - 1, argument) / gamma(beta - 1)
    return np.where(square == 0, 1.0, shape)


def _cut(kernels: NDArray[np.float64], size: int, outside: float, what: str) -> NDArray[np.float64]:
    """The middle of kernels that holds their light and fits the image."""
    middle, largest = kernels.shape[1] // 2, (size - 1) // 2
    total = np.abs(kernels).sum(axis=(1, 2))
    for radius in range(largest + 1):
        part = slice(middle - radius, middle + radius + 1)
        inside = kernels[:, part, part]
        missing = (1 - np.abs(inside).sum(axis=(1, 2)) / total).max()
        if missing < outside:
            break
    if missing > _CUT:
        raise ConfigError(
            f"{what}: it is too wide for images of {size} px, {missing:.0%} of its light would "
            "fall outside, so give a narrower one."
        )
    return inside / inside.sum(axis=(1, 2), keepdims=True)
