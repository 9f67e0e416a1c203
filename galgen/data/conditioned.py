"""Sets with numbers, and without the galaxies that lack what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.data.loading import stop_if_bad
from galgen.data.numbers import Source, check_spread, gather
from galgen.data.wanted import Wanted, parse, turned


class Reducible(Protocol):
    """What the sets of folders and of arrays share here; both are frozen dataclasses."""

    @property
    def spec(self) -> ImageSpec: ...
    @property
    def bad(self) -> Sequence[tuple[str, str]]: ...
    @property
    def notes(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int], margin: int = 0) -> NDArray[np.float32]: ...

    def keep(self, rows: NDArray[np.int64], bad: Sequence[tuple[str, str]]) -> Self: ...


S = TypeVar("S", bound=Reducible)


def leave_out(
    cutouts: S,
    reasons: Sequence[str | None],
    files: Sequence[str],
    bad_fraction: float,
    source: str,
) -> S:
    """The set less the galaxies that there is a reason against, which are listed as bad.

    Parameters
    ----------
    cutouts
        The set.
    reasons, files
        One for each galaxy: why not, or None; and what it is called in the list.
    bad_fraction, source
        Stop if a larger fraction of the set called `source` is bad.

    Raises
    ------
    DataError
        If more than `bad_fraction` of the galaxies are bad, or all.
    """
    gone = [(file, why) for file, why in zip(files, reasons, strict=True) if why is not None]
    if not gone:
        return cutouts
    rows = np.array([row for row, why in enumerate(reasons) if why is None], dtype=np.int64)
    bad = sorted([*cutouts.bad, *gone])
    stop_if_bad(bad, len(rows), bad_fraction, source)
    return cutouts.keep(rows, bad)


def condition_set(
    cutouts: S,
    condition: str | Sequence[str],
    source_of: Callable[[Wanted], Source],
    files: Sequence[str],
    bad_fraction: float,
    source: str,
) -> S:
    """A set with the numbers that ``--condition`` asks for, less the galaxies that lack one.

    Parameters
    ----------
    cutouts
        The set.
    condition
        As `galgen.data.sets.open_set`.
    source_of
        As `galgen.data.numbers.gather`.
    files, bad_fraction, source
        As `leave_out`.

    Raises
    ------
    ConfigError
        If a number has no source, is a text, or is the same for every galaxy.
    DataError
        If too many galaxies lack one.
    """
    wanted = parse(condition)
    if not wanted:
        return cutouts
    found = gather(wanted, len(cutouts), source_of, cutouts.spec, cutouts.read)
    kept = leave_out(cutouts, found.reasons, files, bad_fraction, source)
    values = found.values[[reason is None for reason in found.reasons]]
    check_spread(wanted, values)
    new = [note for note in found.notes if note not in kept.notes]
    notes = [*kept.notes, *new, *turned(wanted)]
    return changed(kept, numbers=found.numbers, values=values, notes=notes)


def changed(cutouts: S, **changes: Any) -> S:
    """`dataclasses.replace`, for the sets that are dataclasses here."""
    return replace(cutouts, **changes)  # type: ignore[type-var]
