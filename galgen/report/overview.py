"""The picture of a set of samples: ordered by what was asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.models.requests import Asked, Request
from galgen.report.pictures import composite, grid_png
from galgen.report.strips import GREY, table, write_png
from galgen.stretch import Stretch

ROWS, COLUMNS = 8, 8
#: With more classes than these none has a row of its own.
CLASSES = 16


@dataclass(frozen=True)
class Overview:
    """Which galaxies it shows.

    Attributes
    ----------
    places
        Of each row, counted from the first galaxy of the set.
    names
        The rows' names; none where the galaxies stand as they come.
    """

    places: list[list[int]]
    names: list[str]

    @classmethod
    def of(cls, conditions: Conditions, told: Sequence[Asked], request: Request) -> Overview:
        """Of galaxies of whom this was asked.

        Where there are several classes each has a row, or as many as fit. Where there are numbers,
        galaxies stand from low to high in the first that the request names, else the first of all;
        without classes the rows tell its values.
        """
        number = next((n for n in conditions.names if n in request.where), "")
        number = number or next(iter(conditions.names), "")

        def value(place: int) -> float:
            return told[place].numbers.get(number, 0.0)

        present = [name for name in conditions.classes if any(name == a.label for a in told)]
        if 1 < len(present) <= CLASSES:
            places, names = [], []
            for name in present:
                own = [place for place, asked in enumerate(told) if asked.label == name]
                rows = _in_rows(sorted(own[: max(1, ROWS // len(present)) * COLUMNS], key=value))
                places += rows
                names += [name] + [""] * (len(rows) - 1)
            return cls(places, names)
        places = _in_rows(sorted(range(min(len(told), ROWS * COLUMNS)), key=value))
        ends = [(value(row[0]), value(row[-1])) for row in places]
        if not number or ends[0][0] == ends[-1][1]:
            return cls(places, [])
        return cls(places, [f"{number} {low:.4g} to {high:.4g}" for low, high in ends])

    def draw(
        self, flux: Mapping[int, Tensor], spec: ImageSpec, stretch: Stretch, path: Path
    ) -> Path:
        """Write it as PNG, of the galaxies (C, H, W) by place.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        galaxies = torch.stack([flux[place] for row in self.places for place in row])
        if not self.names:
            return grid_png(galaxies, spec, path, columns=COLUMNS, stretch=stretch)
        shown = iter(composite(galaxies, spec, stretch))
        shape = (len(self.places), max(map(len, self.places)), *galaxies.shape[-2:], 3)
        sheet = np.full(shape, GREY, dtype=np.uint8)
        for tiles, row in zip(sheet, self.places, strict=True):
            for k in range(len(row)):
                tiles[k] = next(shown)
        return write_png(table(sheet, self.names), path)


def _in_rows(places: list[int]) -> list[list[int]]:
    return [places[k : k + COLUMNS] for k in range(0, len(places), COLUMNS)]
