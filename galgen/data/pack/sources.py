"""What a pack is written from, a part at a time: files of a folder, or a set that is open."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galgen.data import quality
from galgen.data.folder import BUILT_IN, Entry
from galgen.data.loading import Kind, examine
from galgen.data.pack.catalogue import Catalogue
from galgen.data.reader import GalaxyReader
from galgen.data.sets import CutoutSet, open_set
from galgen.io import Cutout

#: Galaxies that are read ahead.
_CHUNK = 64


class Source(Protocol):
    """Galaxies in the order of the pack; parts of it can be sent to another process."""

    @property
    def portable(self) -> bool:
        """True where another process can open it without making it anew."""
        ...

    def __len__(self) -> int: ...

    def part(self, rows: slice) -> Source:
        """Some of the galaxies."""
        ...

    def read(self, threads: int = 1) -> Iterator[Cutout | str]:
        """Every galaxy, or why it must be left out."""
        ...

    def named(self, row: int) -> str:
        """What a galaxy is called in the list of bad ones."""
        ...

    def texts(self, rows: Sequence[int], cutouts: Sequence[Cutout]) -> Catalogue:
        """What is known of some galaxies, whose `cutouts` may have no pixels."""
        ...

    def stamp(self) -> str:
        """Changes with the files, as far as their sizes and times tell."""
        ...


def blank_reason(share: float) -> str:
    """Why a galaxy of which an area is exactly zero must be left out."""
    return f"blank: {100 * share:.0f} % of a band is exactly zero"


@dataclass(frozen=True)
class FileSource:
    """Galaxies of a folder.

    Attributes
    ----------
    root
        The folder; the names of files in a pack are relative to it.
    reader, kind
        How they are read, and what they must have in common.
    zeros
        True where areas of exact zeros are flux.
    entries
        The galaxies, sorted by name.
    columns
        Texts of the folder's own table, one for each galaxy.
    """

    root: Path
    reader: GalaxyReader
    kind: Kind
    zeros: bool
    entries: tuple[Entry, ...]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def portable(self) -> bool:
        """True: these are names of files."""
        return True

    def __len__(self) -> int:
        return len(self.entries)

    def part(self, rows: slice) -> FileSource:
        """Some of the galaxies."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return replace(self, entries=self.entries[rows], columns=columns)

    def read(self, threads: int = 1) -> Iterator[Cutout | str]:
        """Every galaxy, or why it must be left out."""
        # Pillow decodes outside the interpreter's lock; the FITS reader is too short to gain.
        if threads == 1 or not self.reader.raster:
            yield from map(self._one, self.entries)
            return
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(self.entries), _CHUNK):
                yield from pool.map(self._one, self.entries[first : first + _CHUNK])

    def _one(self, entry: Entry) -> Cutout | str:
        cutout = examine(self.reader, entry, self.kind)
        if isinstance(cutout, str) or self.reader.raster or self.zeros:
            return cutout
        share = quality.blank(cutout.pixels)
        return blank_reason(share) if share > quality.MOST_BLANK else cutout

    def named(self, row: int) -> str:
        """The first file of a galaxy."""
        return relative(self.entries[row].files[0], self.root)

    def texts(self, rows: Sequence[int], cutouts: Sequence[Cutout]) -> Catalogue:
        """Names, files, class folders, the row of the table and the cards of the header."""
        keys = dict.fromkeys(key for cutout in cutouts for key in cutout.header)
        return Catalogue(
            [self.entries[row].name for row in rows],
            [self.named(row) for row in rows],
            [self.entries[row].folder or "" for row in rows],
            {name: [column[row] for row in rows] for name, column in self.columns.items()},
            {key: [str(cutout.header.get(key, "")) for cutout in cutouts] for key in keys},
        )

    def stamp(self) -> str:
        """A hash of the sizes and times of the files."""
        digest = hashlib.sha256()
        for entry in self.entries:
            for file in entry.files:
                try:
                    about = os.stat(file)
                    digest.update(b"%d %d;" % (about.st_size, about.st_mtime_ns))
                except OSError:
                    digest.update(b"-;")
        return digest.hexdigest()


def relative(file: str | Path, root: Path) -> str:
    """Name of a file below `root`, with slashes."""
    return str(file).removeprefix(f"{root}{os.sep}").replace(os.sep, "/")


@dataclass(frozen=True)
class SetSource:
    """Galaxies of a built-in set, or of packs.

    Attributes
    ----------
    openers
        Each set as `open_set` is asked for it: (source, options); opened once a process.
    places
        (set, row) of each galaxy.
    facts
        What holds for all of them, without pixels.
    about
        What is known of each galaxy.
    zeros
        True where areas of exact zeros are flux; None where nothing need be checked.
    """

    openers: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    places: tuple[tuple[int, int], ...]
    facts: Cutout
    about: Catalogue
    zeros: bool | None

    @property
    def portable(self) -> bool:
        """True for packs."""
        return not any(source in BUILT_IN for source, _ in self.openers)

    def __len__(self) -> int:
        return len(self.places)

    def part(self, rows: slice) -> SetSource:
        """Some of the galaxies."""
        chosen = range(len(self))[rows]
        return replace(self, places=self.places[rows], about=taken(self.about, chosen))

    def read(self, threads: int = 1) -> Iterator[Cutout | str]:
        """Every galaxy, or why it must be left out."""
        for first in range(0, len(self), _CHUNK):
            places = self.places[first : first + _CHUNK]
            chunk: dict[tuple[int, int], NDArray[np.float32]] = {}
            for number in dict.fromkeys(number for number, _ in places):
                rows = [row for each, row in places if each == number]
                pixels = opened(*self.openers[number]).read(rows)
                chunk.update(zip(((number, row) for row in rows), pixels, strict=True))
            for place in places:
                yield self._checked(chunk[place])

    def _checked(self, pixels: NDArray[np.float32]) -> Cutout | str:
        if self.zeros is not None:
            reason = quality.flaw(pixels, not self.facts.display)
            if reason is not None:
                return reason
        if self.zeros is False and not self.facts.display:
            share = quality.blank(pixels)
            if share > quality.MOST_BLANK:
                return blank_reason(share)
        return replace(self.facts, pixels=pixels, native=pixels.shape[-2:])

    def named(self, row: int) -> str:
        """The file that a galaxy came from, else its name."""
        return self.about.files[row] or self.about.names[row]

    def texts(self, rows: Sequence[int], cutouts: Sequence[Cutout]) -> Catalogue:
        """What the set knows of the galaxies."""
        return taken(self.about, rows)

    def stamp(self) -> str:
        """Nothing: a set does not change while it is open, and packs have a hash."""
        return ""


@lru_cache(maxsize=64)
def opened(source: str, options: tuple[tuple[str, Any], ...]) -> CutoutSet:
    """A set, opened once in a process."""
    return open_set(source, **dict(options))


def taken(about: Catalogue, rows: Sequence[int]) -> Catalogue:
    """What is known of some of the galaxies."""

    def some(texts: Sequence[str]) -> list[str]:
        return [texts[row] for row in rows] if texts else []

    return Catalogue(
        some(about.names),
        some(about.files),
        some(about.folders),
        {key: some(texts) for key, texts in about.columns.items()},
        {key: some(texts) for key, texts in about.headers.items()},
    )


def as_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """The same values 0..255 in one byte each, None where they are others."""
    with np.errstate(invalid="ignore"):
        small = pixels.astype(np.uint8)
    return small if np.array_equal(small, pixels) else None
