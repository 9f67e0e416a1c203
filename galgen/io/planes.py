"""Which planes of a FITS file are the galaxy, what they are called, and in what unit.

Names beat positions. Weight, mask, variance and similar planes are known by the tokens of
their EXTNAME (or EXTTYPE, HDUTYPE, IMAGETYP) and left out; what remains is one of

* a cube: the first one, or CAMERA0-BROADBAND-NONSCATTER of a radiative-transfer file;
* several named 2-D images of equal shape: one band each;
* one 2-D image: the first, since what follows it without a name is a weight as a rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galgen.bands import zero_point_of_unit
from galgen.errors import DataError
from galgen.io.cutout import Card
from galgen.io.hdu import FitsFile, ImageHDU

_NOT_SCIENCE = frozenset(
    "MASK MASKS MASKBITS MSK VARIANCE VAR WEIGHT WEIGHTS WHT WT INVVAR IVAR ERR ERROR RMS SIGMA "
    "STD STDDEV UNCERT UNCERTAINTY NOISE DQ FLAG FLAGS EXP EXPTIME EXPOSURE NEXP NIMAGE NIMAGES "
    "CON CTX CONTEXT BKG BACKGROUND SKY PSF SEG SEGM SEGMAP SEGMENTATION MODEL RESID RESIDUAL "
    "DEPTH COVERAGE".split()
)
_GENERIC = frozenset(("", "SCI", "SCIENCE", "IMAGE", "PRIMARY", "DATA", "FLUX", "COMPRESSED_IMAGE"))
_ROLE_CARDS = ("EXTNAME", "EXTTYPE", "HDUTYPE", "IMAGETYP")
_FILTER_CARDS = ("BAND", "FILTER", "FILTER1", "FILTER2", "PUPIL")
_ZERO_CARDS = ("MAGZERO", "MAGZPT", "PHOTZP", "ZP", "ZEROPT", "MAGZP")
_SCALE_CARDS = ("PIXSCALE", "SECPIX", "PIXSCAL1")
_BROADBAND = re.compile(r"CAMERA(\d+)-BROADBAND(-NONSCATTER)?$")


#: Every card that decides what `choose_planes` and the functions of facts below return.
RELEVANT = frozenset(
    (
        *_ROLE_CARDS,
        *_FILTER_CARDS,
        *_ZERO_CARDS,
        *_SCALE_CARDS,
        *"BANDS FILTERS BUNIT IMUNIT SURVEY FLUXMAG0 PSFFWHM CTYPE1 CUNIT1 CDELT1 CDELT2".split(),
        *(f"{key}{i}_{j}" for key in ("CD", "PC") for i in (1, 2) for j in (1, 2)),
        *(f"{key}{k}" for key in ("BAND", "ZP", "FWHM") for k in range(100)),
    )
)


@dataclass(frozen=True)
class Science:
    """The planes of one galaxy and their names, None where the file has none.

    A plane is (position in the list of images, plane of its cube); the second is None for an
    image that is 2-D as a whole.
    """

    planes: list[tuple[int, int | None]]
    names: tuple[str, ...] | None


def choose_planes(file: FitsFile, path: str | Path) -> Science:
    """Find the science planes of an opened file.

    Raises
    ------
    DataError
        If no HDU holds an image, or its array has more than three axes longer than one.
    """
    candidates = [hdu for hdu in file.images if len(hdu.shape) >= 2 and not _is_auxiliary(hdu)]
    if not candidates:
        raise DataError(f"{path} is a FITS file without an image of two or three axes.")
    broadband = _broadband(candidates)
    if broadband is not None:
        candidates = [broadband]
    depths = [_depth(hdu, path) for hdu in candidates]
    if max(depths) == 1:
        return _from_single_images(candidates, file)
    cube = next(hdu for hdu, depth in zip(candidates, depths, strict=True) if depth > 1)
    count, row = _depth(cube, path), file.images.index(cube)
    return Science([(row, k) for k in range(count)], _cube_names(cube, file, count))


def _depth(hdu: ImageHDU, path: str | Path) -> int:
    long = [n for n in hdu.shape[:-2] if n > 1]
    if len(long) > 1:
        raise DataError(f"{path} holds an array of shape {hdu.shape}: at most three axes are read.")
    return long[0] if long else 1


def _is_auxiliary(hdu: ImageHDU) -> bool:
    for key in _ROLE_CARDS:
        value = hdu.header.get(key)
        if isinstance(value, str):
            tokens = set(re.split(r"[^A-Za-z0-9]+", value.upper()))
            if tokens & _NOT_SCIENCE:
                return True
    return False


def _broadband(candidates: Sequence[ImageHDU]) -> ImageHDU | None:
    ranked = []
    for hdu in candidates:
        match = _BROADBAND.match(str(hdu.header.get("EXTNAME", "")).upper())
        if match:
            ranked.append((match.group(2) is None, int(match.group(1)), hdu.position, hdu))
    return min(ranked, key=lambda entry: entry[:3])[3] if ranked else None


def _from_single_images(candidates: Sequence[ImageHDU], file: FitsFile) -> Science:
    first = candidates[0]
    for source in (_filter_of, _extension_name):
        labels = [source(hdu.header) for hdu in candidates]
        named = {
            label: hdu
            for label, hdu in zip(labels, candidates, strict=True)
            if label is not None and hdu.shape[-2:] == first.shape[-2:]
        }
        if labels[0] is not None and len(named) > 1 and len(named) == len(candidates):
            rows = [file.images.index(hdu) for hdu in named.values()]
            return Science([(row, None) for row in rows], tuple(named))
    name = _filter_of(first.header) or _filter_of(file.primary)
    return Science([(file.images.index(first), None)], None if name is None else (name,))


def _filter_of(header: Mapping[str, Card]) -> str | None:
    for key in _FILTER_CARDS:
        value = header.get(key)
        if isinstance(value, str) and value.strip() and not value.upper().startswith("CLEAR"):
            return value.strip()
    return None


def _extension_name(header: Mapping[str, Card]) -> str | None:
    name = str(header.get("EXTNAME", "")).strip()
    return None if name.upper() in _GENERIC else name


def _cube_names(hdu: ImageHDU, file: FitsFile, count: int) -> tuple[str, ...] | None:
    if file.filters is not None and len(file.filters) == count:
        return tuple(_short_filter(name) for name in file.filters)
    for header in (hdu.header, file.primary):
        cards = [header.get(f"BAND{k}") for k in range(count)]
        if all(isinstance(value, str) and value for value in cards):
            return tuple(str(value).strip() for value in cards)
        for key in ("BANDS", "FILTERS"):
            text = header.get(key)
            if not isinstance(text, str):
                continue
            names = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
            if len(names) == 1 and len(names[0]) == count:
                names = list(names[0])
            if len(names) == count and len(set(names)) == count:
                return tuple(names)
    return None


def _short_filter(name: str) -> str:
    short = name.replace("\\", "/").rsplit("/", 1)[-1]
    return short[:-4] if short.lower().endswith(".res") else short


def unit_of(headers: Sequence[Mapping[str, Card]]) -> str | None:
    """Flux unit by BUNIT or IMUNIT, else by what a survey is known to deliver."""
    for header in headers:
        for key in ("BUNIT", "IMUNIT"):
            value = header.get(key)
            if isinstance(value, str) and value.strip() and value.strip().lower() != "unknown":
                text = value.strip()
                return text[:-3] + "y" if text.lower().endswith("maggies") else text
    for header in headers:
        if str(header.get("SURVEY", "")).lower().startswith("legacysurvey"):
            return "nanomaggy"
        if _number(header.get("FLUXMAG0")) is not None:
            return "count"
    return None


def zero_point_of(
    headers: Sequence[Mapping[str, Card]],
    unit: str | None,
    pixel_scale: float | None,
    plane: int | None = None,
) -> float | None:
    """AB zero point from the cards, else from the unit.

    ``ZP0``, ``ZP1``, ... give the planes of a cube; FLUXMAG0, the flux of magnitude 0, gives
    ``2.5 log10(FLUXMAG0)``.
    """
    for header in headers:
        keys = _ZERO_CARDS if plane is None else (f"ZP{plane}", *_ZERO_CARDS)
        for key in keys:
            value = _number(header.get(key))
            if value is not None:
                return value
        flux = _number(header.get("FLUXMAG0"))
        if flux is not None and flux > 0:
            return round(2.5 * math.log10(flux), 6)
    return zero_point_of_unit(unit, pixel_scale)


def pixel_scale_of(headers: Sequence[Mapping[str, Card]]) -> float | None:
    """Arcsec per pixel by PIXSCALE or from a celestial WCS: the root of a pixel's area."""
    for header in headers:
        for key in _SCALE_CARDS:
            value = _number(header.get(key))
            if value is not None and value > 0:
                return value
    for header in headers:
        kind = str(header.get("CTYPE1", ""))[:5].rstrip("-")
        if kind not in ("RA", "DEC", "GLON", "GLAT", "ELON", "ELAT"):
            continue
        if "CD1_1" in header or "CD1_2" in header:
            matrix = [_number(header.get(f"CD{i}_{j}")) or 0.0 for i in (1, 2) for j in (1, 2)]
        else:
            rows = [_number(header.get(f"CDELT{i}")) or 0.0 for i in (1, 2)]
            matrix = [
                rows[i - 1] * _or(_number(header.get(f"PC{i}_{j}")), float(i == j))
                for i in (1, 2)
                for j in (1, 2)
            ]
        area = abs(matrix[0] * matrix[3] - matrix[1] * matrix[2])
        if area > 0:
            per_unit = 1.0 if str(header.get("CUNIT1", "deg")).lower() == "arcsec" else 3600.0
            return float(f"{math.sqrt(area) * per_unit:.5g}")
    return None


def psf_fwhm_of(headers: Sequence[Mapping[str, Card]], plane: int | None = None) -> float | None:
    """Full width at half maximum in arcsec by PSFFWHM, or ``FWHM0``... for a cube's planes."""
    for header in headers:
        for key in ("PSFFWHM",) if plane is None else (f"FWHM{plane}", "PSFFWHM"):
            value = _number(header.get(key))
            if value is not None and value > 0:
                return value
    return None


def _number(value: Card | None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
