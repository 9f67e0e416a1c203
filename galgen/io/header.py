"""Write a generated galaxy as FITS, and read back where it came from.

The only place that knows the cards of galgen's output. By default a file has an empty
primary HDU with the provenance and one image HDU per band; as a cube it has one primary
image (band, y, x) and numbered cards (BAND0, ZP0, FWHM0) in place of those per band.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.errors import DataError
from galgen.io.atomic import write_whole
from galgen.io.cards import Value, fitting
from galgen.io.cards import fits_text as fits_text
from galgen.io.hdu import STRUCTURE, open_headers
from galgen.io.heads import say_if_long

if TYPE_CHECKING:
    from astropy.io.fits import Header

#: Provenance key -> (FITS keyword, comment). CKPTHASH is the SHA-256 and PSF what ``--psf`` takes,
#: too long for a comment.
CARDS: dict[str, tuple[str, str]] = {
    "seed": ("SEED", "random seed of the run that drew it"),
    "index": ("SAMPLE", "index of this galaxy under that seed"),
    "truncation": ("TRUNC", "truncation of the latent, 1 for none"),
    "psf": ("PSF", ""),
    "grain": ("GRAIN", "the noise that the model itself adds"),
    "telescope": ("INSTRUME", "telescope that it is seen through"),
    "telescope_psf": ("TELPSF", ""),
    "psf_hash": ("PSFHASH", ""),
    "own_psf": ("OWNPSF", ""),
    "telescope_scale": ("TELPIX", "arcsec per pixel that were asked for"),
    "telescope_size": ("TELSIZE", "pixels along a side of that telescope's stamp"),
    "telescope_noise": ("NOISE", ""),
    "noise_seed": ("NSEED", "seed of that noise"),
    "label": ("LABEL", "class that was asked for"),
    "asked": ("ASKED", "F: nothing was asked for"),
    "request": ("REQUEST", ""),
    "attempt": ("DRAW", "how often it was drawn anew, to be as asked for"),
    "mix_row": ("MIXROW", "sample of the first style layers"),
    "mix_column": ("MIXCOL", "sample of the other style layers"),
    "mix_layer": ("MIXLAYER", "how many layers come from MIXROW"),
    "film_from": ("FILMFROM", "sample that the film comes from"),
    "film_to": ("FILMTO", "sample that it goes to"),
    "film_part": ("FILMPART", "part of the way, 0 to 1"),
    "noise_of": ("NOISEOF", "sample whose noise it has"),
    "sweep": ("SWEEP", "what varies along the sweep"),
    "sweep_value": ("SWEEPVAL", "its value here"),
    "model": ("MODEL", "generator/critic pair"),
    "checkpoint": ("CKPTHASH", ""),
    "images": ("NIMAGES", "images shown to the critic in training"),
    "version": ("GALGENV", "version of galgen"),
    "torch": ("TORCHV", "version of PyTorch"),
    "numpy": ("NUMPYV", "version of NumPy, where a telescope used it"),
    "scipy": ("SCIPYV", "version of SciPy, likewise"),
    "device": ("DEVICE", "that it was drawn on"),
}
#: Name and value of a number that was asked for, counted from 1.
CONDITION_CARDS = ("COND", "CVAL")
_KEYS = {card: key for key, (card, _) in CARDS.items()}
_NUMBERED = ("BAND", "ZP", "FWHM", "STRLOW", "STRSOFT", "STRTOP")
_BAND_FACTS = (("STRLOW", "low"), ("STRSOFT", "scale"), ("STRTOP", "top"))


def write_galaxy(
    path: str | Path,
    flux: NDArray[np.float32],
    spec: ImageSpec,
    provenance: Mapping[str, Any],
    cube: bool = False,
) -> None:
    """Write one galaxy with DATASUM and CHECKSUM, under a temporary name that is then renamed.

    Parameters
    ----------
    path
        File to write; one of the same name is replaced.
    flux
        (bands, y, x) in `spec.unit`; written as float32.
    spec
        Gives BUNIT, FILTER, MAGZERO, PIXSCALE, PSFFWHM and the size of a dummy WCS, which is
        flagged by ``WCSDUMMY = T`` since the pointing is not real. Facts that are not known
        have no card.
    provenance
        Keys of `CARDS`, ``stretch`` (`Stretch.state`), ``conditions`` (numbers that were asked
        for, by name), or others, which become cards of their own name. None is left out, texts
        are those of `fits_text`.
    cube
        One (band, y, x) image rather than an HDU per band.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from galgen.io.galaxyfile import writer_for

    write_whole(path, writer_for(spec, cube).encode(flux, provenance).data)


def galaxy_hdus(
    shape: tuple[int, int, int],
    spec: ImageSpec,
    provenance: Mapping[str, Any],
    cube: bool,
    apart: bool = False,
) -> list[Any]:
    """The HDUs of a file as astropy's objects, with pixels of 0.

    With `apart` a cube stands behind an empty primary HDU, as compressed images do.
    """
    from astropy.io import fits

    pixels = np.zeros(shape, dtype=np.float32)
    primary = fits.PrimaryHDU(pixels if cube and not apart else None)
    primary.header["SIMULATE"] = (True, "made by a generator, not observed")
    primary.header["CREATOR"] = "galgen"
    if apart or not cube:
        primary.header["NEXTEND"] = (1 if cube else spec.n_bands, "image HDUs that follow")
    for keyword, value, comment in provenance_cards(provenance):
        primary.header[keyword] = (value, comment) if comment else value
    say_if_long(primary.header)
    hdus: list[Any] = [primary]
    stretch = provenance.get("stretch")
    if cube:
        image = fits.ImageHDU(pixels) if apart else primary
        hdus += [image] if apart else []
        _add_image_facts(image.header, spec, shape)
        image.header["BANDS"] = (fits_text(",".join(spec.bands)), "in the order of NAXIS3")
        for k in range(spec.n_bands):
            _add_band_facts(image.header, spec, k, stretch, str(k))
    else:
        for k, band in enumerate(spec.bands):
            image = fits.ImageHDU(pixels[k], name=fits_text(band))
            # astropy folds EXTNAME to capitals, which would confuse the bands r and R.
            image.header["EXTNAME"] = fits_text(band)
            _add_image_facts(image.header, spec, shape)
            _add_band_facts(image.header, spec, k, stretch, "")
            hdus.append(image)
    return hdus


def provenance_cards(provenance: Mapping[str, Any]) -> Iterator[tuple[str, Value, str]]:
    """Keyword, value and comment of each card for where a galaxy comes from.

    Keywords that FITS does not know begin with ``HIERARCH``. Comments fit behind their values.
    """
    for key, value in provenance.items():
        if value is None:
            continue
        if key in CARDS:
            keyword, comment = CARDS[key]
            yield keyword, (plain := _plain(value)), fitting(plain, comment)
        elif key == "conditions":
            name_card, value_card = CONDITION_CARDS
            for k, (text, number) in enumerate(value.items(), start=1):
                name, plain = fits_text(text), _plain(number)
                yield f"{name_card}{k}", name, fitting(name, "number that was asked for")
                yield f"{value_card}{k}", plain, fitting(plain, "its value")
        elif key == "stretch":
            yield "STRETCH", value["kind"], "between flux and network space"
        else:
            name = fits_text(key)
            short = len(name) <= 8 and name.replace("_", "").isalnum()
            yield name.upper() if short else f"HIERARCH {name}", _plain(value), ""


def _plain(value: Any) -> Value:
    if type(value) is int:
        return value
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return fits_text(value)
    return value if isinstance(value, int | float | bool) else json.dumps(value)


def _add_image_facts(header: Header, spec: ImageSpec, shape: Sequence[int]) -> None:
    header["BUNIT"] = fits_text(spec.unit)
    if spec.pixel_scale is None:
        return
    header["PIXSCALE"] = (spec.pixel_scale, "arcsec/pixel")
    header["WCSDUMMY"] = (True, "the pointing below is not real, its scale is")
    if header["NAXIS"] == 3:
        # The standard wants it before all others of the pointing.
        header["WCSAXES"] = 2
    header["RADESYS"] = "ICRS"
    for axis, kind, sign in ((1, "RA---TAN", -1), (2, "DEC--TAN", 1)):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRVAL{axis}"] = 0.0
        header[f"CRPIX{axis}"] = (shape[-axis] + 1) / 2
        header[f"CDELT{axis}"] = sign * spec.pixel_scale / 3600


def _add_band_facts(
    header: Header, spec: ImageSpec, k: int, stretch: Mapping[str, Any] | None, suffix: str
) -> None:
    zero, cards = spec.zero_points[k], {"": ("FILTER", "MAGZERO", "PSFFWHM")}
    name, magnitude, width = cards.get(suffix, (f"BAND{suffix}", f"ZP{suffix}", f"FWHM{suffix}"))
    header[name] = fits_text(spec.bands[k])
    if zero is not None:
        header[magnitude] = (zero, "AB magnitude of one unit of flux")
    if spec.psf_fwhm is not None:
        header[width] = (spec.psf_fwhm[k], "arcsec, of the PSF")
    if stretch is not None:
        for card, key in _BAND_FACTS:
            header[card + suffix] = float(stretch[key][k])


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Where a file of `write_galaxy` came from: the mapping that was given to it.

    Numbers of the stretch are those of the cards, which carry 16 digits.

    Raises
    ------
    DataError
        If the file cannot be read, or galgen did not write it.
    """
    primary, headers = _headers(path)
    if primary.get("CREATOR") != "galgen":
        raise DataError(f"{path} was not written by galgen: it has no CREATOR = 'galgen' card.")
    provenance = galaxy_facts(primary)
    suffixes = [""] * len(headers)
    if len(headers) == 1 and "BANDS" in headers[0]:
        suffixes = [str(k) for k in range(len(str(headers[0]["BANDS"]).split(",")))]
        headers = headers * len(suffixes)
    if "STRETCH" in primary:
        provenance["stretch"] = {"kind": primary["STRETCH"]} | {
            key: [float(h[card + s]) for h, s in zip(headers, suffixes, strict=True)]
            for card, key in _BAND_FACTS
        }
    known = {
        "SIMULATE",
        "CREATOR",
        "NEXTEND",
        "BANDS",
        "WCSDUMMY",
        "WCSAXES",
        "BUNIT",
        "PIXSCALE",
        "RADESYS",
    }
    known |= {*STRUCTURE, *_KEYS, "STRETCH", "LONGSTRN"}
    for card, value in primary.items():
        if card in known or card[:5] in ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT"):
            continue
        if card.rstrip("0123456789") in (*_NUMBERED, *CONDITION_CARDS):
            continue
        provenance[card.lower()] = value
    return provenance


def _headers(path: str | Path) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The primary header and those of all images, compressed ones too; no pixel is read."""
    _, hdus = open_headers(path)
    images: list[Mapping[str, Any]] = [
        hdu.header for hdu in hdus if "ZIMAGE" in hdu.header or (hdu.is_image and hdu.pixels)
    ]
    return hdus[0].header, images


def galaxy_facts(primary: Mapping[str, Any]) -> dict[str, Any]:
    """What the first header of a file says of its galaxy, by the keys of `CARDS`, and
    ``conditions``: the numbers that were asked for, by name.
    """
    facts = {_KEYS[card]: value for card, value in primary.items() if card in _KEYS}
    name, value = CONDITION_CARDS
    found: dict[str, Any] = {}
    k = 1
    while f"{name}{k}" in primary:
        found[str(primary[f"{name}{k}"])] = primary.get(f"{value}{k}")
        k += 1
    return facts | ({"conditions": found} if found else {})
