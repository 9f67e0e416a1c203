"""What a task's galaxies become: names of files, columns of the catalogue, places to store them."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import galgen
from galgen.io.galaxyfile import GalaxyWriter
from galgen.models.rendering import Renderer
from galgen.models.sampling import Look
from galgen.sampling import columns
from galgen.sampling.columns import Column
from galgen.sampling.sinks import FitsFiles, Pictures, Sink, ending, file_stem
from galgen.sampling.task import Task
from galgen.sampling.views import View, views
from galgen.training.machine import device_name

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel


class Layout:
    """A task of a model, laid out.

    Parameters
    ----------
    model, task
        What draws which galaxies.
    last
        Largest sample number, which the longest file name has.

    Attributes
    ----------
    views
        How each galaxy is seen.
    numbers
        Those of the model's conditions that can be measured.

    Raises
    ------
    ConfigError
        If the galaxies cannot be seen so.
    """

    def __init__(self, model: TrainedModel, task: Task, last: int) -> None:
        self.model, self.task, self.last = model, task, last
        self.views: list[View] = views(model, task.look, task.telescopes, task.bands)
        self.conditions = model.module.conditions
        self.numbers = columns.measurable(self.conditions, self.views[0].spec)
        #: Of the model, by look and class.
        self.renderers: dict[Look, dict[str | None, Renderer]] = {}
        #: Columns with the SHA-256 of what each sink of a view stores.
        self.digests = ["sha256", *(f"sha256_{kind}" for kind in task.kinds[1:])]

    @property
    def width(self) -> int:
        """Rows of a galaxy."""
        return len(self.views)

    @cached_property
    def columns(self) -> list[Column]:
        """Columns of the catalogue, in their order."""
        task, spec = self.task, self.views[0].spec
        longest = max((self.name(self.last, view) for view in self.views), key=len)
        return [
            *columns.own_columns(
                longest,
                self.digests,
                [view.name for view in self.views],
                draws=task.accept is not None,
                makers=bool(self.model.specialists),
            ),
            *columns.asked_columns(self.conditions, spec),
            *columns.measured_columns(spec, self.numbers),
        ]

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of a row while the catalogue is made."""
        return columns.record_type(self.columns)

    def name(self, index: int, view: View) -> str:
        """Of a galaxy's first file, or its own in a pack."""
        task = self.task
        stem = file_stem(index) + ("" if view.name is None else f"_{view.name}")
        if task.pack:
            return stem
        return stem + ending(task.kinds[0], task.compress)

    def provenance(self, view: View) -> dict[str, Any]:
        """What the files of all galaxies say."""
        return provenance(self.model, self.task, view)

    def sinks(self, folder: Path, count: int) -> list[list[Sink]]:
        """For each view where its galaxies go: a place for each kind of file.

        Parameters
        ----------
        folder
            Where.
        count
            Galaxies of the set.
        """
        if self.task.pack:
            return [[self._pack(folder, count)]]
        found: list[list[Sink]] = []
        for view in self.views:
            own: list[Sink] = []
            for kind in self.task.kinds:
                if kind == "fits":
                    writer = GalaxyWriter(
                        view.spec,
                        self.provenance(view),
                        cube=self.task.cube,
                        compress=self.task.compress,
                    )
                    own.append(FitsFiles(folder, writer, view.name, self.task.compress))
                else:
                    own.append(Pictures(folder, kind, view.spec, view.stretch, view.name))
            found.append(own)
        return found

    def _pack(self, folder: Path, count: int) -> Sink:
        from galgen.data.pack.generated import PackSink

        view = self.views[0]
        return PackSink(
            folder, view.spec, count, start=self.task.start, about=self.provenance(view)
        )


def provenance(model: TrainedModel, task: Task, view: View) -> dict[str, Any]:
    """What the files of all galaxies of a task say."""
    typed: dict[str, Any] = task.request.typed()
    if task.bands is not None:
        typed["bands"] = list(task.bands)
    return {
        "seed": task.seed,
        "truncation": float(task.look.truncation),
        **view.cards,
        "request": json.dumps(typed) if typed else None,
        "asked": False if task.request.nothing else None,
        "model": model.name,
        "checkpoint": model.digest,
        "images": model.images,
        "version": galgen.__version__,
        "torch": torch.__version__,
        "device": device_name(model.module.device),
        "stretch": view.stretch.state(),
    }
