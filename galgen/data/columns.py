"""Facts of each galaxy from a table beside the images, from headers, or from class folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.data.folder import Entry
from galgen.data.numbers import Source, refuse_two
from galgen.data.table import (
    Table,
    find_table,
    folder_catalogue,
    numbers_of,
    passes,
    read_table,
    split_column,
)
from galgen.data.wanted import CATALOGUE, HEADER, Wanted
from galgen.errors import ConfigError, DataError
from galgen.io.cutout import Card


def open_table(
    root: Path, name: str, names: Sequence[str], option: str
) -> tuple[Table, NDArray[np.int64]]:
    """A table and its row of each galaxy, -1 for none; `option` is what messages name.

    Raises
    ------
    DataError
        If it cannot be read or no column holds the files' names.
    """
    table = read_table(find_table(root, name, option))
    rows = table.match(names)
    if rows is None:
        raise DataError(
            f"{table.path} has no column that names the files of {root}: add one called file."
        )
    return table, rows


def doubled(table: Table, names: Sequence[str], doubles: Mapping[int, Sequence[int]]) -> list[str]:
    """A note where galaxies have several rows, `doubles` from `Table.doubles`."""
    if not doubles:
        return []
    galaxy, rows = next(iter(doubles.items()))
    times = "twice" if len(rows) == 2 else f"{len(rows)} times"
    rest = len(doubles) - 1
    files = "1 more file" if rest == 1 else f"{rest} more files"
    more = f" and {files} more than once" if rest else ""
    return [f"{table.path.name} names {names[galaxy]} {times}{more}: the first row counts."]


def table_name(root: Path, file: str, said: str, otherwise: str = "") -> str:
    """Name of a table, which is the folder's own for the word ``catalogue``.

    `said` begins the message where it has none, and `otherwise` ends it.

    Raises
    ------
    ConfigError
        If the folder has none.
    """
    if file != CATALOGUE:
        return file
    own = folder_catalogue(root)
    if own is None:
        raise ConfigError(
            f"{said}: {root} holds no table called catalogue.csv or catalogue.fits; name one as "
            f"FILE:COLUMN{otherwise}."
        )
    return own.name


def source_of(
    root: Path, names: Sequence[str], headers: Sequence[Mapping[str, Card]]
) -> Callable[[Wanted], Source]:
    """Where the numbers of a folder come from, for `galgen.data.numbers.gather`."""
    opened: dict[str, Source] = {}

    def of(wanted: Wanted) -> Source:
        if wanted.source not in opened:
            opened[wanted.source] = _source(wanted)
        return opened[wanted.source]

    def _source(wanted: Wanted) -> Source:
        if wanted.source == HEADER:
            keys = dict.fromkeys(key for header in headers for key in header)
            if not keys:
                raise ConfigError(f"{wanted}: the images of {root} have no headers.")
            columns = {key: [str(header.get(key, "")) for header in headers] for key in keys}
            return Source("the header", columns, np.arange(len(names)), names)
        name = table_name(root, wanted.source, str(wanted), ", or measure it (measure:NAME)")
        table, rows = open_table(root, name, names, str(wanted))
        doubles = table.doubles(names)
        notes = doubled(table, names, doubles)
        return Source(table.path.name, table.columns, rows, names, doubles, notes)

    return of


def column_of(
    text: str,
    option: str,
    root: Path,
    names: Sequence[str],
    headers: Sequence[Mapping[str, Card]] = (),
    notes: list[str] | None = None,
) -> list[str | None]:
    """Values of ``FILE:COLUMN``, ``catalogue:COLUMN`` or ``header:KEY``, None for none.

    A table that names a file twice is noted.

    Raises
    ------
    ConfigError, DataError
        If there is no such table or column, or it says two things of one galaxy.
    """
    file, key = split_column(text, option)
    if file == "header":
        values = [header.get(key.upper()) for header in headers]
        return [None if value is None else str(value) for value in values]
    said = f"{option} {text}"
    table, rows = open_table(root, table_name(root, file, said), names, said)
    column = table.column(key, option)
    doubles = table.doubles(names)
    refuse_two(said, table.path.name, key, column, names, doubles)
    if notes is not None:
        notes += [note for note in doubled(table, names, doubles) if note not in notes]
    return [column[row] if row >= 0 and column[row] != "" else None for row in rows]


def require(values: Sequence[str | None], names: Sequence[str], text: str) -> list[str]:
    """The values, if every galaxy has one.

    Raises
    ------
    DataError
        If some have none.
    """
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    if missing:
        raise DataError(
            f"{text} gives no value for {len(missing)} of {len(names)} galaxies, "
            f"for example {missing[0]}: complete it or remove those files."
        )
    return [value for value in values if value is not None]


def floats(values: Sequence[str | None], text: str) -> NDArray[np.float64]:
    """Numbers, NaN where a galaxy has none.

    Raises
    ------
    DataError
        If a value is no number.
    """
    try:
        return np.array([np.nan if value is None else float(value) for value in values])
    except ValueError as error:
        raise DataError(f"{text} holds something else than numbers ({error}).") from None


def selected(root: Path, entries: Sequence[Entry], select: str, notes: list[str]) -> list[Entry]:
    """Galaxies whose row of a table passes every comparison; those without a row do not.

    Raises
    ------
    ConfigError
        If a comparison is wrong or nothing passes.
    """
    file, colon, conditions = select.partition(":")
    if not colon:
        found = folder_catalogue(root)
        if found is None:
            raise ConfigError(f"{root} holds no catalogue: name it, data.select=FILE:{select}.")
        file, conditions = found.name, select
    names = [entry.name for entry in entries]
    table, rows = open_table(root, file, names, "data.select")
    notes += doubled(table, names, table.doubles(names))
    good = passes(table, conditions)
    kept = [entry for entry, row in zip(entries, rows, strict=True) if row >= 0 and good[row]]
    if not kept:
        raise ConfigError(f"data.select={select} leaves none of {len(entries)} galaxies of {root}.")
    notes.append(f"{len(kept)} of {len(entries)} galaxies pass {conditions}.")
    return kept


def catalogue_of(root: Path, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Columns of the folder's own catalogue, if it has one that names the files."""
    path = folder_catalogue(root)
    if path is None:
        return {}
    table = read_table(path)
    rows = table.match(names)
    if rows is None:
        return {}
    return {
        key: numbers_of([column[row] if row >= 0 else "" for row in rows])
        for key, column in table.columns.items()
    }
