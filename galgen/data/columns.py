"""Facts of each galaxy from a table beside the images or from headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from galgen.data.classes import label_of
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


@dataclass(frozen=True)
class Opened:
    """A table, its row of each galaxy (-1 for none), and the rows of those that have several."""

    table: Table
    rows: NDArray[np.int64]
    doubles: Mapping[int, Sequence[int]] = field(default_factory=dict)


class Origin(Protocol):
    """Where the facts of some galaxies stand: beside the images and in them, or in a pack.

    Attributes
    ----------
    root
        Folder of the images, or the pack.
    names
        Of the galaxies.
    """

    @property
    def root(self) -> Path: ...
    @property
    def names(self) -> Sequence[str]: ...

    def table(self, file: str, said: str, otherwise: str = "") -> Opened:
        """A table by name, the set's own for the word ``catalogue``.

        `said` begins every message, and `otherwise` ends the one that there is no such table.

        Raises
        ------
        DataError
            If it cannot be read or no column holds the files' names.
        ConfigError
            If the set has no table of its own.
        """
        ...

    def own(self) -> str | None:
        """Name of the table that belongs to the set."""
        ...

    def headers(self) -> tuple[Mapping[str, Sequence[str]], NDArray[np.int64]]:
        """Cards by key, the empty text for none, and each galaxy's row in those columns."""
        ...

    def only(self, names: Sequence[str]) -> Self:
        """Some of the galaxies, in this order."""
        ...


@dataclass(frozen=True)
class FolderOrigin:
    """The `Origin` of a folder; `cards` are the headers, one for each galaxy or none at all."""

    root: Path
    names: Sequence[str]
    cards: Sequence[Mapping[str, Card]] = ()

    def own(self) -> str | None:
        """Name of the folder's own table."""
        path = folder_catalogue(self.root)
        return None if path is None else path.name

    def table(self, file: str, said: str, otherwise: str = "") -> Opened:
        """A table in the folder or by its path; see `Origin.table`."""
        if file == CATALOGUE:
            file = self.own() or refuse_no_table(self.root, said, otherwise)
        table = read_table(find_table(self.root, file, said))
        rows = table.match(self.names)
        if rows is None:
            raise DataError(f"{table.path} has {table.unmatched(self.names, str(self.root))}.")
        return Opened(table, rows, table.doubles(self.names))

    def headers(self) -> tuple[Mapping[str, Sequence[str]], NDArray[np.int64]]:
        """Cards of the files as columns."""
        keys = dict.fromkeys(key for header in self.cards for key in header)
        columns = {key: [str(header.get(key, "")) for header in self.cards] for key in keys}
        return columns, np.arange(len(self.names))

    def only(self, names: Sequence[str]) -> FolderOrigin:
        """Some of the galaxies."""
        by_name = dict(zip(self.names, self.cards, strict=True)) if self.cards else {}
        return FolderOrigin(self.root, names, [by_name[name] for name in names if by_name])


def refuse_no_table(root: Path, said: str, otherwise: str) -> NoReturn:
    """Say that a set has no table of its own.

    Raises
    ------
    ConfigError
        Always.
    """
    raise ConfigError(
        f"{said}: {root} holds no table called catalogue.csv or catalogue.fits; name one as "
        f"FILE:COLUMN{otherwise}."
    )


def _doubled(opened: Opened, names: Sequence[str]) -> list[str]:
    """A note where galaxies have several rows."""
    if not opened.doubles:
        return []
    galaxy, rows = next(iter(opened.doubles.items()))
    times = "twice" if len(rows) == 2 else f"{len(rows)} times"
    rest = len(opened.doubles) - 1
    files = "1 more file" if rest == 1 else f"{rest} more files"
    more = f" and {files} more than once" if rest else ""
    return [f"{opened.table.path.name} names {names[galaxy]} {times}{more}: the first row counts."]


def source_of(origin: Origin) -> Callable[[Wanted], Source]:
    """Where the numbers of a set come from, for `galgen.data.numbers.gather`."""
    opened: dict[str, Source] = {}

    def of(wanted: Wanted) -> Source:
        if wanted.source not in opened:
            opened[wanted.source] = _source(wanted)
        return opened[wanted.source]

    def _source(wanted: Wanted) -> Source:
        if wanted.source == HEADER:
            columns, rows = origin.headers()
            if not columns:
                raise ConfigError(f"{wanted}: the images of {origin.root} have no headers.")
            return Source("the header", columns, rows, origin.names)
        found = origin.table(wanted.source, str(wanted), ", or measure it (measure:NAME)")
        notes = _doubled(found, origin.names)
        table = found.table
        return Source(
            table.path.name, table.columns, found.rows, origin.names, found.doubles, notes
        )

    return of


def column_of(
    text: str, option: str, origin: Origin, notes: list[str] | None = None
) -> list[str | None]:
    """Values of ``FILE:COLUMN``, ``catalogue:COLUMN`` or ``header:KEY``, None for none.

    A table that names a file twice is noted.

    Raises
    ------
    ConfigError, DataError
        If there is no such table or column, or it says two things of one galaxy.
    """
    file, key = split_column(text, option)
    if file == HEADER:
        columns, rows = origin.headers()
        column = columns.get(key.upper())
        if column is None:
            return [None] * len(origin.names)
    else:
        found = origin.table(file, f"{option} {text}")
        column, rows = found.table.column(key, option), found.rows
        refuse_two(
            f"{option} {text}", found.table.path.name, key, column, origin.names, found.doubles
        )
        if notes is not None:
            notes += [note for note in _doubled(found, origin.names) if note not in notes]
    return [column[row] if row >= 0 and column[row] != "" else None for row in rows.tolist()]


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


def selected(origin: Origin, select: str, notes: list[str]) -> NDArray[np.int64]:
    """Places of the galaxies whose row of a table passes every comparison.

    Those without a row do not.

    Raises
    ------
    ConfigError
        If a comparison is wrong or nothing passes.
    """
    file, colon, conditions = select.partition(":")
    if not colon:
        own = origin.own()
        if own is None:
            raise ConfigError(
                f"{origin.root} holds no catalogue: name it, data.select=FILE:{select}."
            )
        file, conditions = own, select
    found = origin.table(file, "data.select")
    notes += _doubled(found, origin.names)
    good = passes(found.table, conditions)
    kept = np.flatnonzero((found.rows >= 0) & good[found.rows])
    if not len(kept):
        raise ConfigError(
            f"data.select={select} leaves none of {len(origin.names)} galaxies of {origin.root}."
        )
    notes.append(f"{len(kept)} of {len(origin.names)} galaxies pass {conditions}.")
    return kept


def unlabelled(origin: Origin, labels: str, notes: list[str]) -> NDArray[np.bool_]:
    """Which galaxies a table of labels says nothing of; headers are looked at later.

    Raises
    ------
    ConfigError
        If it has a label for none of them.
    """
    if labels.startswith(f"{HEADER}:"):
        return np.zeros(len(origin.names), dtype=np.bool_)
    found = column_of(labels, "--labels", origin, notes)
    without = np.array([label_of(value) is None for value in found], dtype=np.bool_)
    if without.all():
        raise ConfigError(f"--labels {labels} has a label for none of the images of {origin.root}.")
    return without


def catalogue_of(origin: FolderOrigin) -> dict[str, NDArray[np.generic]]:
    """Columns of the folder's own catalogue, if it has one that names the files."""
    path = folder_catalogue(origin.root)
    if path is None:
        return {}
    table = read_table(path)
    rows = table.match(origin.names)
    if rows is None:
        return {}
    return {
        key: numbers_of([column[row] if row >= 0 else "" for row in rows])
        for key, column in table.columns.items()
    }
