"""One card of a FITS header, written as astropy writes it."""

from __future__ import annotations

import unicodedata

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
        return "T".rjust(20) if value else "F".rjust(20)
    if isinstance(value, int):
        return str(value).rjust(20)
    text = repr(value).replace("e", "E")
    if len(text) > 20:
        digits, e, power = text.partition("E")
        text = digits[: 20 - len(e + power)] + e + power
    return text.rjust(20)


def fitting(value: Value, comment: str) -> str:
    """A comment as far as it has room behind a value; a text of several cards has room for all."""
    if not isinstance(value, str):
        return comment
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
    if len(keyword) > 8:
        return None
    text = format_value(value)
    if len(text) > LENGTH - 10:
        return None
    card = f"{keyword:8}= {text} / {comment}" if comment else f"{keyword:8}= {text}"
    return card[:LENGTH].ljust(LENGTH).encode("ascii")


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
