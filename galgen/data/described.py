"""What the galaxies of a set are beside their pixels: groups, classes, redshifts and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from galgen.data import columns
from galgen.data.classes import Classed, class_numbers, classify, handed, label_of
from galgen.data.conditioned import changed, condition_set

#: What --labels says to leave classes alone, those of the folders too.
NO_LABELS = "none"


class Describable(Classed, Protocol):
    """A set of galaxies that have names and files."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def files(self) -> Sequence[str]: ...
    @property
    def catalogue(self) -> Mapping[str, NDArray[np.generic]]: ...


S = TypeVar("S", bound=Describable)


@dataclass(frozen=True)
class Asked:
    """What the user wants to know of each galaxy; see `galgen.data.sets.open_set`."""

    labels: str | None = None
    condition: str | Sequence[str] = ()
    group: str | None = None
    redshift: str | None = None
    bad_fraction: float = 0.25

    @property
    def table_of_labels(self) -> str | None:
        """Where labels are looked up, None where sub-folders are classes or nothing is."""
        return None if self.labels == NO_LABELS else self.labels


def describe(
    cutouts: S,
    origin: columns.Origin,
    asked: Asked,
    folders: Sequence[str | None] | None,
    source: str,
) -> S:
    """A set with groups, redshifts, classes and numbers, less the galaxies that lack what counts.

    Parameters
    ----------
    cutouts
        The set, without them.
    origin
        Of the set's galaxies, in their order.
    asked
        What is wanted.
    folders
        The sub-folder of each galaxy where those are classes, else None.
    source
        What messages call the set.

    Raises
    ------
    ConfigError, DataError
        As `galgen.data.sets.open_set`.
    """
    notes = list(cutouts.notes)
    new: dict[str, Any] = {}
    if asked.group is not None:
        values = columns.column_of(asked.group, "data.group", origin, notes)
        new["groups"] = columns.require(values, origin.names, asked.group)
    if asked.redshift is not None:
        values = columns.column_of(asked.redshift, "data.redshift", origin, notes)
        redshifts = columns.floats(values, asked.redshift)
        new["catalogue"] = {**cutouts.catalogue, "redshift": redshifts}
    labels = asked.table_of_labels
    if labels is None and folders is not None and asked.labels is None:
        new["labels"], new["classes"] = class_numbers([str(folder) for folder in folders])
        notes += handed(new["classes"])
    cutouts = changed(cutouts, notes=notes, **new)
    if labels is not None:
        values = columns.column_of(labels, "--labels", origin)
        known = [label_of(value) for value in values]
        cutouts = classify(cutouts, known, labels, cutouts.files, asked.bad_fraction, source)
        if len(cutouts) < len(origin.names):
            origin = origin.only(cutouts.names)
    own = columns.source_of(origin)
    return condition_set(cutouts, asked.condition, own, cutouts.files, asked.bad_fraction, source)
