"""A pack as a set: pixels from memory-mapped shards, facts from the index and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import DISPLAY_UNIT, ImageSpec
from galgen.conditions import Number
from galgen.data import columns
from galgen.data.columns import FolderOrigin, Opened
from galgen.data.described import Asked, describe
from galgen.data.draw import draw
from galgen.data.facts import Stated, spec_of
from galgen.data.folder import classes_note
from galgen.data.folder_set import short_name
from galgen.data.loading import sized
from galgen.data.pack import catalogue as catalogues
from galgen.data.pack import index as indices
from galgen.data.pack.catalogue import Catalogue
from galgen.data.pack.index import PackIndex
from galgen.data.pack.pixels import Pixels
from galgen.data.reader import GalaxyReader
from galgen.data.table import Table, numbers_of
from galgen.data.wanted import CATALOGUE
from galgen.errors import ConfigError, DataError
from galgen.io import Cutout
from galgen.io.raster import resize
from galgen.io.read import channels_of

#: Pictures that are resized at a time.
_CHUNK = 64


@dataclass(frozen=True)
class PackSet:
    """A `galgen.data.sets.CutoutSet` over a pack; `rows` are those of its galaxies in the pack."""

    spec: ImageSpec
    name: str
    pixels: Pixels
    rows: NDArray[np.int64]
    reader: GalaxyReader
    channels: tuple[int, ...] | None
    names: Sequence[str]
    groups: Sequence[str]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    catalogue: Mapping[str, NDArray[np.generic]]
    bad: Sequence[tuple[str, str]]
    notes: Sequence[str]
    max_margin: int
    about: Catalogue
    numbers: tuple[Number, ...] = ()
    values: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def files(self) -> Sequence[str]:
        """What each galaxy was called where it was packed."""
        if len(self) == len(self.about):
            return self.about.files
        return [self.about.files[row] for row in self.rows.tolist()]

    def keep(self, rows: NDArray[np.int64], bad: Sequence[tuple[str, str]]) -> PackSet:
        """The same set with these galaxies alone, and with what was left out."""
        chosen = rows.tolist()
        return replace(
            self,
            rows=self.rows[rows],
            names=[self.names[row] for row in chosen],
            groups=[self.groups[row] for row in chosen],
            labels=None if self.labels is None else self.labels[rows],
            values=None if self.values is None else self.values[rows],
            catalogue=_Some(self.catalogue, rows),
            bad=bad,
        )

    def read(self, indices: Sequence[int], margin: int = 0) -> NDArray[np.float32]:
        """Galaxies from the shards, pictures resized; nothing is kept in memory."""
        if not 0 <= margin <= self.max_margin:
            raise ValueError(f"margin {margin} is not in 0..{self.max_margin}")
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        checked = self.pixels.index.checked
        side = self.reader.side((checked, checked), margin)
        out = self.spec.size + 2 * margin
        if side == out:
            return self.pixels.read(rows, side, self.channels)
        resized = np.empty((len(rows), self.spec.n_bands, out, out), np.float32)
        for first in range(0, len(rows), _CHUNK):
            part = slice(first, first + _CHUNK)
            resized[part] = resize(self.pixels.read(rows[part], side, self.channels), out)
        return resized


class _Some(Mapping[str, NDArray[np.generic]]):
    """Some rows of columns, each made when it is looked at: packs have many of either."""

    def __init__(self, columns: Mapping[str, Any], rows: NDArray[np.int64]) -> None:
        self._columns, self._rows = columns, rows
        self._done: dict[str, NDArray[np.generic]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self._done:
            self._done[name] = self._make(name)
        return self._done[name]

    def _make(self, name: str) -> NDArray[np.generic]:
        own = self._columns
        column = own.numbers(name) if isinstance(own, catalogues.Columns) else None
        column = own[name] if column is None else column
        if isinstance(column, np.ndarray):
            return np.asarray(column[self._rows])
        return numbers_of([column[row] for row in self._rows.tolist()])


@dataclass(frozen=True)
class PackOrigin:
    """The `galgen.data.columns.Origin` of a pack: its catalogue, else tables in its folder."""

    root: Path
    names: Sequence[str]
    rows: NDArray[np.int64]
    index: PackIndex
    about: Catalogue

    def own(self) -> str | None:
        """Name of the table that lay among the images."""
        name = self.index.catalogue.get("own")
        return str(name) if name is not None else CATALOGUE if self.about.columns else None

    def table(self, file: str, said: str, otherwise: str = "") -> Opened:
        """The catalogue, or a table in the pack or by its path; see `Origin.table`."""
        if file in (CATALOGUE, self.own(), self.index.catalogue["file"]):
            if not self.about.columns:
                columns.refuse_no_table(self.root, said, otherwise)
            path = self.root / str(self.index.catalogue["file"])
            assert isinstance(self.about.columns, catalogues.Columns)
            there = self.about.columns.present()
            if there.all():
                return Opened(Table(path, self.about.columns), self.rows)
            # Integers of 17 digits would not stay so beside the empty cells of the others.
            rows = np.where(there, np.cumsum(there) - 1, -1)[self.rows]
            some = catalogues.Rows(self.about.columns, np.flatnonzero(there))
            return Opened(Table(path, some), rows)
        return FolderOrigin(self.root, self.names).table(file, said, otherwise)

    def headers(self) -> tuple[Mapping[str, Sequence[str]], NDArray[np.int64]]:
        """Cards of the files that were packed."""
        return self.about.headers, self.rows

    def only(self, names: Sequence[str]) -> PackOrigin:
        """Some of the galaxies."""
        row = dict(zip(self.names, self.rows.tolist(), strict=True))
        return replace(self, names=names, rows=np.array([row[n] for n in names], dtype=np.int64))


def open_pack(
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
) -> PackSet:
    """Open a pack; see `galgen.data.sets.open_set` for the options.

    No pixel is read: they were checked when they were packed.
    """
    root, said = Path(source), str(source)
    index = indices.read(root)
    about = catalogues.read(root / str(index.catalogue["file"]))
    if len(about) != index.count:
        raise DataError(
            f"{root} has {len(about)} rows in its catalogue and {index.count} galaxies: pack the "
            "set again."
        )
    asked = Asked(labels, condition, group, redshift, bad_fraction)
    notes = [n for n in index.notes if labels is None or n != classes_note(index.classes)]
    bad = list(index.bad) if select is None and count is None else []
    every = PackOrigin(root, about.names, np.arange(index.count), index, about)

    def origin(rows: NDArray[np.int64]) -> PackOrigin:
        if len(rows) == index.count:
            return every
        return replace(every, names=[about.names[row] for row in rows.tolist()], rows=rows)

    rows = every.rows
    if select is not None:
        rows = columns.selected(every, select, notes)
    if asked.table_of_labels is not None:
        without = columns.unlabelled(origin(rows), asked.table_of_labels, notes)
        bad += [(about.files[row], f"no label in {labels}") for row in rows[without].tolist()]
        rows = rows[~without]
    rows = rows[draw(len(rows), count, seed)]
    found = origin(rows)
    picture = index.kind == indices.PICTURE
    channels, names = channels_of(index.bands, index.shape[0], bands, picture, root)
    facts = _facts(index, names, channels)
    reader = sized(GalaxyReader(picture, None, bands), [facts], size, crop, notes)
    cutouts = PackSet(
        spec=spec_of([facts], _fitting(reader, index, root), stated or Stated(), said, notes),
        name=short_name(root),
        pixels=Pixels(root, index),
        rows=rows,
        reader=reader,
        channels=None if channels == list(range(index.shape[0])) else tuple(channels),
        names=found.names,
        groups=found.names,
        labels=None,
        classes=(),
        catalogue=_Some(about.columns, rows),
        bad=sorted(bad),
        notes=notes,
        max_margin=reader.margin([index.shape[1:]]),
        about=about,
    )
    cutouts = replace(cutouts, notes=list(dict.fromkeys(notes)))
    folders = [about.folders[row] for row in rows.tolist()] if index.classes else None
    return describe(cutouts, found, asked, folders, said)


def _fitting(reader: GalaxyReader, index: PackIndex, root: Path) -> int:
    """The size, if every galaxy was checked over the whole of it."""
    assert reader.size is not None
    side = reader.side((index.checked, index.checked))
    if side > index.checked or (reader.raster and side < reader.size and reader.crop is None):
        wanted = reader.size if not reader.raster or reader.crop is None else side
        raise ConfigError(
            f"{root} holds galaxies of {index.checked} x {index.checked} pixels, fewer than the "
            f"{wanted} asked for: lower --size or --crop, or pack the set again."
        )
    return reader.size


def _facts(index: PackIndex, names: tuple[str, ...] | None, channels: Sequence[int]) -> Cutout:
    def some(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(values[channel] for channel in channels)

    side = index.checked
    return Cutout(
        pixels=np.empty((0, 0, 0), np.float32),
        bands=names,
        unit=index.unit,
        zero_points=some(index.zero_points),
        pixel_scale=index.pixel_scale,
        psf_fwhm=some(index.psf_fwhm),
        # As galgen writes the samples of a model that was trained on pictures.
        display=index.kind == indices.PICTURE or index.unit == DISPLAY_UNIT,
        native=(side, side),
    )
