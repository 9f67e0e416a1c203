"""Galaxies of one model and one request, drawn by their numbers, in any order and at any time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
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
from galgen.sampling.task import Task
from galgen.sampling.views import views
from galgen.telescope import Telescope

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

#: Galaxies that are drawn at a time where many are wanted.
_WINDOW = 4 * CHUNK


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
    telescope
        That the galaxies are seen through, or the name of its instrument; None for the model's own.

    Raises
    ------
    ConfigError
        If the model cannot be asked for it.
    """

    def __init__(
        self,
        model: TrainedModel,
        seed: int = 0,
        *,
        label: str | None = None,
        where: Where | None = None,
        no_condition: bool = False,
        telescope: Telescope | str | None = None,
        **look: Any,
    ) -> None:
        self.model, self.seed = model, whole("seed", seed)
        self.conditions = model.module.conditions
        chosen, telescopes = Look.of("telescope", **look), _telescopes(telescope)
        if not isinstance(chosen.noise, bool):
            raise ConfigError(
                f"noise = {chosen.noise!r}: True or False here; that of a detector is a "
                "telescope's, as in telescope=Telescope.of(noise='sigma=0.1')."
            )
        if telescopes and chosen.psf is not None:
            raise ConfigError("psf: it is the telescope's to say, leave it out beside one.")
        request = Request.of(self.conditions, label, where, no_condition)
        self.task = Task(self.seed, request=request, look=chosen, telescopes=telescopes)
        (self.view,) = views(model, chosen, telescopes)
        self._renderers: dict[str | None, Renderer] = {}
        # So that what cannot be drawn is refused now.
        model.module.sample_conditions([0], self.seed, request)
        self._renderer(None)

    @property
    def spec(self) -> ImageSpec:
        """Facts about what is drawn."""
        return self.view.spec

    def draw(self, indices: Sequence[int]) -> Galaxies:
        """Those of the sample numbers, in the order that they are named in."""
        rows = self.model.module.sample_conditions(indices, self.seed, self.task.request)
        asked = read_rows(self.conditions, rows, len(indices))
        # A sample that is named twice is drawn once.
        place_of = {index: place for place, index in reversed(list(enumerate(indices)))}
        makers: dict[str | None, list[int]] = {}
        for index, place in place_of.items():
            makers.setdefault(self._maker(asked[place].label), []).append(index)
        found: dict[int, Tensor] = {}
        for maker, numbers in makers.items():
            some = None if rows is None else rows[[place_of[index] for index in numbers]]
            for members, flux in self._renderer(maker).stream(numbers, some):
                seen = self.view.see(flux, members, self.seed)
                found |= dict(zip(members, seen, strict=True))
        flux = torch.empty(len(indices), *self.spec.shape)
        for place, index in enumerate(indices):
            flux[place] = found[index]
        return Galaxies(tuple(indices), flux, tuple(asked), rows, self.spec, self.conditions)

    def windows(
        self, n: int, start: int = 0, progress: Callable[[int], None] | None = None
    ) -> Iterator[Galaxies]:
        """Galaxies ``start`` to ``start + n``, some whole chunks at a time."""
        end = start + n
        while start < end:
            drawn = self.draw(range(start, min(end, start // _WINDOW * _WINDOW + _WINDOW)))
            start += len(drawn)
            yield drawn
            if progress is not None:
                progress(len(drawn))

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
            look = self.view.look
            self._renderers[maker] = self.model.module.renderer(self.seed, look, maker)
        return self._renderers[maker]


def _telescopes(telescope: Telescope | str | None) -> tuple[Telescope, ...]:
    if isinstance(telescope, str):
        return (Telescope.of(instrument=telescope),)
    if telescope is not None and not isinstance(telescope, Telescope):
        raise ConfigError(
            f"telescope = {telescope!r}: give a galgen.telescope.Telescope or the name of an "
            "instrument."
        )
    return () if telescope is None else (telescope,)


def whole(name: str, number: Any) -> int:
    """A number of galaxies, of a galaxy or of a seed, as it is.

    Raises
    ------
    ConfigError
        If it is no whole number.
    """
    try:
        return operator.index(number)
    except TypeError:
        raise ConfigError(f"{name} = {number!r}: give a whole number.") from None


def check_window(n: int | None, start: int, batch: int = 1) -> None:
    """Refuse a number of galaxies below 1, a first one before 0, and a batch below 1.

    Raises
    ------
    ConfigError
        With the one that is wrong.
    """
    if n is not None and whole("n", n) < 1:
        raise ConfigError(f"n = {n}: ask for at least one galaxy.")
    if whole("start", start) < 0:
        raise ConfigError(f"start = {start}: galaxies are counted from 0.")
    if whole("batch", batch) < 1:
        raise ConfigError(f"batch = {batch}: use at least 1.")
