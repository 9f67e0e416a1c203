"""Flux units as astropy knows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.units import UnitBase

#: Words of headers that astropy writes in another way, in small letters.
_WORDS = {
    "counts": "ct",
    "cts": "ct",
    "adu": "adu",
    "dn": "DN",
    "electrons": "electron",
    "e-": "electron",
    "e": "electron",
    "maggies": "mgy",
    "nanomaggies": "nmgy",
    "sec": "s",
    "seconds": "s",
}


def astropy_unit(text: str) -> UnitBase | None:
    """The unit that a text means; None where astropy has none, as for display values.

    >>> [str(astropy_unit(text)) for text in ("nanomaggy", "MJy/sr", "counts/s", "display")]
    ['nmgy', 'MJy / sr', 'ct / s', 'None']
    """
    from astropy import units

    words = re.sub(r"[A-Za-z]+-?(?![A-Za-z0-9])", lambda m: _spelled(m.group()), text)
    for spelling in dict.fromkeys((text.strip(), words.strip())):
        try:
            unit = units.Unit(spelling)
        except (ValueError, TypeError):
            continue
        return unit if spelling else None
    return None


def _spelled(word: str) -> str:
    return _WORDS.get(word.lower(), word)
