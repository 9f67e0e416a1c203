"""Headers that astropy wrote once, filled in with what varies from file to file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from galgen.io.cards import LENGTH, join_cards, padded, split_cards
from galgen.io.checksum import ZEROS, encode, short_sum, sum_of_bytes

#: Where a value begins in its card, and how many bytes DATASUM has.
_VALUE, _FIELD = 10, 20
_SUM_COMMENTS = {b"CHECKSUM": "HDU checksum", b"DATASUM ": "data unit checksum"}

#: The last two cards of a header that is to become a `Head`.
SUM_CARDS = [
    f"{key.decode()}= '{ZEROS.decode()}'".ljust(_VALUE + _FIELD).encode()
    + f" / {comment}".ljust(LENGTH - _VALUE - _FIELD).encode()
    for key, comment in _SUM_COMMENTS.items()
]


@dataclass(frozen=True)
class Head:
    """A header whose varying cards, CHECKSUM and DATASUM are still to be filled in.

    Attributes
    ----------
    blank
        The whole header, zero bytes in place of what varies but `ZEROS` in CHECKSUM.
    slots
        Where each varying card begins.
    checksum, datasum
        Where their values begin.
    total
        Sum of `blank`.
    """

    blank: bytes
    slots: tuple[int, ...]
    checksum: int
    datasum: int
    total: int

    @classmethod
    def of(cls, header: bytes, slots: tuple[int, ...] = ()) -> Head:
        """A header with both sums in it, whose cards at `slots` vary."""
        blank = bytearray(header)
        places = {header[at : at + 8]: at for at in range(0, len(header), LENGTH)}
        checksum, datasum = (places[key] + _VALUE for key in _SUM_COMMENTS)
        for at in slots:
            blank[at : at + LENGTH] = bytes(LENGTH)
        blank[checksum + 1 : checksum + 17] = ZEROS
        blank[datasum : datasum + _FIELD] = bytes(_FIELD)
        whole = bytes(blank)
        return cls(whole, slots, checksum + 1, datasum, sum_of_bytes(whole))

    def fill(self, cards: list[bytes], data_sum: int) -> bytearray:
        """The header of an HDU with these varying cards and this sum of its data."""
        head = bytearray(self.blank)
        total = self.total + data_sum
        for at, card in zip(self.slots, cards, strict=True):
            head[at : at + LENGTH] = card
        if cards:
            total += short_sum(b"".join(cards))
        field = (b"'%-8d'" % data_sum).ljust(_FIELD)
        head[self.datasum : self.datasum + _FIELD] = field
        # The value begins in the middle of a word.
        total += short_sum(b"\0\0" + field + b"\0\0")
        head[self.checksum : self.checksum + 16] = encode(total)
        return head


def astropy_headers(hdus: list[Any]) -> list[bytes]:
    """Headers of HDUs as astropy writes them with both sums, without times."""
    from astropy.io import fits

    file = io.BytesIO()
    fits.HDUList(hdus).writeto(file, checksum=True)
    raw, at, headers = file.getvalue(), 0, []
    for hdu in hdus:
        cards = split_cards(raw, at)
        size = len(join_cards(cards))
        for k, card in enumerate(cards):
            if comment := _SUM_COMMENTS.get(card[:8]):
                text = card[: _VALUE + _FIELD] + f" / {comment}".encode()
                cards[k] = text.ljust(LENGTH)
        headers.append(join_cards(cards))
        at += size + padded(hdu.size)
    return headers


def say_if_long(header: Any) -> None:
    """LONGSTRN, where a text of astropy's header goes on in CONTINUE cards."""
    if any(len(card.image) > LENGTH for card in header.cards):
        header["LONGSTRN"] = ("OGIP 1.0", "a text goes on in CONTINUE cards")
