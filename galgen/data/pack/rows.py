"""The catalogue of a pack of generated galaxies, written a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from galgen.io import image_stem
from galgen.io.atomic import replacing

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

_BLOCK = 2880


def write_rows(path: str | Path, count: int, chunks: Iterable[NDArray[Any]]) -> tuple[str, ...]:
    """Write the tables GALAXIES and CATALOGUE, see `galgen.data.pack.catalogue`, whole or not.

    Parameters
    ----------
    path
        The file.
    count
        Rows in all.
    chunks
        Structured arrays of one type, `count` rows together. ``file`` gives the galaxies' names,
        ``label``, where there is one, their classes; all other columns stay as they are, truth
        values as 0 and 1.

    Returns
    -------
    tuple of str
        The classes, sorted; none where a galaxy has no label or all have the same.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    labels: set[bytes] = set()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        done = 0
        tables: list[_Table] = []
        for chunk in chunks:
            own, rest = _galaxies(chunk), _others(chunk)
            if not tables:
                file.write(_primary())
                tables = [_Table(file, "GALAXIES", own.dtype, count)]
                tables += [_Table(file, "CATALOGUE", rest.dtype, count)] if rest.dtype.names else []
            for table, rows in zip(tables, (own, rest), strict=False):
                table.write(done, rows)
            done += len(chunk)
            labels.update(np.unique(own["folder"]).tolist())
        if done != count:
            raise ValueError(f"{done} rows for {count} galaxies")
    return () if b"" in labels or len(labels) < 2 else tuple(sorted(x.decode() for x in labels))


class _Table:
    """A binary table of known length at the end of a file, filled from its first row on."""

    def __init__(self, file: BinaryIO, name: str, dtype: np.dtype[Any], count: int) -> None:
        from astropy.io import fits

        self.dtype = np.dtype([(str(n), _big(dtype[n])) for n in dtype.names or ()])
        empty = [
            fits.Column(key, _code(self.dtype[key]), array=np.empty(0, self.dtype[key]))
            for key in self.dtype.names or ()
        ]
        header = fits.BinTableHDU.from_columns(empty, name=name).header
        header["NAXIS2"] = count
        assert header["NAXIS1"] == self.dtype.itemsize
        file.seek(0, 2)
        file.write(header.tostring().encode("ascii"))
        self.file, self.first = file, file.tell()
        size = count * self.dtype.itemsize
        # FITS is made of blocks, the last one filled up with zeros.
        file.truncate(self.first + size + -size % _BLOCK)

    def write(self, row: int, rows: NDArray[Any]) -> None:
        self.file.seek(self.first + row * self.dtype.itemsize)
        self.file.write(rows.astype(self.dtype).tobytes())


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


def _others(chunk: NDArray[Any]) -> NDArray[Any]:
    """All columns but ``file``, with text as bytes and truth as a number."""
    names = [name for name in chunk.dtype.names or () if name != "file"]
    columns = {name: chunk[name] for name in names}
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
