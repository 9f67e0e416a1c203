"""The catalogue of a pack: names, files, the set's own columns and the cards of the headers.

``catalogue.fits`` has these tables, of which all but the first may be missing:

GALAXIES
    A row for each galaxy: ``name``, ``file`` (its first), and ``folder``, which is its class.
CATALOGUE
    Columns of the table that lay among the images, a row for each galaxy.
HEADERS
    A column for each card of the files' headers that differs between galaxies.
SHARED
    ``key`` and ``value`` of the cards that are the same in every galaxy.

Everything is text, as it stood in the table or as `str` gives it; a column is kept as a number
only where the number gives the same text back. A cell without a value is the empty text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from galgen.errors import DataError
from galgen.io.atomic import replacing
from galgen.io.cutout import one_line

Texts = Mapping[str, Sequence[str]]
#: Rows that become text at a time.
_CHUNK = 4096
#: Columns of a FITS table, and letters in the name of one.
_MOST, _LONGEST = 999, 68


@dataclass(frozen=True)
class Catalogue:
    """Text by galaxy: each sequence has one for each, in the order of the pack.

    `columns` are those of the set's own table, `headers` the cards by key.
    """

    names: Sequence[str]
    files: Sequence[str]
    folders: Sequence[str]
    columns: Texts = field(default_factory=dict)
    headers: Texts = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def refuse_columns(columns: Iterable[str], where: str) -> None:
    """Refuse a table that FITS cannot hold.

    Parameters
    ----------
    columns
        Their names.
    where
        Whose they are, for the message.

    Raises
    ------
    DataError
        If there are too many, or one has a name that FITS has no room or no letters for.
    """
    names = list(columns)
    if len(names) > _MOST:
        raise DataError(
            f"{where} has {len(names):,} columns, and the catalogue of a pack holds {_MOST}: "
            "remove those that are not needed."
        )
    for name in names:
        if not (name.isascii() and name.isprintable() and len(name) <= _LONGEST):
            raise DataError(
                f"{where} has a column {' '.join(name.split())[:40]!r}, and a name in the "
                "catalogue of a pack "
                f"is of at most {_LONGEST} plain (ASCII) letters: rename it."
            )


def joined(parts: Sequence[Catalogue]) -> Catalogue:
    """One catalogue after another; what one of them lacks is empty there."""

    def texts(kind: str) -> dict[str, list[str]]:
        keys = dict.fromkeys(key for part in parts for key in getattr(part, kind))
        return {
            key: [
                text
                for part in parts
                for text in (getattr(part, kind).get(key) or [""] * len(part))
            ]
            for key in keys
        }

    return Catalogue(
        [name for part in parts for name in part.names],
        [file for part in parts for file in part.files],
        [folder for part in parts for folder in part.folders],
        texts("columns"),
        texts("headers"),
    )


def write(path: str | Path, catalogue: Catalogue) -> None:
    """Write the tables, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from astropy.io import fits

    shared = {key: texts[0] for key, texts in catalogue.headers.items() if len(set(texts)) == 1}
    own = {"name": catalogue.names, "file": catalogue.files, "folder": catalogue.folders}
    tables = {
        "GALAXIES": {name: _bytes(texts) for name, texts in own.items()},
        "CATALOGUE": {name: _typed(texts) for name, texts in catalogue.columns.items()},
        "HEADERS": {
            key: _typed(texts) for key, texts in catalogue.headers.items() if key not in shared
        },
        "SHARED": {"key": _bytes(list(shared)), "value": _bytes(list(shared.values()))},
    }
    hdus: list[Any] = [fits.PrimaryHDU()]
    for name, columns in tables.items():
        if columns and len(next(iter(columns.values()))):
            made = [fits.Column(key, _code(array), array=array) for key, array in columns.items()]
            hdus.append(fits.BinTableHDU.from_columns(made, name=name))
    with replacing(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, overwrite=True)


def read(path: str | Path) -> Catalogue:
    """The catalogue of a pack; columns are decoded when they are looked at.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False, character_as_bytes=True) as hdus:
            tables = {hdu.name: np.asarray(hdu.data) for hdu in hdus[1:]}
        galaxies = Columns(tables["GALAXIES"])
        headers = Columns(tables.get("HEADERS"), len(galaxies["name"]))
        if "SHARED" in tables:
            both = Columns(tables["SHARED"])
            headers.shared.update(zip(both["key"], both["value"], strict=True))
        return Catalogue(
            galaxies["name"],
            galaxies["file"],
            galaxies["folder"],
            Columns(tables.get("CATALOGUE")),
            headers,
        )
    # Damage shows as any exception of astropy's.
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as the catalogue of a pack ({one_line(error)}): pack the set "
            "again."
        ) from error


class Column(Sequence[str]):
    """A column as text that is made when it is looked at; a list of a million takes 80 MB."""

    def __init__(self, column: NDArray[Any]) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return _texts(self._column[row])
        return _text(self._column[row].item())

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _CHUNK):
            yield from self[first : first + _CHUNK]


class Columns(Mapping[str, Sequence[str]]):
    """Columns of a FITS table as text."""

    def __init__(self, table: NDArray[Any] | None, rows: int = 0) -> None:
        self._table, self._rows = table, rows
        #: Text that stands for every row.
        self.shared: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        names = () if self._table is None else self._table.dtype.names or ()
        return iter((*names, *self.shared))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Sequence[str]:
        if name in self.shared:
            return [self.shared[name]] * self._rows
        return Column(self._column(name))

    def numbers(self, name: str) -> NDArray[Any] | None:
        """A column that is kept as numbers, with NaN for an empty text; None for any other."""
        if name in self.shared or self._column(name).dtype.kind == "S":
            return None
        column = self._column(name)
        return column.astype(column.dtype.newbyteorder("="))

    def present(self) -> NDArray[np.bool_]:
        """Rows in which anything stands: a galaxy may have none in the table of its set."""
        names = () if self._table is None else self._table.dtype.names or ()
        columns = [self._column(name) for name in names]
        if self.shared or not columns or any(column.dtype.kind == "i" for column in columns):
            return np.ones(self._rows if self._table is None else len(self._table), dtype=np.bool_)
        there = [c != b"" if c.dtype.kind == "S" else ~np.isnan(c) for c in columns]
        return np.logical_or.reduce(there)

    def _column(self, name: str) -> NDArray[Any]:
        if self._table is None or name not in (self._table.dtype.names or ()):
            raise KeyError(name)
        column: NDArray[Any] = self._table[name]
        return column


class Rows(Mapping[str, Sequence[str]]):
    """Some rows of columns of text, each taken when it is asked for."""

    def __init__(self, columns: Texts, rows: NDArray[np.int64]) -> None:
        self._columns, self._rows = columns, rows.tolist()

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, name: str) -> Sequence[str]:
        column = self._columns[name]
        return [column[row] for row in self._rows]


def _bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([text.encode() for text in texts], dtype=np.bytes_)


def _typed(texts: Sequence[str]) -> NDArray[Any]:
    """Integers or floats where they give every text back, NaN for an empty one; else bytes."""
    kinds: tuple[Any, ...] = (np.int64, np.float64)
    for kind in kinds:
        try:
            array = np.array(
                [text if text or kind is np.int64 else "nan" for text in texts]
            ).astype(kind)
        except (ValueError, OverflowError):
            continue
        if _texts(array) == list(texts):
            return array
    return _bytes(texts)


def _texts(column: NDArray[Any]) -> list[str]:
    values = column.tolist()
    if column.dtype.kind == "S":
        return [value.decode() for value in values]
    return [_text(value) for value in values]


def _text(value: bytes | float | int) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return "" if value != value else str(value)


def _code(array: NDArray[Any]) -> str:
    if array.dtype.kind == "S":
        return f"{max(1, array.dtype.itemsize)}A"
    return "K" if array.dtype.kind == "i" else "D"
