"""Tile-compressed images: RICE_1 with subtractive dithering, and what it costs, measured.

Pixels are rounded to steps of 1/16 of the noise that a band shows (FITS standard 4.0, section 10;
White et al. 2012, "Tiled image convention for storing compressed images"), a band a tile. Bands
without noise, and those with infinite pixels, are kept as they are (gzip), NaN stays NaN.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.io.cards import LENGTH, Value, format_card, join_cards, padded, split_cards
from galgen.io.checksum import fold, sum_of_bytes, sums_of_floats
from galgen.io.hdu import walk
from galgen.io.heads import SUM_CARDS, Head

#: Steps in one standard deviation of the noise.
LEVEL = 16
#: Card of the sum of the pixels before compression. The convention's ZDATASUM would have
#: astropy call such a file damaged, since what comes back is not what the sum was taken of.
RAW_SUM = "RAWSUM"
#: Keyword of a band's own HDU, beginning of the numbered ones in a cube, comment.
ERROR_CARDS = (
    ("RICERMS", "RRMS", "rms error by compression, in BUNIT"),
    ("RICEMAX", "RMAX", "largest error of a pixel, in BUNIT"),
    ("RICEMAG", "RMAG", "mag, error of the summed flux"),
)
_SEEDS = 10_000
_NUMBERS = {"D": ">f8", "E": ">f4", "J": ">i4"}
_LAYOUT = {b"XTENSION", b"BITPIX", b"NAXIS", b"PCOUNT", b"GCOUNT"}
_SUMS = {card[:8] for card in SUM_CARDS}


@dataclass(frozen=True)
class BandError:
    """What compression did to one band.

    Attributes
    ----------
    rms, largest
        Of the differences of finite pixels, in the unit of the image.
    magnitude
        -2.5 log10 of the ratio of the sums, None where one is not positive.
    """

    rms: float
    largest: float
    magnitude: float | None

    @classmethod
    def of(cls, before: NDArray[np.float32], after: NDArray[np.float32]) -> BandError:
        """Of one band before and after."""
        good = np.isfinite(before)
        old, new = before[good].astype(np.float64), after[good].astype(np.float64)
        if not old.size:
            return cls(0.0, 0.0, None)
        difference, sums = new - old, (old.sum(), new.sum())
        magnitude = 0.0 - 2.5 * math.log10(sums[1] / sums[0]) if min(sums) > 0 else None
        rms = float(np.sqrt(np.mean(difference**2)))
        return cls(rms, float(np.abs(difference).max()), magnitude)

    def cards(self, suffix: str = "") -> list[tuple[str, Value, str]]:
        """Keyword, value and comment of what is known."""
        values = (self.rms, self.largest, self.magnitude)
        return [
            (numbered + suffix if suffix else own, float(f"{value:.4g}"), comment)
            for (own, numbered, comment), value in zip(ERROR_CARDS, values, strict=True)
            if value is not None
        ]


def dither_seed(index: int, bands: int) -> int:
    """Of the first band, 1 to 10000; the others count on from there."""
    return 1 + index * bands % (_SEEDS + 1 - bands)


def compress(
    pixels: NDArray[np.float32], seed: int, cube: bool, headers: Sequence[bytes]
) -> tuple[list[bytes], tuple[BandError, ...], NDArray[np.float32]]:
    """Compressed image HDUs, the error of each band, and the pixels as a reader gets them.

    Parameters
    ----------
    pixels
        (bands, y, x), contiguous.
    seed
        Of `dither_seed`.
    cube
        One HDU rather than one per band.
    headers
        Of the same HDUs uncompressed: what they say of the images is kept.
    """
    table = _Table.of(pixels, seed)
    errors = tuple(map(BandError.of, pixels, table.pixels))
    sums = sums_of_floats(pixels.reshape(1, -1) if cube else pixels)
    parts = []
    for k, (header, raw_sum) in enumerate(zip(headers, sums, strict=True)):
        structure, data = (table.cards, table.data) if cube else table.band(k, seed + k)
        facts: list[tuple[str, Value, str]] = [
            (RAW_SUM, str(raw_sum), "DATASUM of the pixels before compression")
        ]
        for number, error in enumerate(errors if cube else [errors[k]]):
            facts += error.cards(str(number) if cube else "")
        cards = list(structure.values()) + _about(header) + [_card(*fact) for fact in facts]
        head = Head.of(join_cards(cards + SUM_CARDS)).fill([], fold(sum_of_bytes(data)))
        parts += [bytes(head), data, bytes(padded(len(data)) - len(data))]
    return parts, errors, table.pixels


def _about(header: bytes) -> list[bytes]:
    """Cards of an image that do not describe its layout."""
    return [
        card
        for card in split_cards(header)
        if card[:8].rstrip(b" 0123456789") not in _LAYOUT and card[:8] not in _SUMS
    ]


def _card(keyword: str, value: Value, comment: str) -> bytes:
    card = format_card(keyword, value, comment)
    assert card is not None
    return card


@dataclass(frozen=True)
class _Table:
    """Bands as astropy compressed them: a table with a row per band, and a heap behind it."""

    cards: dict[str, bytes]
    dtype: np.dtype[Any]
    data: bytes
    pixels: NDArray[np.float32]

    @classmethod
    def of(cls, pixels: NDArray[np.float32], seed: int) -> _Table:
        from astropy.io import fits

        hdu = fits.CompImageHDU(
            pixels,
            compression_type="RICE_1",
            tile_shape=(1, *pixels.shape[1:]),
            quantize_level=LEVEL,
            quantize_method=1,
            dither_seed=seed,
        )
        file = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
        raw = file.getvalue()
        with fits.open(io.BytesIO(raw)) as hdus:
            back = np.array(hdus[1].data, dtype=np.float32).reshape(pixels.shape)
        found = list(walk(raw, "a compressed image"))[1]
        cards = {card[:8].decode().rstrip(): card for card in split_cards(raw, found.begin)}
        cards.pop("EXTNAME", None)
        columns: list[Any] = []
        for k in range(1, int(found.header["TFIELDS"]) + 1):
            name, form = str(found.header[f"TTYPE{k}"]), str(found.header[f"TFORM{k}"])
            # How many bytes of the heap, and where they begin there.
            columns.append((name, ">i4", 2) if "P" in form else (name, _NUMBERS[form[-1]]))
        dtype = np.dtype(columns)
        data = bytearray(raw[found.data : found.data + found.size])
        rows = np.frombuffer(data, dtype, len(pixels))
        for length, at in rows["GZIP_COMPRESSED_DATA"].tolist():
            if length:
                # gzip notes the time, which is no part of the image.
                data[rows.nbytes + at + 4 : rows.nbytes + at + 8] = bytes(4)
        return cls(cards, dtype, bytes(data), back)

    def band(self, k: int, seed: int) -> tuple[dict[str, bytes], bytes]:
        """Structural cards and data of a table with row `k` alone: a 2-D image."""
        rows = np.frombuffer(self.data, self.dtype, len(self.pixels))
        row = rows[k : k + 1].copy()
        cards, heap = dict(self.cards), b""
        for number, name in enumerate(self.dtype.names or (), start=1):
            if self.dtype[name].shape:
                length, at = row[name][0].tolist()
                letter = cards[f"TFORM{number}"].split(b"(")[0].split(b"'")[1].decode()
                cards[f"TFORM{number}"] = _card(f"TFORM{number}", f"{letter}({length})", "")
                row[name][0] = (length, len(heap) if length else 0)
                heap += self.data[rows.nbytes + at : rows.nbytes + at + length]
        for keyword, value in (("NAXIS2", 1), ("PCOUNT", len(heap)), ("ZNAXIS", 2)):
            cards[keyword] = _card(keyword, value, _comment(cards[keyword]))
        if "ZDITHER0" in cards:
            cards["ZDITHER0"] = _card("ZDITHER0", seed, _comment(cards["ZDITHER0"]))
        for keyword in ("ZNAXIS3", "ZTILE3"):
            del cards[keyword]
        return cards, row.tobytes() + heap


def _comment(card: bytes) -> str:
    return card[LENGTH - 50 :].partition(b" / ")[2].decode().rstrip()
