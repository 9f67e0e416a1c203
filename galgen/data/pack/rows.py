"""The catalogue of a pack of generated galaxies, written a chunk of rows at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galgen.io import image_stem
from galgen.io.atomic import replacing

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

_BLOCK = 2880
_MANY = 1024**2


class Written(NamedTuple):
    """What a catalogue says: the sample number of each row, and the classes, sorted.

    There are no classes where a galaxy has no label or all have the same.
    """

    samples: NDArray[np.int64]
    classes: tuple[str, ...]


def write_rows(path: str | Path, chunks: Iterable[NDArray[Any]]) -> Written:
    """Write the tables GALAXIES and CATALOGUE, see `galgen.data.pack.catalogue`, whole or not.

    Parameters
    ----------
    path
        The file.
    chunks
        Structured arrays of one type. ``file`` gives the galaxies' names, ``label``, where there
        is one, their classes; all columns stay as they are, truth values as 0 and 1.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    labels: set[bytes] = set()
    samples = [np.empty(0, np.int64)]
    with (
        replacing(path) as temporary,
        open(temporary, "wb") as file,
        # A file without a name: its rows follow in the other one, once it is known how many.
        tempfile.TemporaryFile(dir=temporary.parent) as aside,
    ):
        tables: list[_Table] = []
        for chunk in chunks:
            own, rest = _galaxies(chunk), _plain(chunk)
            if not tables:
                file.write(_primary())
                tables = [
                    _Table(file, "GALAXIES", own.dtype),
                    _Table(aside, "CATALOGUE", rest.dtype),
                ]
            for table, rows in zip(tables, (own, rest), strict=True):
                table.write(rows)
            samples.append(chunk["sample"].astype(np.int64))
            labels.update(np.unique(own["folder"]).tolist())
        for table in tables:
            table.end()
        aside.seek(0)
        shutil.copyfileobj(aside, file, _MANY)
    return Written(
        np.concatenate(samples),
        () if b"" in labels or len(labels) < 2 else tuple(sorted(x.decode() for x in labels)),
    )


class _Table:
    """A binary table at the end of a file, as long as what is written to it.

    `galgen.io.table.write_table` is for one table in a file whose length is known before.
    """

    def __init__(self, file: IO[bytes], name: str, dtype: np.dtype[Any]) -> None:
        from astropy.io import fits

        self.dtype = np.dtype([(str(n), _big(dtype[n])) for n in dtype.names or ()])
        empty = [
            fits.Column(key, _code(self.dtype[key]), array=np.empty(0, self.dtype[key]))
            for key in self.dtype.names or ()
        ]
        self.header = fits.BinTableHDU.from_columns(empty, name=name).header
        assert self.header["NAXIS1"] == self.dtype.itemsize
        self.file, self.first, self.rows = file, file.tell(), 0
        file.write(self.header.tostring().encode("ascii"))

    def write(self, rows: NDArray[Any]) -> None:
        self.rows += len(rows)
        self.file.write(rows.astype(self.dtype).tobytes())

    def end(self) -> None:
        """Fill up the last block, of which FITS is made, and say how many rows there are."""
        self.file.write(bytes(-self.rows * self.dtype.itemsize % _BLOCK))
        self.header["NAXIS2"] = self.rows
        self.file.seek(self.first)
        self.file.write(self.header.tostring().encode("ascii"))
        self.file.seek(0, os.SEEK_END)


def _primary() -> bytes:
    from astropy.io import fits

    header = fits.PrimaryHDU().header
    header["EXTEND"] = True
    return bytes(header.tostring().encode("ascii"))


def _galaxies(chunk: NDArray[Any]) -> NDArray[Any]:
    """The table GALAXIES of some rows."""
    files = _text(chunk["file"])
    folders = _text(chunk["label"]) if "label" in (chunk.dtype.names or ()) else None
    types: list[tuple[str, DTypeLike]] = [("name", files.dtype), ("file", files.dtype)]
    found = np.zeros(len(chunk), [*types, ("folder", "S1" if folders is None else folders.dtype)])
    found["name"] = [image_stem(file.decode()).encode() for file in files.tolist()]
    found["file"] = files
    if folders is not None:
        found["folder"] = folders
    return found


def _plain(chunk: NDArray[Any]) -> NDArray[Any]:
    """All columns, with text as bytes and truth as a number."""
    columns = {name: chunk[name] for name in chunk.dtype.names or ()}
    for name, column in columns.items():
        if column.dtype.kind in "SU":
            columns[name] = _text(column)
        elif column.dtype.kind in "biu":
            columns[name] = column.astype(np.int64)
        else:
            columns[name] = column.astype(np.float64)
    found = np.empty(len(chunk), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        found[name] = column
    return found


def _text(column: NDArray[Any]) -> NDArray[np.bytes_]:
    """Text as UTF-8, as wide in every chunk."""
    if column.dtype.kind == "S":
        return column.astype(f"S{max(1, column.dtype.itemsize)}")
    letters = column.dtype.itemsize // 4
    return np.char.encode(column, "utf-8").astype(f"S{max(1, 4 * letters)}")


def _big(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder(">")


def _code(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "S":
        return f"{dtype.itemsize}A"
    return "K" if dtype.kind == "i" else "D"
