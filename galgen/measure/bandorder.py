"""Which band is bluer, and which two make the colour.

Order and colour pair follow from the band names, so that ``R, G, B`` of a picture and
``g, r, i`` of a survey are treated alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MICRONS = {
    "u": 0.36, "g": 0.48, "r": 0.62, "i": 0.75, "z": 0.89, "y": 1.00,
    "j": 1.25, "h": 1.63, "k": 2.20, "ks": 2.15, "b": 0.44, "v": 0.55,
    "nuv": 0.23, "fuv": 0.15, "w1": 3.4, "w2": 4.6, "w3": 12.0, "w4": 22.0,
}  # fmt: skip
_FILTER = re.compile(r"^f(\d{3,4})(?:w|n|m|lp|x|w2)$")
#: Above this number an HST or JWST filter name counts nanometres, and so does its whole set.
_LARGEST_TENS_OF_NM = 500


def wavelengths(bands: Sequence[str]) -> tuple[float | None, ...]:
    """Rough central wavelength of each band in micrometres, None where the name says nothing.

    HST and JWST names count tens of nanometres (F115W is 1.15 micrometres), except where the
    set holds a number above 500 (F606W): then numbers from 200 on are nanometres.
    """
    matches = [_FILTER.match(b.lower()) for b in bands]
    numbers = [int(m.group(1)) if m else None for m in matches]
    optical = any(n is not None and n > _LARGEST_TENS_OF_NM for n in numbers)
    out: list[float | None] = []
    for band, number in zip(bands, numbers, strict=True):
        if number is None:
            out.append(_MICRONS.get(band.lower()))
        else:
            out.append(number / 1000 if optical and number >= 200 else number / 100)
    return tuple(out)


def blue_to_red(bands: Sequence[str]) -> tuple[int, ...]:
    """Channel numbers from the bluest to the reddest band; as listed where a name is unknown."""
    microns = wavelengths(bands)
    known = [m for m in microns if m is not None]
    if len(known) < len(bands):
        return tuple(range(len(bands)))
    return tuple(sorted(range(len(bands)), key=lambda c: known[c]))


def colour_pair(bands: Sequence[str]) -> tuple[int, int] | None:
    """Channels (blue, red) of the colour; magnitudes are quoted in the red one.

    g and r where both exist, as in the thesis' M_r against g-r; else the middle band and its
    bluer neighbour. None for a single band, which has no colour.
    """
    folded = [b.lower() for b in bands]
    if "g" in folded and "r" in folded:
        return folded.index("g"), folded.index("r")
    if len(bands) < 2:
        return None
    order = blue_to_red(bands)
    middle = max(1, len(order) // 2)
    return order[middle - 1], order[middle]


def reference_band(bands: Sequence[str]) -> int:
    """Channel whose magnitude stands for the galaxy: the red one of the colour."""
    pair = colour_pair(bands)
    return 0 if pair is None else pair[1]
