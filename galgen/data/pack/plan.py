"""What a pack will be, decided before its first shard is written: the same in every job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from galgen.data import quality
from galgen.data.facts import Stated
from galgen.data.pack import index as indices
from galgen.data.pack.sources import FileSource, Source, as_bytes
from galgen.data.table import CATALOGUE_NAMES

#: Galaxies that are read to know whether exact zeros are flux, and whether pixels are bytes.
_TRIED, _TRIED_PICTURES = 256, 32
#: Keys of a plan that two jobs of one pack may have different.
_MAY_CHANGE = ("source", "notes", "sizes", "bad_fraction")


@dataclass(frozen=True)
class Plan:
    """What every shard follows from, in JSON types.

    Attributes
    ----------
    galgen, source, options, kind, shape, dtype, classes, bad, notes
        As in `galgen.data.pack.index.PackIndex`; `bad` are those that need not be read.
    sizes
        Sentences on the size that was chosen.
    entries, names
        How many galaxies are read, and a hash of what they are called.
    shard_bytes, per_shard
        Bytes of pixels in a shard, and galaxies that are read for one.
    zeros
        As `FileSource.zeros`.
    own, tables
        The folder's own table, and a hash of every table in it by name.
    bad_fraction
        Stop if a larger fraction is bad; it may change while the pack is written.
    """

    galgen: str
    source: str
    options: dict[str, Any]
    kind: str
    shape: tuple[int, int, int]
    dtype: str
    entries: int
    names: str
    shard_bytes: int
    per_shard: int
    classes: tuple[str, ...] = ()
    zeros: bool | None = None
    own: str | None = None
    tables: dict[str, str] = field(default_factory=dict)
    bad: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    bad_fraction: float = 0.25

    @property
    def shards(self) -> int:
        """How many shards there will be at most."""
        return -(-self.entries // self.per_shard)

    @property
    def copied(self) -> list[str]:
        """Tables that go into the pack as they are."""
        return [name for name in self.tables if name not in (self.own, indices.CATALOGUE)]

    def rows(self, number: int) -> slice:
        """Galaxies that are read for a shard."""
        return slice(number * self.per_shard, min(self.entries, (number + 1) * self.per_shard))

    def identity(self) -> dict[str, Any]:
        """All but what may change while the pack is written."""
        state = json.loads(json.dumps(asdict(self)))
        return {k: v for k, v in state.items() if k not in _MAY_CHANGE}

    def full(self, bad: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Bad files with the folder before their names, for messages."""
        folder = Path(self.source)
        if not folder.is_absolute() or indices.is_pack(folder):
            return list(bad)
        return [(str(folder / file), reason) for file, reason in bad]

    def digest(self) -> str:
        """A hash of the identity."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Plan:
        """Inverse of `dataclasses.asdict` by way of JSON."""
        known = dict(state)
        for name in ("shape", "classes", "notes", "sizes"):
            known[name] = tuple(known[name])
        known["bad"] = tuple((file, reason) for file, reason in known["bad"])
        return cls(**known)


def stated(options: Mapping[str, Any]) -> Stated:
    """What the user says about the images."""
    return Stated(*(options.get(name) for name in ("unit", "magzero", "pixscale", "psf_fwhm")))


def tables_in(root: Path) -> dict[str, str]:
    """Hash of every table that ``FILE:COLUMN`` could name."""
    found = [*root.glob("*.csv"), *(root / name for name in CATALOGUE_NAMES)]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(set(found))
        if path.is_file() and not path.name.startswith(".")
    }


def tried(files: Source, integers: bool, notes: list[str]) -> tuple[bool, bool]:
    """Whether areas of exact zeros are flux, and whether pixels fit into a byte each."""
    if not integers and isinstance(files, FileSource) and files.reader.raster:
        return True, False
    step = -(-len(files) // (_TRIED_PICTURES if integers else _TRIED))
    good = [each for each in files.part(slice(0, None, step)).read() if not isinstance(each, str)]
    if integers:
        return True, bool(good) and all(as_bytes(each.pixels) is not None for each in good)
    if not good or good[0].display:
        return True, False
    blank = [quality.blank(cutout.pixels) > quality.MOST_BLANK for cutout in good]
    zeros = 2 * sum(blank) > len(blank)
    if zeros:
        notes.append("most images hold areas of exact zeros, which are taken for flux.")
    return zeros, False


def hashed(texts: Iterable[str]) -> str:
    """A hash of some lines."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def galaxies_a_shard(shape: tuple[int, int, int], dtype: str, shard_bytes: int) -> int:
    """How many galaxies of that shape and type a shard of so many bytes has room for."""
    return max(1, shard_bytes // (int(np.prod(shape)) * int(dtype[-1])))
