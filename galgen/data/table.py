"""Tables beside images: labels, groups, selections and redshifts by column."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.errors import ConfigError, DataError
from galgen.io import file_kind, image_stem
from galgen.io.cutout import one_line

#: Names under which a table in a folder of images is found without being asked for.
CATALOGUE_NAMES = tuple(
    stem + suffix
    for stem in ("catalogue", "catalog", "labels")
    for suffix in (".csv", ".fits", ".fits.gz")
)
_NAME_COLUMNS = ("file", "filename", "file_name", "name", "id", "objid", "object_id")
_CONDITION = re.compile(r"^\s*(\w+)\s*(==|!=|>=|<=|=|>|<)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Table:
    """Columns of text, as they stand in the file: identifiers of 17 digits stay exact."""

    path: Path
    columns: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str, option: str) -> Sequence[str]:
        """One column; `option` is what the error message names.

        Raises
        ------
        ConfigError
            If there is no such column.
        """
        return self.columns[pick(self.columns, name, str(self.path), option)]

    def match(self, names: Sequence[str]) -> NDArray[np.int64] | None:
        """Row of each galaxy, -1 where the table has none; None if the table names no file.

        The column is the first of file, name, id, ... or else the first one at all in which
        at least half of the galaxies are found, with or without ending and folder.
        """
        found = self._matched(names)
        return None if found is None else found[1]

    def doubles(self, names: Sequence[str]) -> dict[int, list[int]]:
        """Rows of the galaxies that have several, by the galaxy's place among `names`."""
        found = self._matched(names)
        if found is None:
            return {}
        rows: dict[str, list[int]] = {}
        for row, value in enumerate(self.columns[found[0]]):
            rows.setdefault(_aliases(value)[0], []).append(row)
        own = {several[0]: several for several in rows.values() if len(several) > 1}
        return {k: own[row] for k, row in enumerate(found[1].tolist()) if row in own}

    def unmatched(self, names: Sequence[str], where: str) -> str:
        """Why `match` gives None for the galaxies of `where`, as the end of a sentence."""
        likely = [column for column in self.columns if column.lower() in _NAME_COLUMNS]
        if not likely:
            return f"no column that names the files of {where}: add one called file"
        counts = {column: int((self._rows(column, names) >= 0).sum()) for column in likely}
        best = max(likely, key=lambda column: counts[column])
        return (
            f"a column {best} that names {counts[best]:,} of the {len(names):,} galaxies of "
            f"{where}, and it takes half of them: complete it"
        )

    def _rows(self, column: str, names: Sequence[str]) -> NDArray[np.int64]:
        rows: dict[str, int] = {}
        for row, value in enumerate(self.columns[column]):
            for alias in _aliases(value):
                rows.setdefault(alias, row)
        return np.array([_first_row(rows, name) for name in names], dtype=np.int64)

    def _matched(self, names: Sequence[str]) -> tuple[str, NDArray[np.int64]] | None:
        ordered = [c for key in _NAME_COLUMNS for c in self.columns if c.lower() == key]
        ordered += [column for column in self.columns if column not in ordered]
        for column in ordered:
            found = self._rows(column, names)
            if len(found) and (found >= 0).mean() >= 0.5:
                return column, found
        return None


def pick(columns: Iterable[str], name: str, where: str, option: str, otherwise: str = "") -> str:
    """The column of that name, whatever its case if only one is called so.

    Parameters
    ----------
    columns
        Names that there are.
    where, option
        What holds them and who asked, for the message; `otherwise` ends it.

    Raises
    ------
    ConfigError
        If there is no such column.
    """
    have = list(columns)
    if name in have:
        return name
    folded = [column for column in have if column.lower() == name.lower()]
    if len(folded) == 1:
        return folded[0]
    near = difflib.get_close_matches(name, have, 1)
    hint = f"did you mean {near[0]!r}" if near else f"it has {', '.join(have)}"
    raise ConfigError(f"{where} has no column {name!r} ({option}); {hint}{otherwise}.")


def _aliases(value: str) -> tuple[str, ...]:
    text = value.strip().replace("\\", "/")
    plain = text if file_kind(text) is None else text[: len(text) - len(_ending(text))]
    return tuple(dict.fromkeys((plain, plain.rsplit("/", 1)[-1])))


def _ending(text: str) -> str:
    name = text.rsplit("/", 1)[-1]
    return name[len(image_stem(name)) :]


def _first_row(rows: dict[str, int], name: str) -> int:
    return rows.get(name, rows.get(name.rsplit("/", 1)[-1], -1))


def read_table(path: Path) -> Table:
    """Read a CSV or FITS table.

    Raises
    ------
    DataError
        If it is missing, empty or no table.
    """
    if not path.is_file():
        raise DataError(f"the table {path} does not exist.")
    try:
        columns = _read_csv(path) if file_kind(path) != "fits" else _read_fits_table(path)
    # A damaged FITS table shows as any exception of astropy's.
    except Exception as error:
        raise DataError(f"{path} cannot be read as a table ({one_line(error)}).") from error
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{path} is a table without rows.")
    return Table(path, columns)


def _read_csv(path: Path) -> dict[str, list[str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    if not rows:
        return {}
    names = [name.strip() for name in rows[0]]
    for row in rows[1:]:
        if len(row) != len(names):
            raise ValueError(f"a row of {len(row)} values under {len(names)} column names")
    return {name: [row[k].strip() for row in rows[1:]] for k, name in enumerate(names)}


def _read_fits_table(path: Path) -> dict[str, list[str]]:
    from astropy.io import fits

    with fits.open(path) as hdus:
        table = next(
            (hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None
        )
        if table is None:
            raise ValueError("it has no table HDU")
        return {
            column: [str(value).strip() for value in table.data[column]]
            for column in table.columns.names
            if np.ndim(table.data[column]) == 1
        }


def find_table(folder: Path, name: str, option: str = "") -> Path:
    """A table by name: in the folder of images first, then as a path of its own.

    `option` is what the error message names.

    Raises
    ------
    DataError
        If it is in neither place.
    """
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    there = sorted({p.name for place in (folder, Path()) for p in place.glob("*.csv")})
    own = folder_catalogue(folder)
    there += [own.name] if own is not None and own.name not in there else []
    near = difflib.get_close_matches(name, there, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    if there and not near:
        hint = f": there {'is' if len(there) == 1 else 'are'} {', '.join(there[:5])}."
    said = f"{option}: " if option else ""
    raise DataError(
        f"{said}the table {name} is neither in {folder} nor in the working directory{hint}"
    )


def folder_catalogue(folder: Path) -> Path | None:
    """The table that lies among the images under one of `CATALOGUE_NAMES`, if any."""
    return next((folder / name for name in CATALOGUE_NAMES if (folder / name).is_file()), None)


def split_column(text: str, option: str) -> tuple[str, str]:
    """``FILE:COLUMN`` or ``header:KEY`` in its two parts.

    Raises
    ------
    ConfigError
        If a part is missing.
    """
    file, colon, column = text.rpartition(":")
    if not colon or not file or not column:
        raise ConfigError(f"{option} {text!r} must read FILE:COLUMN, for example labels.csv:label.")
    return file, column


def numbers_of(values: Sequence[str]) -> NDArray[np.generic]:
    """Column as int64, else float64 (empty cells NaN), else as text."""
    try:
        return np.array([int(value) for value in values], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return np.array(list(values), dtype=np.str_)


def passes(table: Table, conditions: str) -> NDArray[np.bool_]:
    """Rows for which every one of the comma-separated comparisons holds.

    ``i_peak_snr>10,bright_pixel_flag==0``; the operators are ``== = != > >= < <=``. Numbers
    are compared as numbers, anything else as text with ``==`` and ``!=`` alone.

    Raises
    ------
    ConfigError
        If a comparison cannot be understood or names no column.
    """
    keep = np.ones(len(table), dtype=np.bool_)
    for condition in conditions.split(","):
        match = _CONDITION.match(condition)
        if match is None:
            raise ConfigError(
                f"select has {condition.strip()!r}, which is no comparison such as i_peak_snr>10."
            )
        name, operator, value = match.groups()
        keep &= _compare(numbers_of(table.column(name, "select")), operator, value, name)
    return keep


def _compare(
    column: NDArray[np.generic], operator: str, value: str, name: str
) -> NDArray[np.bool_]:
    text = value.strip("'\"")
    if column.dtype.kind == "U":
        if operator not in ("==", "=", "!="):
            raise ConfigError(
                f"select compares the text column {name!r} by {operator}: use == or !=."
            )
        equal = np.asarray(column == text)
        return ~equal if operator == "!=" else equal
    try:
        number = int(text)
    except ValueError:
        try:
            number = float(text)  # type: ignore[assignment]
        except ValueError:
            raise ConfigError(
                f"select compares the number column {name!r} with {value!r}, which is no number."
            ) from None
    compare = {
        "==": np.equal,
        "=": np.equal,
        "!=": np.not_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "<": np.less,
        "<=": np.less_equal,
    }[operator]
    return np.asarray(compare(column, number), dtype=np.bool_)
