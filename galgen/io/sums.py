"""Whether a file is whole, and the sums of its pixels: read without astropy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError
from galgen.io.cards import fits_text
from galgen.io.checksum import fold, sum_of_bytes, sums_of_floats
from galgen.io.hdu import Walked, open_headers
from galgen.io.rice import RAW_SUM

#: The sum of a whole HDU whose CHECKSUM holds.
_WHOLE = 0xFFFFFFFF


def read_sums(path: str | Path) -> list[tuple[str, int]]:
    """EXTNAME, empty where it has none, and DATASUM of each image; before compression, if any.

    What the cards say is taken for true: see `verify`.

    Raises
    ------
    DataError
        If the file cannot be read or an image has no such card.
    """
    found = []
    for number, hdu in enumerate(open_headers(path)[1]):
        if "ZIMAGE" in hdu.header:
            value = hdu.header.get(RAW_SUM, hdu.header.get("ZDATASUM"))
        elif hdu.is_image and hdu.pixels:
            value = hdu.header.get("DATASUM")
        else:
            continue
        if not (isinstance(value, str) and value.isdecimal()):
            raise DataError(f"{path} does not say what the pixels of HDU {number} sum to.")
        found.append((str(hdu.header.get("EXTNAME", "")), int(value)))
    return found


def image_sums(
    flux: NDArray[np.float32], bands: Sequence[str], cube: bool = False
) -> list[tuple[str, int]]:
    """What `read_sums` finds in a file of this (bands, y, x) image."""
    pixels = np.ascontiguousarray(flux, dtype=np.float32)
    if cube:
        return [("", sums_of_floats(pixels[None])[0])]
    return list(zip(map(fits_text, bands), sums_of_floats(pixels), strict=True))


def verify(path: str | Path) -> str | None:
    """None if DATASUM and CHECKSUM of every HDU hold and the file ends with the last, else why not.

    Returns
    -------
    str or None
        A sentence.
    """
    try:
        raw, hdus = open_headers(path)
    except DataError as error:
        return str(error)
    view = memoryview(raw)
    for number, hdu in enumerate(hdus):
        if number > 0 and "XTENSION" not in hdu.header:
            return f"{path} is damaged: what follows HDU {number - 1} is no HDU."
        if hdu.end > len(raw):
            return f"{path} is truncated: it ends inside the last block of HDU {number}."
        stated = hdu.header.get("DATASUM")
        if not isinstance(stated, str) or "CHECKSUM" not in hdu.header:
            return f"{path} cannot be checked: {_named(number, hdu)} lacks CHECKSUM or DATASUM."
        total = fold(sum_of_bytes(view[hdu.data : hdu.end]))
        if str(total) != stated.strip():
            return (
                f"{path} is damaged: the data of {_named(number, hdu)} sum to {total}, "
                f"its DATASUM is {stated}."
            )
        if fold(total + sum_of_bytes(view[hdu.begin : hdu.data])) != _WHOLE:
            return f"{path} is damaged: CHECKSUM of {_named(number, hdu)} does not hold."
    if len(hdus) - 1 != hdus[0].header.get("NEXTEND", len(hdus) - 1):
        return f"{path} is truncated: images that its first HDU counts are missing."
    if hdus[-1].end < len(raw):
        return f"{path} is damaged: there is more behind its last HDU."
    return None


def _named(number: int, hdu: Walked) -> str:
    name = hdu.header.get("EXTNAME")
    return f"HDU {number} ({name})" if name else f"HDU {number}"
