"""DATASUM and CHECKSUM of FITS (standard 4.0, section 4.4.2.7 and appendix J).

A sum is the ones' complement sum of big-endian 32-bit words. Sums of parts may be added
in any order, as plain integers, and folded once at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD = 0xFFFFFFFF
#: What stands in CHECKSUM while the sum of its HDU is taken.
ZEROS = b"0" * 16
#: ASCII signs that are neither digits nor letters, which CHECKSUM avoids.
_PUNCTUATION = frozenset(b":;<=>?@[\\]^_`")


def fold(total: int) -> int:
    """A sum of words in 32 bits: what overflows is added at the low end."""
    while total > _WORD:
        total = (total & _WORD) + (total >> 32)
    return total


def sum_of_bytes(data: bytes | bytearray | memoryview) -> int:
    """Sum, not folded, of bytes that stand at a word's beginning; their end is filled with zeros.

    >>> sum_of_bytes(bytes([0, 0, 1, 0, 255])) == 256 + (255 << 24)
    True
    """
    whole = len(data) & ~3
    total = int(np.frombuffer(data, ">u4", whole >> 2).sum(dtype=np.uint64)) if whole else 0
    rest = bytes(data[whole:])
    return total + int.from_bytes(rest.ljust(4, b"\0"), "big") if rest else total


def short_sum(data: bytes | bytearray) -> int:
    """The same, up to multiples of 2^32 - 1, for some hundred bytes of whole words: quicker."""
    return int.from_bytes(data, "big") % _WORD


def sums_of_floats(pixels: NDArray[np.float32]) -> list[int]:
    """DATASUM of each plane of contiguous (planes, ...) float32 as FITS would hold it."""
    words: NDArray[Any] = pixels.view(np.uint32).reshape(len(pixels), -1)
    return [fold(total) for total in words.sum(axis=1, dtype=np.uint64).tolist()]


def _four_signs(byte: int) -> tuple[int, int, int, int]:
    """Four signs for one byte of the complement: they sum to it and four zeros."""
    quarter = byte // 4 + ord("0")
    signs = [quarter + byte % 4, quarter, quarter, quarter]
    while any(sign in _PUNCTUATION for sign in signs):
        for k in (0, 2):
            if signs[k] in _PUNCTUATION or signs[k + 1] in _PUNCTUATION:
                signs[k] += 1
                signs[k + 1] -= 1
    return signs[0], signs[1], signs[2], signs[3]


def _table() -> list[list[int]]:
    """For each of the four bytes of a word: its part in the 16 signs, as one large integer."""
    tables = []
    for place in range(4):
        rows = []
        for byte in range(256):
            text = bytearray(16)
            for k, sign in enumerate(_four_signs(byte)):
                # The text is turned by one sign, since the card's value begins there in a word.
                text[(4 * k + place + 1) % 16] = sign
            rows.append(int.from_bytes(text, "big"))
        tables.append(rows)
    return tables


_FIRST, _SECOND, _THIRD, _FOURTH = _table()


def encode(total: int) -> bytes:
    """CHECKSUM, 16 signs, of an HDU whose sum is `total` with `ZEROS` in their place.

    >>> encode(868229149)
    b'hcHjjc9ghcEghc9g'
    """
    rest = _WORD - fold(total)
    signs = (
        _FIRST[rest >> 24]
        | _SECOND[rest >> 16 & 255]
        | _THIRD[rest >> 8 & 255]
        | _FOURTH[rest & 255]
    )
    return signs.to_bytes(16, "big")
