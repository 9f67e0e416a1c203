"""Numbers of every galaxy, from tables, headers and the images themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.conditions import Number
from galgen.data.measured import measured
from galgen.data.table import pick
from galgen.data.wanted import CATALOGUE, MEASURE, OPTION, Wanted
from galgen.errors import ConfigError, DataError
from galgen.measure.quantities import why_not

#: What catalogues write in place of a magnitude, a redshift or a size that they lack ...
SENTINELS = (99.0, 99.9, 99.99, 999.0, 9999.0)
#: ... and how far from the rest it must stand, in robust standard deviations.
FAR_OFF = 10.0
_MAD_TO_SIGMA = 1.4826
_NOTHING = frozenset(("", "nan", "na", "n/a", "null", "none", "-", "--", "masked"))

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """Columns by name, what they are called in messages, and each galaxy's row, -1 for none.

    `names` are the galaxies', `doubles` the rows of those that have several, by their place, and
    `notes` sentences on them.
    """

    where: str
    columns: Mapping[str, Sequence[Any] | NDArray[Any]]
    rows: NDArray[np.int64]
    names: Sequence[str] = ()
    doubles: Mapping[int, Sequence[int]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Gathered:
    """Numbers of a set.

    Attributes
    ----------
    numbers
        Their names and sources.
    values
        (N, numbers) in their own units, NaN where one is missing.
    reasons
        Per galaxy why it must be left out, or None.
    notes
        Sentences on what was taken for missing.
    """

    numbers: tuple[Number, ...]
    values: Values
    reasons: list[str | None]
    notes: list[str]


def gather(
    wanted: Sequence[Wanted],
    count: int,
    source_of: Callable[[Wanted], Source],
    spec: ImageSpec,
    read: Callable[[Sequence[int]], NDArray[np.float32]],
) -> Gathered:
    """Take every number from its source; tables first, so that mistakes show at once.

    Parameters
    ----------
    wanted
        From `galgen.data.wanted.parse`.
    count
        Galaxies of the set.
    source_of
        The source of a number that is not measured.
    spec, read
        Facts about the images, and those of the galaxies asked for; they are read in chunks,
        and only where nothing else is missing; see `galgen.data.measured`.

    Raises
    ------
    ConfigError
        If a number has no column, a column holds text, or something cannot be measured.
    DataError
        If a table says two things of one galaxy.
    """
    for each in wanted:
        reason = why_not(each.name, spec) if each.source == MEASURE else None
        if reason is not None:
            raise ConfigError(f"{each}: {reason}.")
    values = np.full((count, len(wanted)), np.nan)
    reasons: list[str | None] = [None] * count
    notes: list[str] = []
    for k, each in enumerate(wanted):
        if each.source != MEASURE:
            values[:, k] = _from_table(source_of(each), each, spec, reasons, notes)
    places = [k for k, each in enumerate(wanted) if each.source == MEASURE]
    if places:
        names = [wanted[k].name for k in places]
        rows = [row for row in range(count) if reasons[row] is None]
        found = measured(rows, spec, names, read)
        values[np.ix_(rows, places)] = found
        for row, numbers in zip(rows, found, strict=True):
            lacking = [n for n, v in zip(names, numbers, strict=True) if not np.isfinite(v)]
            if len(lacking) == len(names):
                reasons[row] = f"no galaxy is found in it to measure {', '.join(names)} of"
            elif lacking:
                reasons[row] = f"too faint to measure {', '.join(lacking)}"
    return Gathered(tuple(Number(w.name, w.source) for w in wanted), values, reasons, notes)


def check_spread(wanted: Sequence[Wanted], values: Values) -> None:
    """Refuse numbers that are the same for every galaxy.

    Raises
    ------
    ConfigError
        If there is one.
    """
    for each, column in zip(wanted, values.T, strict=True):
        if column.min() == column.max():
            raise ConfigError(
                f"{each}: every galaxy has the same value, {column[0]:g}, so there is nothing "
                "to ask for: leave it out."
            )


def _from_table(
    source: Source,
    each: Wanted,
    spec: ImageSpec,
    reasons: list[str | None],
    notes: list[str],
) -> Values:
    names = _columns_for(source, each, spec)
    notes += [note for note in source.notes if note not in notes]
    parts = [_column(source, name, each, reasons, notes) for name in names]
    return parts[0] if len(parts) == 1 else parts[0] - parts[1]


def _columns_for(source: Source, each: Wanted, spec: ImageSpec) -> list[str]:
    """The column of a number, or the two whose difference a colour is."""
    folded = {name.lower() for name in source.columns}
    if each.name.lower() not in folded:
        for place, sign in enumerate(each.name):
            two = (each.name[:place], each.name[place + 1 :])
            for prefix in ("mag_", "") if sign == "-" and all(two) else ():
                pair = [prefix + band for band in two]
                if all(name.lower() in folded for name in pair):
                    return [pick(source.columns, n, source.where, OPTION) for n in pair]
    otherwise = ""
    if each.source == CATALOGUE and why_not(each.name, spec) is None:
        otherwise = f", or measure it: {OPTION} {MEASURE}:{each.name}"
    return [pick(source.columns, each.name, source.where, OPTION, otherwise)]


def _column(
    source: Source, name: str, each: Wanted, reasons: list[str | None], notes: list[str]
) -> Values:
    """Numbers of one column, NaN where missing, with the reason of the first that is."""
    column = source.columns[name]
    refuse_two(str(each), source.where, name, column, source.names, source.doubles)
    values = np.full(len(source.rows), np.nan)
    why: list[str | None] = [None] * len(values)
    for galaxy, row in enumerate(source.rows):
        if row < 0:
            why[galaxy] = f"no row in {source.where}"
            continue
        text = str(column[row]).strip()
        if text.lower() not in _NOTHING:
            try:
                values[galaxy] = float(column[row])
            except ValueError:
                raise ConfigError(_no_number(source, name, each, galaxy, text)) from None
        if not np.isfinite(values[galaxy]):
            values[galaxy] = np.nan
            why[galaxy] = f"{name} is missing in {source.where}"
    marks = _sentinels(values)
    for value in np.unique(values[marks]):
        count = int((values[marks] == value).sum())
        times = "once" if count == 1 else f"{count:,} times"
        notes.append(
            f"{name} is {value:g} {times} in {source.where}, far from the rest: "
            "taken for a mark of missing values."
        )
    for galaxy in np.flatnonzero(marks).tolist():
        why[galaxy] = f"{name} is {values[galaxy]:g} in {source.where}, a mark of missing values"
    values[marks] = np.nan
    for galaxy, reason in enumerate(why):
        reasons[galaxy] = reasons[galaxy] or reason
    return values


def refuse_two(
    said: str,
    where: str,
    name: str,
    column: Sequence[Any] | NDArray[Any],
    names: Sequence[str],
    doubles: Mapping[int, Sequence[int]],
) -> None:
    """Refuse a column that says two things of one galaxy.

    Raises
    ------
    DataError
        If the rows of a galaxy differ.
    """
    for galaxy, rows in doubles.items():
        texts = list(dict.fromkeys(str(column[row]).strip() for row in rows))
        if len(texts) > 1:
            raise DataError(
                f"{said}: {where} has {len(rows)} rows for {names[galaxy]}, which differ in "
                f"{name} ({texts[0]!r}, {texts[1]!r}): leave one of them."
            )


def _no_number(source: Source, name: str, each: Wanted, galaxy: int, text: str) -> str:
    """Why a text is refused: a slip among numbers, or a column of classes."""
    told = f"{each}: {source.where} holds the text {text!r} in {name}"
    own = [str(source.columns[name][row]) for row in source.rows if row >= 0]
    if 2 * sum(map(_is_number, own)) <= len(own):
        return f"{told}, where numbers are wanted; classes go by --labels {each.source}:{name}."
    of = f" for {source.names[galaxy]}" if source.names else ""
    return (
        f"{told}{of}, where the others are numbers: mend it, or leave the cell empty, and the "
        "galaxy is left out."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sentinels(values: Values) -> NDArray[np.bool_]:
    """Values that are one of `SENTINELS` but for their sign, and `FAR_OFF` from the rest."""
    known = np.isfinite(values)
    suspects = known & np.isin(np.abs(values), SENTINELS)
    rest = values[known & ~suspects]
    if not suspects.any() or not rest.size:
        return np.zeros(len(values), dtype=bool)
    middle = np.median(rest)
    sigma = _MAD_TO_SIGMA * np.median(np.abs(rest - middle)) or rest.std()
    return suspects & (np.abs(np.nan_to_num(values) - middle) > FAR_OFF * sigma)
