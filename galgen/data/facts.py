"""One `ImageSpec` from the facts of many files and of the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galgen.bands import DISPLAY_UNIT, ImageSpec, zero_point_of_unit
from galgen.errors import ConfigError, DataError
from galgen.io import Cutout

#: Unit of flux files that do not say theirs.
UNKNOWN_UNIT = "unknown"
_SAME_SCALE = 0.01
_SAME_ZERO_POINT = 1e-3


@dataclass(frozen=True)
class Stated:
    """What the user says about the images, None where the files are to say it."""

    unit: str | None = None
    magzero: float | Sequence[float] | None = None
    pixscale: float | None = None
    psf_fwhm: float | Sequence[float] | None = None


def per_band(value: float | Sequence[float], n_bands: int, option: str) -> tuple[float, ...]:
    """One number for all bands, or one for each.

    Raises
    ------
    ConfigError
        If the count does not match.
    """
    single = isinstance(value, int | float)
    values = (float(value),) * n_bands if single else tuple(float(v) for v in value)  # type: ignore[arg-type,union-attr]
    if len(values) != n_bands:
        raise ConfigError(f"{option} has {len(values)} numbers for {n_bands} bands: give one each.")
    return values


def spec_of(
    files: Sequence[Cutout], size: int, stated: Stated, source: str, notes: list[str]
) -> ImageSpec:
    """Facts that hold for every file; what the user states wins.

    Raises
    ------
    DataError
        If the files differ in unit or zero point and the user does not settle it.
    ConfigError
        If a flux unit or zero point is stated for pictures.
    """
    first = files[0]
    bands = first.bands
    if bands is None:
        bands = ("flux",)
        notes.append("the files do not name their band, it is called flux (--bands).")
    scale = _pixel_scale(files, notes) if stated.pixscale is None else float(stated.pixscale)
    widths = (
        _psf_fwhm(files)
        if stated.psf_fwhm is None
        else per_band(stated.psf_fwhm, len(bands), "data.psf_fwhm")
    )
    if first.display:
        if stated.unit not in (None, DISPLAY_UNIT) or stated.magzero is not None:
            raise ConfigError(
                f"{source} holds pictures, whose brightness is no flux: "
                "leave out data.unit and data.magzero."
            )
        return ImageSpec(size, bands, pixel_scale=scale, psf_fwhm=widths, display=True)
    unit = stated.unit if stated.unit is not None else _unit(files, source)
    zeros: tuple[float | None, ...]
    if stated.magzero is not None:
        zeros = per_band(stated.magzero, len(bands), "data.magzero")
    else:
        implied = zero_point_of_unit(unit, scale)
        # A stated unit or pixel scale overrides what the files' own headers led to.
        if implied is not None and (stated.unit is not None or unit == "MJy/sr"):
            zeros = (implied,) * len(bands)
        else:
            zeros = _zero_points(files, len(bands), source)
    if unit is None:
        notes.append("the files do not say their flux unit (--set data.unit=nanomaggy, say).")
    if any(zero is None for zero in zeros):
        notes.append(
            "magnitudes are instrumental for want of zero points (--set data.magzero=...)."
        )
    return ImageSpec(
        size=size,
        bands=bands,
        unit=UNKNOWN_UNIT if unit is None else unit,
        zero_points=zeros,
        pixel_scale=scale,
        psf_fwhm=widths,
    )


def _unit(files: Sequence[Cutout], source: str) -> str | None:
    counts = Counter(cutout.unit for cutout in files)
    if len(counts) > 1:
        have = ", ".join(f"{n} in {unit or 'no unit'}" for unit, n in counts.most_common())
        raise DataError(
            f"{source} mixes flux units ({have}): put them in separate folders, "
            "or state one by --set data.unit=... if the headers are wrong."
        )
    return files[0].unit


def _zero_points(files: Sequence[Cutout], n_bands: int, source: str) -> tuple[float | None, ...]:
    every = {cutout.zero_points or (None,) * n_bands for cutout in files}
    first = next(iter(every))
    for other in every:
        for a, b in zip(first, other, strict=True):
            if (a is None) != (b is None) or (
                a is not None and b is not None and abs(a - b) > _SAME_ZERO_POINT
            ):
                raise DataError(
                    f"{source} mixes zero points ({a} and {b}): bring the files to one flux scale, "
                    "or state one by --set data.magzero=... if the headers are wrong."
                )
    return (files[0].zero_points or (None,) * n_bands)[:n_bands]


def _pixel_scale(files: Sequence[Cutout], notes: list[str]) -> float | None:
    scales = [cutout.pixel_scale for cutout in files if cutout.pixel_scale is not None]
    if not scales:
        return None
    middle = float(np.median(scales))
    if max(scales) - min(scales) > _SAME_SCALE * middle:
        notes.append(
            f"pixel scales run from {min(scales):g} to {max(scales):g} arcsec; "
            f"the median {middle:g} stands for all."
        )
    return scales[0] if scales[0] == middle else middle


def _psf_fwhm(files: Sequence[Cutout]) -> tuple[float, ...] | None:
    widths = [cutout.psf_fwhm for cutout in files]
    if any(width is None for width in widths):
        return None
    return tuple(float(w) for w in np.median(np.array(widths, dtype=float), axis=0))
