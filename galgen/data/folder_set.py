"""A folder of images as a set: read, checked and brought to one size and one set of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.conditions import Number
from galgen.data import columns, quality
from galgen.data.columns import FolderOrigin
from galgen.data.described import Asked, describe
from galgen.data.draw import draw
from galgen.data.facts import Stated, spec_of
from galgen.data.folder import Entry, classes_note, scan_folder
from galgen.data.loading import load, majority, probe, sized
from galgen.data.reader import GalaxyReader
from galgen.errors import DataError

_VAGUE_NAMES = frozenset("train valid val test images data fits cutouts".split())


@dataclass(frozen=True)
class FolderSet:
    """A `galgen.data.sets.CutoutSet` over files, with or without a copy in memory."""

    spec: ImageSpec
    name: str
    entries: tuple[Entry, ...]
    reader: GalaxyReader
    kept: NDArray[np.float32] | None
    groups: Sequence[str]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    catalogue: Mapping[str, NDArray[np.generic]]
    bad: Sequence[tuple[str, str]]
    notes: Sequence[str]
    max_margin: int
    numbers: tuple[Number, ...] = ()
    values: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def keep(self, rows: NDArray[np.int64], bad: Sequence[tuple[str, str]]) -> FolderSet:
        """The same set with these galaxies alone, and with what was left out."""
        return replace(
            self,
            entries=tuple(self.entries[row] for row in rows),
            kept=None if self.kept is None else self.kept[rows],
            groups=[self.groups[row] for row in rows],
            labels=None if self.labels is None else self.labels[rows],
            values=None if self.values is None else self.values[rows],
            catalogue={name: column[rows] for name, column in self.catalogue.items()},
            bad=bad,
        )

    @property
    def files(self) -> list[str]:
        """What each galaxy is called where something is wrong with it."""
        return [str(entry.files[0]) for entry in self.entries]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the galaxies."""
        return tuple(entry.name for entry in self.entries)

    def read(self, indices: Sequence[int], margin: int = 0) -> NDArray[np.float32]:
        """Galaxies from memory, or from their files where a margin is wanted.

        Pixels of the margin were not checked when the set was opened; those that are not
        finite are read as 0.

        Raises
        ------
        DataError
            If a file of a set that is not kept in memory turns out bad.
        """
        if not 0 <= margin <= self.max_margin:
            raise ValueError(f"margin {margin} is not in 0..{self.max_margin}")
        if margin == 0 and self.kept is not None:
            return self.kept[np.asarray(indices, dtype=np.int64)]
        side = self.spec.size + 2 * margin
        out = np.empty((len(indices), self.spec.n_bands, side, side), np.float32)
        inner = slice(margin, margin + self.spec.size)
        for row, index in enumerate(indices):
            entry = self.entries[index]
            pixels = self.reader.read(entry, margin).pixels
            if pixels.shape != out.shape[1:]:
                raise DataError(
                    f"{entry.files[0]} has {len(pixels)} bands, the set has "
                    f"{self.spec.n_bands}: take it out of the folder."
                )
            reason = quality.flaw(pixels[:, inner, inner], self.spec.photometric)
            if reason is not None:
                raise DataError(f"{entry.files[0]} is bad ({reason}): take it out of the folder.")
            out[row] = np.nan_to_num(pixels, posinf=0.0, neginf=0.0) if margin else pixels
        return out


def open_folder(
    source: str | Path,
    *,
    size: int | None = None,
    crop: int | None = None,
    bands: tuple[str, ...] | None = None,
    labels: str | None = None,
    condition: str | Sequence[str] = (),
    group: str | None = None,
    select: str | None = None,
    stated: Stated | None = None,
    count: int | None = None,
    seed: int = 0,
    bad_fraction: float = 0.25,
    redshift: str | None = None,
) -> FolderSet:
    """Open a folder; see `galgen.data.sets.open_set` for the options."""
    asked = Asked(labels, condition, group, redshift, bad_fraction)
    index = scan_folder(source)
    root, notes, bad = index.root, list(index.notes), list(index.bad)
    if index.classes and labels is not None:
        notes.remove(classes_note(index.classes))
    entries = list(index.entries)

    def origin() -> FolderOrigin:
        return FolderOrigin(root, [entry.name for entry in entries])

    if select is not None:
        entries = [entries[row] for row in columns.selected(origin(), select, notes)]
    if asked.table_of_labels is not None:
        without = columns.unlabelled(origin(), asked.table_of_labels, notes)
        bad += [(str(entries[row].files[0]), f"no label in {labels}") for row in _true(without)]
        entries = [entries[row] for row in _true(~without)]
    entries = [entries[row] for row in draw(len(entries), count, seed)]
    reader = GalaxyReader(index.kind == "raster", index.bands, bands)
    facts = probe(reader, entries, str(source))
    reader = sized(reader, facts, size, crop, notes)
    loaded = load(reader, entries, majority(facts), bad, bad_fraction, str(source), notes)
    assert reader.size is not None
    names = [entry.name for entry in loaded.entries]
    cutouts = FolderSet(
        spec=spec_of(loaded.facts, reader.size, stated or Stated(), str(source), notes),
        name=short_name(root),
        entries=tuple(loaded.entries),
        reader=reader,
        kept=loaded.kept,
        groups=names,
        labels=None,
        classes=(),
        catalogue={},
        bad=loaded.bad,
        notes=notes,
        max_margin=reader.margin([cutout.native for cutout in loaded.facts]),
    )
    found = FolderOrigin(root, names, [cutout.header for cutout in loaded.facts])
    cutouts = replace(cutouts, catalogue=columns.catalogue_of(found))
    folders = [entry.folder for entry in loaded.entries] if index.classes else None
    return describe(cutouts, found, asked, folders, str(source))


def _true(mask: NDArray[np.bool_]) -> list[int]:
    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows


def short_name(root: Path) -> str:
    """What run folders call a folder of images."""
    full = root.resolve()
    if full.name.lower() in _VAGUE_NAMES and full.parent.name:
        return f"{full.parent.name}-{full.name}"
    return full.name
