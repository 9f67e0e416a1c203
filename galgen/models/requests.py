"""What a person asks of samples, and the rows of conditions that follow from it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galgen.conditions import Conditions, Number
from galgen.errors import ConfigError
from galgen.randomness import generator as keyed

#: What is not asked for comes from one of so many training galaxies, the nearest in what is.
NEIGHBOURS = 16
#: Where to ask for numbers: a text as `parse_where` reads it, or numbers and ranges by name.
Where = str | Mapping[str, float | tuple[float, float]]


@dataclass(frozen=True)
class Request:
    """What samples should be.

    Attributes
    ----------
    label
        Their class; None for any.
    where
        Ranges (low, high) of numbers by name, in their own units; equal ends for a point.
    nothing
        Ask for nothing, which only a model can do that was trained with dropped labels.
    """

    label: str | None = None
    where: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    nothing: bool = False

    @classmethod
    def of(
        cls,
        conditions: Conditions,
        label: str | None = None,
        where: Where | None = None,
        nothing: bool = False,
    ) -> Request:
        """From what was typed, checked.

        Raises
        ------
        ConfigError
            If a model with these conditions cannot be asked for it.
        """
        if isinstance(where, str):
            ranges = parse_where(where, conditions)
        elif where is None or isinstance(where, Mapping):
            ranges = {_name(name): _ends(name, value) for name, value in (where or {}).items()}
        else:
            raise ConfigError(
                f"where={where!r}: give a text as in 'mag_r=18..20' or numbers and ranges by name "
                "as in {'mag_r': (18, 20)}."
            )
        if label is not None and not isinstance(label, str):
            raise ConfigError(
                f"label={label!r}: give the name of one class, and call once for each class."
            )
        request = cls(label, ranges, nothing)
        request.check(conditions)
        return request

    def typed(self) -> dict[str, Any]:
        """What `of` makes the same request from, as plain values; empty where nothing is asked.

        >>> Request("FRII", {"z": (0.1, 0.3)}).typed()
        {'label': 'FRII', 'where': 'z=0.1..0.3'}
        """
        where: Any = ",".join(
            f"{name}={low!r}" if low == high else f"{name}={low!r}..{high!r}"
            for name, (low, high) in self.where.items()
        )
        if any("," in name or "=" in name for name in self.where):
            # Names of a table's columns may hold what separates them in a text.
            where = {name: [low, high] for name, (low, high) in self.where.items()}
        said = {"label": self.label, "where": where or None, "no_condition": self.nothing or None}
        return {name: value for name, value in said.items() if value is not None}

    def check(self, conditions: Conditions) -> None:
        """Refuse what a model with these conditions cannot be asked for.

        Raises
        ------
        ConfigError
            If there is such a thing.
        """
        if self.nothing:
            if not conditions:
                raise ConfigError(
                    "--no-condition: this model was trained without conditions, leave it out."
                )
            for option, given in (("--label", self.label is not None), ("--where", self.where)):
                if given:
                    raise ConfigError(f"--no-condition asks for nothing: leave {option} out.")
        if self.label is not None:
            _check_label(self.label, conditions)
        for name, (low, high) in self.where.items():
            number = find_number(name, conditions, "--where")
            check_range(number, low, high, "--where")


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"where={{{name!r}: ...}}: give the name of a number, as text.")
    return name


def _ends(name: str, value: Any) -> tuple[float, float]:
    """Both ends of a range, or a number twice."""
    try:
        value = value.tolist() if isinstance(value, np.ndarray) else value
        low, high = value if isinstance(value, tuple | list) else (value, value)
        return float(low), float(high)
    except (TypeError, ValueError):
        raise ConfigError(
            f"where={{{name!r}: {value!r}}}: give a number or a range (low, high)."
        ) from None


def _check_label(label: str, conditions: Conditions) -> None:
    if not conditions.classes:
        raise ConfigError(f"--label {label}: this model was trained without classes, leave it out.")
    if label not in conditions.classes:
        raise ConfigError(
            f"--label {label} is not a class of this model: {_near(str(label), conditions.classes)}"
            f"choose one of {', '.join(conditions.classes)}."
        )


def _near(text: str, names: Sequence[str]) -> str:
    """A hint at the one that was meant, whatever its capitals; empty where none is near."""
    lower = {name.lower(): name for name in reversed(names)}
    found = difflib.get_close_matches(text.lower(), lower, n=1)
    return f"did you mean {lower[found[0]]}? " if found else ""


def find_number(name: str, conditions: Conditions, option: str) -> Number:
    """The number of that name.

    Raises
    ------
    ConfigError
        If the model has none, with a near name or those that there are.
    """
    names = conditions.names
    if not names:
        raise ConfigError(
            f"{option} {name}: this model was trained without numbers to ask for, leave it out or "
            "train one with --condition."
        )
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{option} {name}: {hint}this model was trained on {', '.join(names)}.")
    return conditions.numbers[names.index(name)]


def parse_where(text: str, conditions: Conditions) -> dict[str, tuple[float, float]]:
    """Ranges of numbers by name, ``mag_r=18..20, g-r=0.6``.

    Raises
    ------
    ConfigError
        If the text has not that form, or a number is unknown, given twice, or out of the range
        that the model was trained on.
    """
    found: dict[str, tuple[float, float]] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.rpartition("="))
        if not equals or not name:
            raise ConfigError(
                f"--where {text.strip()}: give numbers or ranges by name, as in "
                "mag_r=18..20,g-r=0.6."
            )
        if ";" in part:
            raise ConfigError(
                f"--where {text.strip()}: separate them with commas, as in mag_r=18..20,g-r=0.6."
            )
        if name == "label" and name not in conditions.names:
            raise ConfigError(f"--where {part.strip()}: ask for a class by --label {value}.")
        number = find_number(name, conditions, "--where")
        if name in found:
            raise ConfigError(f"--where gives {name} twice: give it once.")
        found[name] = parse_range(value, number, "--where")
    return found


def parse_range(text: str, number: Number, option: str) -> tuple[float, float]:
    """``18..20`` or ``18``, which is both ends.

    Raises
    ------
    ConfigError
        If it is neither, or out of the range that the model was trained on.
    """
    first, dots, second = text.partition("..")
    try:
        if second.startswith("."):
            raise ValueError
        low = float(first)
        high = float(second) if dots else low
    except ValueError:
        raise ConfigError(
            f"{option} {number.name}={text}: give a number or a range, as in {number.name}=1..2."
        ) from None
    check_range(number, low, high, option)
    return low, high


def check_range(number: Number, low: float, high: float, option: str) -> None:
    """Refuse what the model was not trained on.

    What a range is rounded to when it is told is accepted.

    Raises
    ------
    ConfigError
        If the ends are no numbers, in the wrong order or out of the training set's range.
    """
    asked = f"{low:g}" if low == high or math.isnan(low) else f"{low:g}..{high:g}"
    where = f"{option} {number.name}={asked}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{where}: give finite numbers.")
    if high < low:
        raise ConfigError(f"{where}: the range ends before it begins, give the low end first.")
    if number.low is None or number.high is None:
        return
    bottom, top = told_range(number)
    if low < min(bottom, number.low) or high > max(top, number.high):
        raise ConfigError(
            f"{where}: the model was trained on {number.name} from {bottom:.10g} to {top:.10g}: "
            "stay within."
        )


def told_range(number: Number) -> tuple[float, float]:
    """The training set's range, rounded to read well, to less than a hundredth of its width."""
    if number.low is None or number.high is None:
        raise ValueError(f"{number.name} has no range yet")
    width = number.high - number.low or abs(number.high) or 1.0
    digits = 2 - math.floor(math.log10(width))
    return round(number.low, digits), round(number.high, digits)


# -- rows ----------------------------------------------------------------------------------


def draw_labels(seed: int, indices: Sequence[int], counts: Sequence[int]) -> Tensor:
    """Class numbers by the training set's class frequencies, keyed by sample."""
    edges = torch.tensor(counts, dtype=torch.float64).cumsum(0)
    edges = edges / edges[-1]
    points = torch.stack(
        [torch.rand((), dtype=torch.float64, generator=keyed(seed, "label", i)) for i in indices]
    )
    return torch.searchsorted(edges, points, right=True).clamp_max(len(counts) - 1)


def draw(
    conditions: Conditions, request: Request, seed: int, indices: Sequence[int]
) -> NDArray[np.float32] | None:
    """Rows (n, width) of conditions for samples, None for a model without conditions.

    Each follows from the request, the seed and the sample's number alone. A number that is asked
    for is the point, or uniform in the range. What is not asked for is that of a training galaxy,
    so that it goes with the rest: one of the `NEIGHBOURS` nearest in the numbers that are asked
    for, in standard deviations, among those of the class that is asked for. Where that leaves
    several classes, each comes as often as its share of the training set says.

    Raises
    ------
    ConfigError
        If the model cannot be asked for it.
    """
    request.check(conditions)
    if not conditions:
        return None
    if request.nothing:
        return np.zeros((len(indices), conditions.width), np.float32)
    label = None if request.label is None else conditions.classes.index(request.label)
    if not conditions.numbers:
        if label is None:
            return conditions.encode(draw_labels(seed, indices, conditions.counts).numpy(), None)
        return conditions.encode([label] * len(indices), None)
    labels, values = _companions(conditions, request, label, seed, indices)
    if not conditions.rows and conditions.classes and label is None:
        labels = draw_labels(seed, indices, conditions.counts).numpy()
    return conditions.encode(labels, values)


def _companions(
    conditions: Conditions, request: Request, label: int | None, seed: int, indices: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class numbers (n,) and numbers (n, numbers): what is asked for, and what goes with it."""
    mean, std = (np.array([getattr(n, k) for n in conditions.numbers]) for k in ("mean", "std"))
    table = np.array(conditions.rows or [(-1, *mean)])
    stands = _stands_for(table[:, 0].astype(np.int64), conditions.counts)
    if label is not None and (own := table[:, 0] == label).any():
        table, stands = table[own], stands[own]
    places = [k for k, name in enumerate(conditions.names) if name in request.where]
    low, high = (
        np.array([request.where[conditions.names[k]][end] for k in places]) for end in (0, 1)
    )
    near: dict[bytes, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    labels = np.empty(len(indices), np.int64)
    values = np.empty((len(indices), len(mean)))
    for place, index in enumerate(indices):
        # The first number chooses the galaxy, and each condition has one of its own, so that one
        # more condition in the request changes nothing about the others.
        stream = keyed(seed, "condition", index)
        chance = torch.rand(1 + len(mean), dtype=torch.float64, generator=stream).numpy()
        wanted = low + chance[1:][places] * (high - low)
        key = wanted.tobytes()
        if key not in near:
            apart = (((table[:, 1:][:, places] - wanted) / std[places]) ** 2).sum(axis=1)
            found = _nearest(apart, NEIGHBOURS if places else len(apart))
            near[key] = found, stands[found].cumsum()
        found, edges = near[key]
        galaxy = table[found[int(np.searchsorted(edges[:-1], chance[0] * edges[-1], "right"))]]
        labels[place] = galaxy[0] if label is None else label
        values[place] = galaxy[1:]
        values[place, places] = wanted
    return labels, values


def _stands_for(labels: NDArray[np.int64], counts: Sequence[int]) -> NDArray[np.float64]:
    """How many training galaxies each kept one (N,) stands for, which of rare classes are fewer
    (see `galgen.conditions.KEPT_OF_CLASS`); 1 where there are no classes.
    """
    classes = np.flatnonzero(np.bincount(labels[labels >= 0], minlength=len(counts)))
    stands = np.ones(len(labels))
    for number in classes.tolist():
        stands[labels == number] = counts[number] / (labels == number).sum()
    stands[labels < 0] = stands[labels >= 0].max(initial=1.0)
    return stands


def _nearest(apart: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places of the smallest, in order; those of equal ones as they come."""
    count = min(count, len(apart))
    found = np.flatnonzero(apart <= np.partition(apart, count - 1)[count - 1])
    return found[np.argsort(apart[found], kind="stable")][:count]


@dataclass(frozen=True)
class Asked:
    """What one row asks for.

    Attributes
    ----------
    label
        None where no single class is.
    numbers
        By name, in their own units; empty where they are not known.
    """

    label: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    def shared(self, other: Asked) -> Asked:
        """What another row asks for too."""
        return Asked(
            self.label if self.label == other.label else None,
            {name: value for name, value in self.numbers.items()
             if other.numbers.get(name) == value},
        )  # fmt: skip


def read_rows(conditions: Conditions, rows: Tensor | None, count: int) -> list[Asked]:
    """What `count` rows (count, width) ask for; nothing for None."""
    if rows is None:
        return [Asked()] * count
    labels, values = conditions.decode(rows.numpy())
    # A row is float32: what lies below that is not what a person asked for.
    digits = [5 - math.floor(math.log10(number.std)) for number in conditions.numbers]
    found = []
    for row, label, numbers in zip(rows, labels, values, strict=True):
        pure = label >= 0 and float(row[label]) == 1
        told = {
            name: round(float(value), n) + 0.0
            for name, value, n in zip(conditions.names, numbers, digits, strict=True)
            if math.isfinite(value)
        }
        found.append(Asked(conditions.classes[label] if pure else None, told))
    return found
