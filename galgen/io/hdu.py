"""Image HDUs of a FITS file: a plain reader for the usual case, astropy for the rest.

The plain reader parses the 80-byte cards itself and views the pixels with `numpy.frombuffer`.
It takes files whose images are unscaled floats, also inside ``.gz``; anything else (scaled or
integer data, tile compression, random groups, tables that hold the filter names) goes to
astropy. Both give the same arrays.
"""

from __future__ import annotations

import gzip
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError
from galgen.io.cutout import Card, one_line

_BLOCK = 2880
_CARD = 80
_MAP_ABOVE = 1 << 24
_FLOATS: dict[int, np.dtype[Any]] = {-32: np.dtype(">f4"), -64: np.dtype(">f8")}
#: Cards that describe how the file is laid out, not what the image is.
STRUCTURE = frozenset(
    "SIMPLE BITPIX NAXIS NAXIS1 NAXIS2 NAXIS3 NAXIS4 EXTEND XTENSION PCOUNT GCOUNT BSCALE BZERO "
    "BLANK CHECKSUM DATASUM".split()
)


class _Unusual(Exception):
    """The plain reader leaves this file to astropy."""


@dataclass(frozen=True, eq=False)
class ImageHDU:
    """One image of a file; `load` returns its array in the file's own byte order."""

    position: int
    header: Mapping[str, Card]
    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class FitsFile:
    """Primary header, image HDUs in file order, and the FILTERS table's names if it has one."""

    primary: Mapping[str, Card]
    images: list[ImageHDU]
    filters: tuple[str, ...] | None = None


def open_images(path: str | Path) -> FitsFile:
    """List the image HDUs of a FITS file.

    Raises
    ------
    DataError
        If the file is missing, cut short or no FITS file.
    """
    with _told(path):
        raw = _fits_bytes(path)
        try:
            return _plain(raw, path)
        except _Unusual:
            return _astropy(raw)


def open_headers(path: str | Path) -> tuple[bytes | mmap.mmap, list[Walked]]:
    """A file's bytes and its HDUs, of which only the headers were looked at.

    Raises
    ------
    DataError
        If the file is missing, cut short or no FITS file.
    """
    with _told(path):
        raw = _fits_bytes(path)
        return raw, list(walk(raw, path))


@contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """Whatever goes wrong is said as one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except DataError:
        raise
    # Damage shows as any exception at all: astropy alone raises half a dozen classes.
    except Exception as error:
        raise DataError(f"{path} cannot be read as FITS ({one_line(error)}).") from error


def _fits_bytes(path: str | Path) -> bytes | mmap.mmap:
    raw = _bytes_of(path)
    if raw[:6] != b"SIMPLE":
        raise DataError(f"{path} is no FITS file: it does not begin with SIMPLE.")
    return raw


def _bytes_of(path: str | Path) -> bytes | mmap.mmap:
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > _MAP_ABOVE:
            raw: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            raw = file.read()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


class Walked(NamedTuple):
    """One HDU of a file: its cards, axes (slowest first) and how many pixels they hold.

    Its bytes go from `begin` to `end`, `size` of them from `data` on are data.
    """

    header: dict[str, Card]
    shape: tuple[int, ...]
    pixels: int
    begin: int
    data: int
    size: int
    end: int

    @property
    def is_image(self) -> bool:
        """Whether it may hold an image as it stands."""
        return self.begin == 0 or self.header.get("XTENSION") == "IMAGE"


def walk(raw: bytes | mmap.mmap, path: str | Path) -> Iterator[Walked]:
    """HDUs of a file from its headers alone.

    Raises
    ------
    DataError
        If the file ends before a header or its data do.
    """
    at, position = 0, 0
    while at + _BLOCK <= len(raw):
        header, data = parse_header(raw, at, path)
        naxis = _count(header, "NAXIS")
        shape = tuple(_count(header, f"NAXIS{k}") for k in range(naxis, 0, -1))
        width = abs(int(header["BITPIX"])) // 8
        pixels = math.prod(shape) if shape else 0
        groups, heap = _count(header, "GCOUNT", 1), _count(header, "PCOUNT", 0)
        size = width * groups * (heap + pixels)
        if "GROUPS" in header:
            raise _Unusual
        if data + size > len(raw):
            raise DataError(
                f"{path} is truncated: HDU {position} declares {size:,} bytes of data, "
                f"the file ends after {max(0, len(raw) - data):,}."
            )
        end = data + -(-size // _BLOCK) * _BLOCK
        yield Walked(header, shape, pixels, at, data, size, end)
        at = end
        position += 1
    if position == 0:
        raise DataError(f"{path} is truncated: it ends inside its first header block.")


def _plain(raw: bytes | mmap.mmap, path: str | Path) -> FitsFile:
    primary: dict[str, Card] = {}
    images: list[ImageHDU] = []
    unusual = False
    for position, hdu in enumerate(walk(raw, path)):
        header = hdu.header
        if position == 0:
            primary = header
        # Even files for astropy are walked to their end here: it does not always come to one
        # by itself when a length is damaged.
        unusual |= "ZIMAGE" in header or header.get("EXTNAME") == "FILTERS"
        if hdu.is_image and hdu.pixels:
            image = _plain_image(raw, header, hdu.shape, hdu.data, position)
            unusual |= image is None
            images += [] if image is None else [image]
    if unusual:
        raise _Unusual
    return FitsFile(primary, images)


def _plain_image(
    raw: bytes | mmap.mmap,
    header: Mapping[str, Card],
    shape: tuple[int, ...],
    data: int,
    position: int,
) -> ImageHDU | None:
    """The image as it stands in `raw`, or None if astropy must decode it."""
    dtype: np.dtype[Any] | None = _FLOATS.get(int(header["BITPIX"]))
    scaled = header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0
    if len(shape) > 1 and (dtype is None or scaled):
        return None
    # A 1-D array is never the science image, so nobody loads it.
    known = np.dtype(np.uint8) if dtype is None else dtype

    def load() -> NDArray[Any]:
        return np.frombuffer(raw, known, math.prod(shape), data).reshape(shape)

    return ImageHDU(position, header, shape, load)


def _count(header: Mapping[str, Card], key: str, default: int | None = None) -> int:
    value = header.get(key, default)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{key} is {value!r}")
    return value


def parse_header(
    raw: bytes | mmap.mmap, start: int, path: str | Path
) -> tuple[dict[str, Card], int]:
    """Cards of the header that begins at byte `start`, and where its data begin.

    The first of several cards of one keyword wins, as in astropy. HISTORY and COMMENT
    are left out; a string carried on by CONTINUE is put together.
    """
    cards: dict[str, Card] = {}
    last = ""
    at = start
    while True:
        block = raw[at : at + _BLOCK]
        if len(block) < _BLOCK:
            raise DataError(f"{path} is truncated: a header has no END card.")
        for offset in range(0, _BLOCK, _CARD):
            card = block[offset : offset + _CARD]
            if card[:8] == b"END     ":
                return cards, at + _BLOCK
            key, value = _parse_card(card)
            if key == "CONTINUE":
                before = cards.get(last)
                if isinstance(before, str) and before.endswith("&") and isinstance(value, str):
                    cards[last] = before[:-1] + value
            elif value is not None:
                last = key
                cards.setdefault(key, value)
        at += _BLOCK


@lru_cache(maxsize=8192)
def _parse_card(card: bytes) -> tuple[str, Card | None]:
    key = card[:8].decode("ascii", "replace").rstrip()
    if key == "CONTINUE":
        return key, _parse_value(card[8:].decode("ascii", "replace"))
    if key == "HIERARCH":
        name, equals, value = card[8:].decode("ascii", "replace").partition("=")
        return name.strip().upper(), _parse_value(value) if equals else None
    if card[8:10] != b"= ":
        return key, None
    return key, _parse_value(card[10:].decode("ascii", "replace"))


def _parse_value(text: str) -> Card | None:
    text = text.lstrip()
    if text.startswith("'"):
        end = 1
        while True:
            end = text.find("'", end)
            if end < 0:
                return None
            if text[end : end + 2] != "''":
                return text[1:end].replace("''", "'").rstrip()
            end += 2
    text = text.split("/", 1)[0].strip()
    if text in ("T", "F"):
        return text == "T"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        return None


def _astropy(raw: bytes | mmap.mmap) -> FitsFile:
    import io
    import warnings

    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        with fits.open(io.BytesIO(raw), memmap=False) as hdus:
            images: list[ImageHDU] = []
            filters: tuple[str, ...] | None = None
            for position, hdu in enumerate(hdus):
                if hdu.is_image and hdu.header.get("NAXIS", 0) > 0 and hdu.shape:
                    shape = tuple(hdu.shape)
                    array = hdu.data
                    if array is None:
                        continue
                    images.append(ImageHDU(position, _cards(hdu.header), shape, _constant(array)))
                elif hdu.name == "FILTERS" and "filter" in hdu.columns.names:
                    filters = tuple(str(name).strip() for name in hdu.data["filter"])
            return FitsFile(_cards(hdus[0].header), images, filters)


def _constant(array: NDArray[Any]) -> Callable[[], NDArray[Any]]:
    return lambda: array


def _cards(header: Any) -> dict[str, Card]:
    cards: dict[str, Card] = {}
    for card in header.cards:
        if isinstance(card.value, str | int | float | bool) and card.keyword not in (
            "",
            "COMMENT",
            "HISTORY",
        ):
            cards.setdefault(card.keyword.upper(), card.value)
    return cards
