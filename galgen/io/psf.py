"""Point spread functions: a width or a FITS file to one kernel per band.

The same text is understood by ``model.options.psf`` and by ``galgen sample --psf``:

==============================  ====================================================
``none``                        no PSF
``0.7``                         a Gaussian of that full width at half maximum, arcsec
``2.5px``                       the same in pixels
``0.7,0.65,0.6``                one width per band, in band order
``g=0.7,r=0.65,i=0.6``          one width per band, by name
``moffat:0.7``                  a Moffat function of that width, its beta 2.5
``moffat:g=0.7,r=0.65,beta=3``  the same with all there is to say
``auto``                        a Gaussian of the data's own width
``psf.fits``                    a file: one image for all bands, a cube (band, y, x), or
                                one HDU a band, named by EXTNAME
==============================  ====================================================
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec, band_indices
from galgen.errors import ConfigError, DataError, UserError
from galgen.io.cutout import Card, file_kind
from galgen.io.hdu import ImageHDU, open_images
from galgen.io.pixels import rebinning
from galgen.io.planes import pixel_scale_of

#: Exponent of a Moffat function where none is given: the default of IRAF. Turbulence alone gives
#: 4.765, and telescopes stand below it (Trujillo et al. 2001, MNRAS 328, 977).
BETA = 2.5
#: Light inside the kernel's square, of a Gaussian, and inside its circle, of a Moffat function.
_LIGHT = {"gaussian": 0.9999, "moffat": 0.995}
#: Nodes per pixel and axis of the integral of a Moffat function.
_NODES = 12
#: Pixels that a kernel's centre of light may lie off the middle of its central pixel.
_OFF_CENTRE = 0.2
#: Light of a file's kernel that may lie outside the image.
_CUT = 0.05
_SHAPES = ("gaussian", "moffat")
_FORMS = "give none, auto, a FWHM in arcsec (0.7), in pixels (2.5px), moffat:0.7 or a FITS file"


@dataclass(frozen=True)
class Psf:
    """One kernel per band.

    Attributes
    ----------
    kind
        ``gaussian``, ``moffat`` or ``image``.
    kernels
        (bands, k, k) float64, k odd, each with the sum 1.
    fwhm
        Full width at half maximum per band in arcsec; None where it is not known.
    widths
        The same in pixels; None for ``image``.
    beta
        Exponent of a Moffat function.
    """

    kind: str
    kernels: NDArray[np.float64]
    fwhm: tuple[float, ...] | None
    widths: tuple[float, ...] | None = None
    beta: float = BETA

    def digest(self) -> str:
        """As `kernel_digest`."""
        return kernel_digest(self.kernels)


def kernel_digest(kernels: NDArray[Any]) -> str:
    """What headers tell kernels apart by: 16 digits of their SHA-256 in float32."""
    return hashlib.sha256(kernels.astype("<f4").tobytes()).hexdigest()[:16]


def read_psf(
    text: str | float | Sequence[float], spec: ImageSpec, option: str = "model.options.psf"
) -> Psf | None:
    """The kernels that a text means, None for ``none``.

    Parameters
    ----------
    text
        As in the table above; a number or several are widths in arcsec.
    spec
        Gives band names, size, pixel scale and, for ``auto``, the width of the PSF.
    option
        What messages call it.

    Raises
    ------
    ConfigError
        If the text is not understood, a fact is missing, or a kernel does not fit the images.
    DataError
        If the file cannot be read, or holds no kernel that can be used.
    """
    words = text if isinstance(text, str) else ",".join(map(str, np.atleast_1d(text).tolist()))
    words = words.strip()
    if words.lower() == "none":
        return None
    if file_kind(words) == "fits":
        try:
            return _from_file(Path(words), spec)
        except UserError as error:
            raise type(error)(f"{option} {error}") from None
    if words.lower() == "auto":
        if spec.psf_fwhm is None:
            raise ConfigError(
                f"{option} auto: the data do not say how wide their PSF is, so give the width, or "
                "set data.psf_fwhm."
            )
        kind, beta = "gaussian", BETA
        widths = _in_pixels([f"{width}" for width in spec.psf_fwhm], spec, option)
    else:
        kind, beta, entries = _parse(words, spec.bands, option)
        widths = _in_pixels(entries, spec, option)
    for width in widths:
        if width > spec.size / 2:
            raise ConfigError(
                f"{option} {words}: a PSF of {width:.3g} px FWHM does not fit into images of "
                f"{spec.size} px, so give a narrower one (a plain number is in arcsec)."
            )
    radius = max(_radius(kind, width, beta, (spec.size - 1) // 2) for width in widths)
    kernels = np.stack([_kernel(kind, width, beta, radius) for width in widths])
    scale = spec.pixel_scale
    fwhm = None if scale is None else tuple(float(w * scale) for w in widths)
    return Psf(kind, kernels, fwhm, tuple(widths), beta)


def _parse(text: str, bands: Sequence[str], option: str) -> tuple[str, float, list[str]]:
    """Shape, beta and the width of each band as it was written."""
    head, colon, rest = text.partition(":")
    kind = head.strip().lower() if colon else "gaussian"
    if kind not in _SHAPES:
        raise ConfigError(f"{option} {text}: {head} is no shape of a PSF, {_FORMS}.")
    beta, plain, named = BETA, [], {}
    for part in (rest if colon else text).split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            plain.append(name)
        elif name == "beta" and kind == "moffat":
            beta = _number(value, f"{option} {text}")
        else:
            named[name] = value
    if beta <= 1:
        raise ConfigError(f"{option} {text}: beta must be above 1, or the light is infinite.")
    if named and not plain:
        return kind, beta, _by_name(named, bands, f"{option} {text}")
    if named or len(plain) not in (1, len(bands)):
        raise ConfigError(
            f"{option} {text}: give one width, or one for each of {', '.join(bands)}, in that "
            "order or as band=width."
        )
    return kind, beta, plain * (len(bands) if len(plain) == 1 else 1)


def _by_name(named: Mapping[str, str], bands: Sequence[str], what: str) -> list[str]:
    try:
        rows = band_indices(bands, list(named))
    except ConfigError:
        raise ConfigError(f"{what}: the bands are {', '.join(bands)}, name those.") from None
    widths = dict(zip(rows, named.values(), strict=True))
    missing = [band for row, band in enumerate(bands) if row not in widths]
    if missing:
        raise ConfigError(f"{what}: give a width for {', '.join(missing)} too (0 for no PSF).")
    return [widths[row] for row in range(len(bands))]


def _in_pixels(entries: Sequence[str], spec: ImageSpec, option: str) -> list[float]:
    widths = []
    for entry in entries:
        pixels = entry.lower().endswith("px")
        width = _number(entry[:-2] if pixels else entry, f"{option} {entry}")
        if width < 0:
            raise ConfigError(f"{option} {entry}: a width must be 0 (no PSF) or more.")
        if not pixels and spec.pixel_scale is None and width:
            # A trained model has its pixel scale, or none, for good: --psf cannot set one.
            way = "" if option.startswith("--") else "set data.pixscale, or "
            raise ConfigError(
                f"{option} {entry}: arcsec need a pixel scale, which the data do not have, so "
                f"{way}give the width in pixels ({entry}px)."
            )
        widths.append(width if pixels else width / (spec.pixel_scale or 1.0))
    return widths


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{what}: {text or 'nothing'} is no number, {_FORMS}.")
    return value


def _radius(kind: str, width: float, beta: float, largest: int) -> int:
    """Pixels around the central one that hold nearly all of the light."""
    light = _LIGHT[kind]
    if kind == "moffat":
        core = width / (2 * math.sqrt(2 ** (1 / beta) - 1))
        return min(math.ceil(core * math.sqrt((1 - light) ** (1 / (1 - beta)) - 1)), largest)
    sigma = _sigma(width)
    edges = [radius + 0.5 for radius in range(largest)]
    inside = (r for r, edge in enumerate(edges) if sigma == 0 or _erf(edge, sigma) ** 2 >= light)
    return next(inside, largest)


def _sigma(fwhm: float) -> float:
    return fwhm / math.sqrt(8 * math.log(2))


def _erf(x: float, sigma: float) -> float:
    return math.erf(x / (sigma * math.sqrt(2)))


def _kernel(kind: str, width: float, beta: float, radius: int) -> NDArray[np.float64]:
    """The function integrated over each pixel, (2 radius + 1) pixels wide, with the sum 1."""
    pixels = np.arange(-radius, radius + 1.0)
    if width == 0:
        kernel = np.outer(pixels == 0, pixels == 0).astype(float)
    elif kind == "gaussian":
        sigma = _sigma(width)
        edges = np.array([_erf(x, sigma) for x in np.append(pixels - 0.5, radius + 0.5)])
        kernel = np.outer(np.diff(edges), np.diff(edges))
    else:
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        axis = (pixels[:, None] + nodes / 2).ravel()
        core = width / (2 * math.sqrt(2 ** (1 / beta) - 1))
        values = (1 + (axis[:, None] ** 2 + axis**2) / core**2) ** -beta
        blocks = values.reshape(len(pixels), _NODES, len(pixels), _NODES)
        kernel = np.einsum("aibj,i,j->ab", blocks, weights, weights)
    return kernel / kernel.sum()


def _from_file(path: Path, spec: ImageSpec) -> Psf:
    planes, headers = _planes(path, spec.bands)
    kernels = []
    for plane, header in zip(planes, headers, strict=True):
        kernel, scale = _centred(plane, path), pixel_scale_of([header])
        if scale is not None and spec.pixel_scale is not None:
            ratio = spec.pixel_scale / scale
            # Written with few digits, or of a pixel near by: not worth a new grid.
            kernel = kernel if abs(ratio - 1) <= 0.01 else _on_pixels(kernel, ratio)
        kernels.append(_cut_to(kernel, spec.size, path))
    side = max(len(kernel) for kernel in kernels)
    kernels = [np.pad(kernel, (side - len(kernel)) // 2) for kernel in kernels]
    return Psf("image", np.stack(kernels * (spec.n_bands if len(kernels) == 1 else 1)), None)


def _planes(
    path: Path, bands: Sequence[str]
) -> tuple[list[NDArray[np.float64]], list[Mapping[str, Card]]]:
    """Images of the file, one a band or one for all, and their headers."""
    images = [image for image in open_images(path).images if len(image.shape) >= 2]
    if not images:
        raise DataError(f"{path} holds no image of two or three axes, so no PSF.")
    arrays = [np.asarray(image.load(), dtype=float).squeeze() for image in images]
    headers = [image.header for image in images]
    if len(images) == 1 and arrays[0].ndim <= 2:
        return [np.atleast_2d(arrays[0])], headers
    if len(images) == 1 and arrays[0].ndim == 3:
        names = str(headers[0].get("BANDS", "")).replace(",", " ").split()
        arrays, headers = list(arrays[0]), headers * len(arrays[0])
        names = names if len(names) == len(arrays) else list(bands)
    else:
        names = [_name(image) for image in images]
    try:
        rows = band_indices(names, bands)
    except ConfigError:
        rows = []
    if not rows or len(names) != len(arrays) or any(arrays[row].ndim != 2 for row in rows):
        raise DataError(
            f"{path} holds no kernel for each of {', '.join(bands)}: a PSF file has one image for "
            "all bands, a cube in their order, or an HDU a band, named by EXTNAME."
        )
    return [arrays[row] for row in rows], [headers[row] for row in rows]


def _name(image: ImageHDU) -> str:
    return str(image.header.get("EXTNAME", image.header.get("FILTER", ""))).strip()


def _on_pixels(kernel: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """A kernel on pixels that are `ratio` of its own, an odd number of them."""
    matrix = rebinning(len(kernel), 2 * math.ceil(len(kernel) / ratio / 2) + 1, ratio, False)
    return matrix @ kernel @ matrix.T


def _centred(plane: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """The kernel with its centre of light in the central pixel, square and odd."""
    if not np.isfinite(plane).all():
        raise DataError(f"{path} has NaN or infinite pixels, so no PSF: fill them.")
    total = plane.sum()
    if total <= 0:
        raise DataError(f"{path} has a sum of {total:.3g}, which is no PSF: take off no more sky.")
    centre = []
    for axis in (0, 1):
        light = plane.sum(axis=1 - axis)
        found = float(np.arange(len(light)) @ light / total)
        nearest = round(found)
        if abs(found - nearest) > _OFF_CENTRE or abs(nearest - (len(light) - 1) / 2) > 0.5:
            raise DataError(
                f"{path} would shift galaxies: its light is centred at {found:.2f} of "
                f"{len(light)} pixels along {'yx'[axis]}, and must be at the middle of the central "
                "pixel of an odd number of them."
            )
        centre.append(nearest)
    radius = max(max(c, n - 1 - c) for c, n in zip(centre, plane.shape, strict=True))
    pads = [(radius - c, radius - (n - 1 - c)) for c, n in zip(centre, plane.shape, strict=True)]
    return np.pad(plane, pads)


def _cut_to(kernel: NDArray[np.float64], size: int, path: Path) -> NDArray[np.float64]:
    """The middle of a kernel that fits into an image, with the sum 1."""
    total = kernel.sum()
    cut = max(0, (len(kernel) - size + 1) // 2)
    inside = kernel[cut : len(kernel) - cut, cut : len(kernel) - cut]
    if inside.sum() < (1 - _CUT) * total:
        raise DataError(
            f"{path} is too wide for images of {size} px: {1 - inside.sum() / total:.0%} of "
            "its light would fall outside."
        )
    return inside / inside.sum()
