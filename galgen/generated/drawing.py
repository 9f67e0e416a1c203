"""Galaxies of one model and one request, drawn by their numbers, in any order and at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.errors import ConfigError
from galgen.models.rendering import CHUNK, Renderer
from galgen.models.requests import Asked, Request, Where, read_rows
from galgen.models.sampling import Look

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel


@dataclass(frozen=True)
class Galaxies:
    """Some galaxies, and what was asked of them.

    Attributes
    ----------
    indices
        Sample numbers.
    flux
        (n, C, H, W) float32 on the CPU, in the unit of `spec`.
    asked
        Class and numbers of each.
    condition
        The rows (n, width) that the networks saw; None for a model without conditions.
    spec
        Facts about the images.
    conditions
        Of the model.
    """

    indices: tuple[int, ...]
    flux: Tensor
    asked: tuple[Asked, ...]
    condition: Tensor | None
    spec: ImageSpec
    conditions: Conditions

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> tuple[str | None, ...]:
        """Class that each was asked to be; None for none."""
        return tuple(one.label for one in self.asked)

    @property
    def numbers(self) -> dict[str, NDArray[np.float64]]:
        """Numbers (n,) that each was asked to have, by name; NaN for none."""
        return {
            name: np.array([one.numbers.get(name, np.nan) for one in self.asked])
            for name in self.conditions.names
        }

    def part(self, first: int, last: int) -> Galaxies:
        """Those from place `first` up to `last`, in memory of their own."""
        some = slice(first, last)
        return Galaxies(
            self.indices[some],
            self.flux[some].clone(),
            self.asked[some],
            None if self.condition is None else self.condition[some].clone(),
            self.spec,
            self.conditions,
        )

    def joined(self, other: Galaxies) -> Galaxies:
        """These and then the others."""
        rows = None
        if self.condition is not None and other.condition is not None:
            rows = torch.cat([self.condition, other.condition])
        return Galaxies(
            self.indices + other.indices,
            torch.cat([self.flux, other.flux]),
            self.asked + other.asked,
            rows,
            self.spec,
            self.conditions,
        )


class Drawing:
    """What draws the galaxies of one seed as they were asked for.

    Parameters
    ----------
    model
        Draws them, on the device where it is.
    seed
        Of the samples.
    label, where, no_condition, look
        As `galgen.models.sampling.SamplingModule.sample`.

    Raises
    ------
    ConfigError
        If the model cannot be asked for it.
    CheckpointError
        If the model was never trained.
    """

    def __init__(
        self,
        model: TrainedModel,
        seed: int = 0,
        *,
        label: str | None = None,
        where: Where | None = None,
        no_condition: bool = False,
        **look: Any,
    ) -> None:
        self.model, self.seed = model, seed
        self.look = Look.of(**look)
        self.stretch, self.spec = model.stretch, model.spec
        self.conditions = model.module.conditions
        self.request = Request.of(self.conditions, label, where, no_condition)
        self._renderers: dict[str | None, Renderer] = {}
        # So that what cannot be drawn is refused now.
        model.module.sample_conditions([0], seed, self.request)
        self._renderer(None)

    def draw(self, indices: Sequence[int]) -> Galaxies:
        """Those of the sample numbers, in the order that they are named in."""
        rows = self.model.module.sample_conditions(indices, self.seed, self.request)
        asked = read_rows(self.conditions, rows, len(indices))
        makers = [self._maker(one.label) for one in asked]
        flux: Tensor | None = None
        for maker in dict.fromkeys(makers):
            mine = [place for place, name in enumerate(makers) if name == maker]
            # A sample that is named twice is drawn once.
            place_of = {indices[place]: place for place in reversed(mine)}
            numbers = list(place_of)
            some = None if rows is None else rows[list(place_of.values())]
            for members, images in self._renderer(maker).stream(numbers, some):
                if flux is None:
                    flux = torch.empty(len(indices), *images.shape[1:])
                drawn = dict(zip(members, images, strict=True))
                for place in mine:
                    if indices[place] in drawn:
                        flux[place] = drawn[indices[place]]
        if flux is None:
            flux = torch.empty(0, *self.spec.shape)
        return Galaxies(tuple(indices), flux, tuple(asked), rows, self.spec, self.conditions)

    def stream(self, start: int = 0, batch: int = CHUNK) -> Iterator[Galaxies]:
        """All galaxies from number `start` on, without an end, `batch` at a time."""
        held: Galaxies | None = None
        # Whole chunks cost no more than a part of one.
        step = -(-batch // CHUNK) * CHUNK
        while True:
            drawn = self.draw(range(start, start // step * step + step))
            start += len(drawn)
            held = drawn if held is None else held.joined(drawn)
            whole = len(held) - len(held) % batch
            for first in range(0, whole, batch):
                yield held.part(first, first + batch)
            held = held.part(whole, len(held)) if whole < len(held) else None

    def _maker(self, label: str | None) -> str | None:
        return label if label in self.model.specialists else None

    def _renderer(self, maker: str | None) -> Renderer:
        """Kept, because another look takes a copy of the network."""
        if maker not in self._renderers:
            self._renderers[maker] = self.model.module.renderer(self.seed, self.look, maker)
        return self._renderers[maker]


def check_window(n: int | None, start: int, batch: int = 1) -> None:
    """Refuse a number of galaxies below 1, a first one before 0, and a batch below 1.

    Raises
    ------
    ConfigError
        With the one that is wrong.
    """
    if n is not None and n < 1:
        raise ConfigError(f"n = {n}: ask for at least one galaxy.")
    if start < 0:
        raise ConfigError(f"start = {start}: galaxies are counted from 0.")
    if batch < 1:
        raise ConfigError(f"batch = {batch}: use at least 1.")
