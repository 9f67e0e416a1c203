"""FITS tables of any length, written and read in pieces: memory holds one piece.

A table is one binary table behind an empty primary HDU. Its bytes follow from its rows and cards
alone: DATASUM and CHECKSUM carry no time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError
from galgen.io.atomic import replacing
from galgen.io.cards import (
    BLOCK,
    END,
    LENGTH,
    Value,
    fits_text,
    fitting,
    join_cards,
    padded,
    split_cards,
)
from galgen.io.checksum import fold, sum_of_bytes
from galgen.io.hdu import parse_header
from galgen.io.heads import SUM_CARDS, Head, astropy_headers, say_if_long

#: Kind and width of a column in numpy -> letter of TFORMn.
_LETTERS = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
_DTYPES = {letter: text for text, letter in _LETTERS.items()}
_FORM = re.compile(r"(\d*)([LBIJKEDA])$")


def write_table(
    path: str | Path,
    dtype: Any,
    rows: Iterable[NDArray[Any]],
    count: int,
    cards: Mapping[str, Value | tuple[Value, str]] | None = None,
    units: Mapping[str, str] | None = None,
) -> None:
    """Write a table under a temporary name that is then renamed.

    Parameters
    ----------
    path
        File to write; one of the same name is replaced.
    dtype
        A structured dtype. Its fields are bool, uint8, int16, int32, int64, float32, float64
        or texts of fixed width (``S10``), one number or text to a row.
    rows
        Arrays with these fields in this order, each of any length.
    count
        How many rows they have together.
    cards
        For the table's header: keyword to value, or to value and comment.
    units
        Of the columns that have one, by name.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    native = np.dtype(dtype)
    stored = np.dtype([(name, _stored(native[name], name)) for name in native.names or ()])
    primary, head = _heads(native, stored, count, cards or {}, units or {})
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(primary.fill([], 0))
        begin = file.tell()
        file.write(head.blank)
        written, total = 0, 0
        for piece in rows:
            part = _as_stored(piece, native, stored).tobytes()
            # A row may end in the middle of a word of the sum.
            before = written % 4
            total += sum_of_bytes(bytes(before) + part if before else part)
            file.write(part)
            written += len(part)
        if written != count * stored.itemsize:
            raise ValueError(f"{written // stored.itemsize} rows in place of {count}")
        file.write(bytes(padded(written) - written))
        file.seek(begin)
        file.write(head.fill([], fold(total)))


def _stored(column: np.dtype[Any], name: str) -> str:
    """Dtype of a column as FITS has it."""
    code = column.kind + str(column.itemsize)
    if column.kind == "S":
        return f"S{max(1, column.itemsize)}"
    if code not in _LETTERS or column.shape:
        raise ValueError(f"column {name} is of {column}, which no table here holds")
    return "u1" if code == "b1" else f">{code}"


def _heads(
    native: np.dtype[Any],
    stored: np.dtype[Any],
    count: int,
    cards: Mapping[str, Value | tuple[Value, str]],
    units: Mapping[str, str],
) -> tuple[Head, Head]:
    from astropy.io import fits

    header = fits.Header()
    for keyword, fact, comment in (
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", stored.itemsize, "bytes in a row"),
        ("NAXIS2", count, "number of rows"),
        ("PCOUNT", 0, "number of group parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("TFIELDS", len(stored.names or ()), "number of columns"),
    ):
        header[keyword] = (fact, comment)
    for k, name in enumerate(native.names or (), start=1):
        code = native[name].kind + str(native[name].itemsize)
        header[f"TTYPE{k}"] = fits_text(name)
        header[f"TFORM{k}"] = f"{stored[name].itemsize}A" if code[0] == "S" else _LETTERS[code]
        if name in units:
            header[f"TUNIT{k}"] = fits_text(units[name])
    for keyword, card in cards.items():
        value, comment = card if isinstance(card, tuple) else (card, "")
        value = fits_text(value) if isinstance(value, str) else value
        header[keyword] = (value, fitting(value, fits_text(comment)))
    say_if_long(header)
    # With a table behind it a primary HDU says that there may be one.
    (first, _) = astropy_headers([fits.PrimaryHDU(), fits.BinTableHDU()])
    images = split_cards(header.tostring().encode("ascii"))
    return Head.of(first), Head.of(join_cards(images + SUM_CARDS))


def _as_stored(piece: NDArray[Any], native: np.dtype[Any], stored: np.dtype[Any]) -> NDArray[Any]:
    if piece.dtype.names != native.names:
        raise ValueError(f"rows with {piece.dtype.names} in place of {native.names}")
    out = np.empty(len(piece), stored)
    for name in native.names or ():
        column = piece[name]
        if native[name].kind == "b":
            column = np.where(column, np.uint8(ord("T")), np.uint8(ord("F")))
        out[name] = column
    return out


def read_table(path: str | Path, rows: int = 65536) -> Iterator[NDArray[Any]]:
    """Rows of a table of `write_table` as structured arrays, at most `rows` at a time.

    Raises
    ------
    DataError
        If the file is missing, cut short or holds another kind of table.
    """
    try:
        with open(path, "rb") as file:
            yield from _pieces(file, path, rows)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path} cannot be read as a table ({reason}).") from error


def _header(file: BinaryIO, path: str | Path) -> dict[str, Any]:
    """Cards of the header that begins here; the file is then at its data."""
    raw = b""
    while not any(raw[at : at + LENGTH] == END for at in range(len(raw) - BLOCK, len(raw), LENGTH)):
        block = file.read(BLOCK)
        if len(block) < BLOCK or (not raw and block[:6] not in (b"SIMPLE", b"XTENSI")):
            raise DataError(f"{path} is no whole FITS table.")
        raw += block
    return parse_header(raw, 0, path)[0]


def _pieces(file: BinaryIO, path: str | Path, rows: int) -> Iterator[NDArray[Any]]:
    _header(file, path)
    header = _header(file, path)
    if header.get("XTENSION") != "BINTABLE" or header.get("PCOUNT", 0) != 0:
        raise DataError(f"{path} has no plain table behind its first HDU.")
    names = [str(header[f"TTYPE{k}"]) for k in range(1, int(header["TFIELDS"]) + 1)]
    stored, native = [], []
    for k, name in enumerate(names, start=1):
        form = _FORM.match(str(header[f"TFORM{k}"]))
        if form is None or (form[2] != "A" and form[1] not in ("", "1")) or f"TSCAL{k}" in header:
            raise DataError(f"{path} holds the column {name} in a form that galgen never writes.")
        text = f"S{form[1] or 1}" if form[2] == "A" else _DTYPES[form[2]]
        native.append((name, text))
        stored.append((name, "u1" if text == "b1" else text if text[0] == "S" else f">{text}"))
    left, dtype, plain = int(header["NAXIS2"]), np.dtype(stored), np.dtype(native)
    while left:
        raw = file.read(min(rows, left) * dtype.itemsize)
        piece = np.frombuffer(raw, dtype, len(raw) // dtype.itemsize)
        if len(piece) < min(rows, left):
            raise DataError(f"{path} is truncated: {left - len(piece):,} rows are missing.")
        out = np.empty(len(piece), plain)
        for name in names:
            column = piece[name]
            out[name] = column == ord("T") if plain[name].kind == "b" else column
        yield out
        left -= len(piece)
