"""Rows of the catalogue while it is made: a file of fixed records, in any order, from any process.

A row counts from the moment that its ``state`` is written; a process that is killed in between
leaves the row as it was, and the galaxy is made again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.errors import OutputError
from galgen.io.at import read_at, write_at
from galgen.io.atomic import ELSEWHERE

#: Values of ``state``: not yet made, written, left out because it never was what was asked for.
EMPTY, DONE, MISSED = 0, 1, 2
#: Rows that are read at a time.
_MANY = 4096


class Rows:
    """Records of a job in a file.

    Parameters
    ----------
    path
        Made where it is missing, lengthened where it is shorter.
    dtype
        Of a record; has a field ``state``.
    count
        Records.
    old
        Only a file that is there.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], count: int, *, old: bool = False) -> None:
        self.path, self.dtype, self.count = path, dtype, count
        try:
            self._file = os.open(
                path, os.O_RDWR | (0 if old else os.O_CREAT) | getattr(os, "O_BINARY", 0), 0o666
            )
            if os.fstat(self._file).st_size < count * dtype.itemsize:
                os.ftruncate(self._file, count * dtype.itemsize)
        except OSError as error:
            raise _trouble(path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def write(self, place: int, record: NDArray[Any]) -> None:
        """Keep records (n,) from a place on.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        data = np.ascontiguousarray(record, dtype=self.dtype).tobytes()
        try:
            write_at(self._file, data, place * self.dtype.itemsize)
        except OSError as error:
            raise _trouble(self.path, error) from error

    def read(self, first: int, count: int) -> NDArray[Any]:
        """Records (count,) from a place on."""
        size = self.dtype.itemsize
        data = read_at(self._file, count * size, first * size)
        return np.frombuffer(data, dtype=self.dtype)

    def all(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (first place, records) of all rows, some at a time."""
        for first in range(0, self.count, _MANY):
            yield first, self.read(first, min(_MANY, self.count - first))


def done(stores: Sequence[Rows]) -> Iterator[NDArray[Any]]:
    """Yield the records of galaxies that were written, some at a time, in order."""
    for store in stores:
        for _, rows in store.all():
            yield rows[rows["state"] == DONE]


def _trouble(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written ({error.strerror or error}): {ELSEWHERE}")
