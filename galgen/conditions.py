"""What a galaxy can be asked to be: its class, and numbers such as magnitude, colour or size.

Networks see a galaxy's conditions as one row: a 1 at the place of its class, its numbers in
standard deviations from the training set's mean, and, where there are numbers, a 1 that says
that they are known. A row of zeros asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Training galaxies whose numbers a model keeps, so that samples can have theirs.
KEPT_ROWS = 2048
#: Of every class at least so many of them, or all it has.
KEPT_OF_CLASS = 16


@dataclass(frozen=True)
class Number:
    """One continuous condition.

    Attributes
    ----------
    name
        ``mag_r``, ``g-r``, ``r_half``, or a catalogue's column.
    source
        Where the training set's values came from: ``measure``, ``catalogue`` or a table's name.
    mean, std
        Of the training set, which standardise it.
    low, high
        Range of the training set; None before any data were seen.
    """

    name: str
    source: str = ""
    mean: float = 0.0
    std: float = 1.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Conditions:
    """What a pair is conditional on; empty for a pair that cannot be asked for anything.

    Attributes
    ----------
    classes
        Names of the classes.
    counts
        Training galaxies of each.
    numbers
        The continuous conditions.
    rows
        Class number (-1 for none) and numbers, in their own units, of up to `KEPT_ROWS` training
        galaxies, where there are numbers, and of `KEPT_OF_CLASS` of each class.
    """

    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    numbers: tuple[Number, ...] = ()
    rows: tuple[tuple[float, ...], ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.classes or self.numbers)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers."""
        return tuple(number.name for number in self.numbers)

    @property
    def width(self) -> int:
        """Length of a row for the networks."""
        return len(self.classes) + (len(self.numbers) + 1 if self.numbers else 0)

    @classmethod
    def named(cls, classes: Sequence[str] = (), numbers: Sequence[str] = ()) -> Conditions:
        """Of those names, before any data were seen."""
        return cls(
            tuple(classes), (1,) * len(classes), tuple(Number(str(name)) for name in numbers)
        )

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        labels: NDArray[np.int64] | None,
        numbers: Sequence[Number],
        values: NDArray[np.float64] | None,
    ) -> Conditions:
        """Those of a training set.

        Parameters
        ----------
        classes, labels
            Class names and class numbers (N,); empty and None without classes.
        numbers
            Their names and sources; one that has a range keeps its mean and deviation, and only
            its range is taken from the values.
        values
            (N, numbers) in their own units, all finite; None without numbers.
        """
        counts: tuple[int, ...] = ()
        if labels is not None:
            counts = tuple(np.bincount(labels, minlength=len(classes)).tolist())
        if values is None or not len(numbers):
            return cls(tuple(classes), counts if classes else ())
        fitted = []
        for number, column in zip(numbers, values.T, strict=True):
            known = number.low is not None
            fitted.append(
                replace(
                    number,
                    mean=number.mean if known else float(column.mean()),
                    std=number.std if known else float(column.std()) or 1.0,
                    low=float(column.min()),
                    high=float(column.max()),
                )
            )
        kind = np.full(len(values), -1) if labels is None else labels
        table = np.column_stack([kind, values])[_kept(kind)]
        # Seven digits are all that float32 networks see.
        rows = tuple(tuple(float(f"{value:.7g}") for value in row) for row in table)
        return cls(tuple(classes), counts if classes else (), tuple(fitted), rows)

    def encode(
        self, labels: Sequence[int] | NDArray[Any] | None, values: NDArray[Any] | None
    ) -> NDArray[np.float32]:
        """Class numbers (N,), -1 for none, and numbers (N, numbers) to rows (N, width).

        A galaxy with a NaN among its numbers has none.
        """
        count = len(labels) if labels is not None else 0 if values is None else len(values)
        rows = np.zeros((count, self.width), np.float32)
        if self.classes and labels is not None:
            known = np.flatnonzero(np.asarray(labels) >= 0)
            rows[known, np.asarray(labels)[known]] = 1
        if self.numbers and values is not None:
            table = np.asarray(values, dtype=np.float64)
            mean, std = (np.array([getattr(n, k) for n in self.numbers]) for k in ("mean", "std"))
            known = np.flatnonzero(np.isfinite(table).all(axis=1))
            rows[known, len(self.classes) : -1] = ((table - mean) / std)[known]
            rows[known, -1] = 1
        return rows

    def decode(self, rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows (N, width) to class numbers (N,), -1 for none, and numbers (N, numbers), NaN for
        none.
        """
        rows = np.asarray(rows, dtype=np.float64)
        labels = np.full(len(rows), -1, np.int64)
        if self.classes:
            part = rows[:, : len(self.classes)]
            labels = np.where(part.any(axis=1), part.argmax(axis=1), -1)
        values = np.full((len(rows), len(self.numbers)), np.nan)
        if self.numbers:
            mean, std = (np.array([getattr(n, k) for n in self.numbers]) for k in ("mean", "std"))
            known = rows[:, -1] > 0
            values[known] = (rows[:, len(self.classes) : -1] * std + mean)[known]
        return labels, values

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the inverse of `from_dict`."""
        return {
            "classes": list(self.classes),
            "counts": list(self.counts),
            "numbers": [asdict(number) for number in self.numbers],
            "rows": [list(row) for row in self.rows],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Conditions:
        """Inverse of `to_dict`."""
        return cls(
            tuple(str(name) for name in state["classes"]),
            tuple(int(count) for count in state["counts"]),
            tuple(Number(**number) for number in state["numbers"]),
            tuple(tuple(float(value) for value in row) for row in state["rows"]),
        )


def _kept(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows to keep, in order: every so many, and more of classes that have too few among them."""
    every = np.arange(0, len(labels), -(-len(labels) // KEPT_ROWS))
    kept = [every]
    for number in np.unique(labels):
        if (labels[every] == number).sum() < KEPT_OF_CLASS:
            own = np.flatnonzero(labels == number)
            kept.append(own[:: max(1, len(own) // KEPT_OF_CLASS)][:KEPT_OF_CLASS])
    return np.unique(np.concatenate(kept))
