"""One card of a FITS header, written as astropy writes it."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

LENGTH = 80
#: A file is made of blocks of so many bytes.
BLOCK = 2880
END = b"END".ljust(LENGTH)

Value = str | int | float | bool


def fits_text(text: str) -> str:
    """A text as FITS can hold it: letters without their accents, ``?`` for what is not ASCII.

    >>> fits_text("psf_\u00fcbung.fits"), fits_text("\u661f")
    ('psf_ubung.fits', '?')
    """
    if text.isascii() and text.isprintable():
        return text
    letters = unicodedata.normalize("NFKD", text)
    return "".join(c if " " <= c <= "~" else "?" for c in letters if not unicodedata.combining(c))


def format_value(value: Value) -> str:
    """A value in the fixed format: numbers end in column 30, texts begin in column 11.

    A float has at most 20 signs; further digits are cut off, as astropy does.
    """
    if isinstance(value, str):
        quoted = "'{:8}'".format(value.replace("'", "''")) if value else "''"
        return quoted.ljust(20) if value else quoted
    if isinstance(value, bool):
        return "                   T" if value else "                   F"
    if isinstance(value, int):
        return f"{value:20d}"
    text = repr(value).replace("e", "E")
    if len(text) > 20:
        digits, e, power = text.partition("E")
        text = digits[: 20 - len(e + power)] + e + power
    return text.rjust(20)


def fitting(value: Value, comment: str) -> str:
    """A comment as far as it has room behind a value; a text of several cards has room for all."""
    if not isinstance(value, str) or len(value) <= 8:
        return comment[:47]
    room = LENGTH - 13 - len(format_value(value))
    return comment if room < -3 else comment[: max(0, room)].rstrip()


def format_card(keyword: str, value: Value, comment: str = "") -> bytes | None:
    """80 bytes, or None where astropy is needed: HIERARCH, or a text for more than one card.

    Parameters
    ----------
    keyword
        Up to 8 capitals, digits, ``-`` and ``_``.
    value
        Text in printable ASCII, or a finite number.
    comment
        Cut off where it has no room.
    """
    text = format_value(value)
    if len(text) == 20 and len(keyword) <= 8:
        before, behind = _frame(keyword, comment)
        return f"{before}{text}{behind}".encode("ascii")
    if len(text) > LENGTH - 10 or len(keyword) > 8:
        return None
    card = f"{keyword:8}= {text} / {comment}" if comment else f"{keyword:8}= {text}"
    return card[:LENGTH].ljust(LENGTH).encode("ascii")


@lru_cache(maxsize=1024)
def _frame(keyword: str, comment: str) -> tuple[str, str]:
    """What stands on a card before and behind a value of 20 signs."""
    return f"{keyword:8}= ", (f" / {comment}" if comment else "")[:50].ljust(50)


def split_cards(raw: bytes, start: int = 0) -> list[bytes]:
    """Cards of the header that begins at byte `start`, without END."""
    cards = []
    while (card := raw[start : start + LENGTH]) != END:
        cards.append(card)
        start += LENGTH
    return cards


def join_cards(cards: list[bytes]) -> bytes:
    """A header of these cards, with END and filled to whole blocks."""
    text = b"".join(cards) + END
    return text.ljust(padded(len(text)))


def padded(size: int) -> int:
    """A number of bytes in whole blocks."""
    return -(-size // BLOCK) * BLOCK
