"""What a pack will be, decided before its first shard is written: the same in every job."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import galgen
from galgen.data import columns, quality
from galgen.data.draw import draw
from galgen.data.facts import UNKNOWN_UNIT, Stated, spec_of
from galgen.data.folder import BUILT_IN, Entry, scan_folder
from galgen.data.loading import majority, probe, sized
from galgen.data.pack import catalogue as catalogues
from galgen.data.pack import index as indices
from galgen.data.pack.catalogue import Catalogue
from galgen.data.pack.sources import (
    FileSource,
    SetSource,
    Source,
    as_bytes,
    opened,
    relative,
    taken,
)
from galgen.data.reader import GalaxyReader
from galgen.data.sets import CutoutSet
from galgen.data.source import canonical
from galgen.data.table import CATALOGUE_NAMES, folder_catalogue, read_table
from galgen.errors import ConfigError
from galgen.io import Cutout

#: Galaxies that are read to know how the pixels are kept, and whether exact zeros are flux.
_TRIED = 256
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


def make_plan(
    source: str | Path, options: Mapping[str, Any], shard_bytes: int, bad_fraction: float
) -> tuple[Plan, Source]:
    """The plan for a folder, a pack or a built-in set, and what it is written from.

    Parameters
    ----------
    source
        As `galgen.data.sets.open_set` has it.
    options
        Those of `open_set` that decide pixels, galaxies and facts, None for not given.
    shard_bytes
        Bytes of pixels in a shard.
    bad_fraction
        As `open_set`.

    Raises
    ------
    DataError, ConfigError
        As `open_set`, as far as a sample of the galaxies shows it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "count" not in given and str(source) != "sersic":
        given.pop("seed", None)
    if str(source) in BUILT_IN or indices.is_pack(source):
        return of_sets([str(source)], given, shard_bytes, bad_fraction)
    return _of_folder(Path(source), given, shard_bytes, bad_fraction)


def _of_folder(
    root: Path, given: dict[str, Any], shard_bytes: int, bad_fraction: float
) -> tuple[Plan, Source]:
    index = scan_folder(root)
    notes, entries = list(index.notes), list(index.entries)
    if "select" in given:
        origin = columns.FolderOrigin(root, [entry.name for entry in entries])
        entries = [entries[row] for row in columns.selected(origin, given["select"], notes)]
    entries = [entries[row] for row in draw(len(entries), given.get("count"), given.get("seed", 0))]
    bands = tuple(given["bands"]) if "bands" in given else None
    reader = GalaxyReader(index.kind == "raster", index.bands, bands)
    facts = probe(reader, entries, str(root))
    sizes: list[str] = []
    reader = _whole(reader, facts, given.get("size"), given.get("crop"), sizes)
    kind = majority(facts)
    assert reader.size is not None
    most, needed = max(min(cutout.native) for cutout in facts), reader.crop or reader.size
    if most < needed:
        raise ConfigError(
            f"{root} holds files of {most} pixels, fewer than the {needed} asked for: lower --size "
            "or --crop."
        )
    # Differences that no file of the set can mend show before anything is written.
    first = [cutout for cutout in facts if majority([cutout]) == kind]
    spec_of(first, reader.size, stated(given), str(root), [])
    own, texts = _own_table(root, entries)
    files = FileSource(root, reader, kind, True, tuple(entries), texts)
    zeros, small = _tried(files, reader.raster and reader.crop == reader.size, notes)
    shape = (kind.n_bands, reader.size, reader.size)
    dtype = "|u1" if small else "<f4"
    plan = Plan(
        galgen=galgen.__version__,
        source=canonical(root),
        options=given,
        kind=indices.PICTURE if reader.raster else indices.FLUX,
        shape=shape,
        dtype=dtype,
        entries=len(entries),
        names=_hash(f"{entry.name}\0{entry.files}" for entry in _relative(entries, root)),
        shard_bytes=shard_bytes,
        per_shard=_per_shard(shape, dtype, shard_bytes),
        classes=index.classes,
        zeros=zeros,
        own=own,
        tables=_tables(root),
        bad=tuple((relative(file, root), reason) for file, reason in index.bad),
        notes=tuple(notes),
        sizes=tuple(sizes),
        bad_fraction=bad_fraction,
    )
    return plan, replace(files, zeros=zeros)


def _whole(
    reader: GalaxyReader,
    facts: Sequence[Cutout],
    size: int | None,
    crop: int | None,
    notes: list[str],
) -> GalaxyReader:
    """The reader with crop and size settled, by default so that nothing is resized."""
    chosen = sized(reader, facts, size, crop, notes, most=None)
    if not reader.raster or size is not None:
        return chosen
    sides = Counter(min(cutout.native) for cutout in facts)
    if chosen.crop is None and 2 * sides[chosen.size or 0] >= len(facts):
        return replace(chosen, crop=chosen.size)
    return chosen


def _own_table(root: Path, entries: Sequence[Entry]) -> tuple[str | None, dict[str, list[str]]]:
    """Name of the folder's own table if it names the files, and a text for each galaxy."""
    path = folder_catalogue(root)
    if path is None:
        return None, {}
    table = read_table(path)
    rows = table.match([entry.name for entry in entries])
    if rows is None:
        return None, {}
    return path.name, {
        key: [column[row] if row >= 0 else "" for row in rows]
        for key, column in table.columns.items()
    }


def _tables(root: Path) -> dict[str, str]:
    """Hash of every table that ``FILE:COLUMN`` could name."""
    found = [*root.glob("*.csv"), *(root / name for name in CATALOGUE_NAMES)]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(set(found))
        if path.is_file() and not path.name.startswith(".")
    }


def _extra(source: str) -> list[str]:
    return [name for name in _tables(Path(source)) if name != indices.CATALOGUE]


def _tried(files: Source, integers: bool, notes: list[str]) -> tuple[bool, bool]:
    """Whether areas of exact zeros are flux, and whether pixels fit into a byte each."""
    if not integers and isinstance(files, FileSource) and files.reader.raster:
        return True, False
    step = -(-len(files) // (32 if integers else _TRIED))
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


def _relative(entries: Sequence[Entry], root: Path) -> Sequence[Any]:
    return [replace(e, files=tuple(relative(f, root) for f in e.files)) for e in entries]  # type: ignore[misc]


def _hash(texts: Any) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def _per_shard(shape: tuple[int, int, int], dtype: str, shard_bytes: int) -> int:
    return max(1, shard_bytes // (int(np.prod(shape)) * int(dtype[-1])))


def of_sets(
    sources: Sequence[str], given: dict[str, Any], shard_bytes: int, bad_fraction: float
) -> tuple[Plan, Source]:
    """The plan for a built-in set, or for one pack of several; as `make_plan`."""
    asked, whole = dict(given), None
    if sources[0] not in BUILT_IN:
        whole = indices.read(sources[0])
        if "size" not in asked:
            asked["size"] = asked.get("crop", whole.checked)
    options = tuple(sorted(asked.items()))
    cutouts: list[CutoutSet] = []
    for source in sources:
        same = whole is None or indices.read(source).checked == whole.checked or "size" in given
        cutouts += [opened(source, options)] if same else []
        if not same or cutouts[-1].spec != cutouts[0].spec:
            raise ConfigError(
                f"{source} and {sources[0]} differ in size, bands, unit or scale: "
                "only packs of one kind can become one."
            )
    spec = cutouts[0].spec
    about = [_about(source, each) for source, each in zip(sources, cutouts, strict=True)]
    every = catalogues.joined(about)
    places = [(k, row) for k, each in enumerate(cutouts) for row in range(len(each))]
    order = list(range(len(places)))
    if len(sources) > 1:
        order.sort(key=lambda row: every.names[row])
        every = taken(every, order)
    for name, following in pairwise(every.names):
        if name == following:
            raise ConfigError(
                f"{' and '.join(sources)} both have a galaxy called {name}: rename it in one."
            )
    unnamed = whole is not None and whole.bands is None and "bands" not in asked
    facts = Cutout(
        np.empty((0, 0, 0), np.float32),
        bands=None if unnamed else spec.bands,
        unit=None if spec.unit == UNKNOWN_UNIT else spec.unit,
        zero_points=spec.zero_points,
        pixel_scale=spec.pixel_scale,
        psf_fwhm=spec.psf_fwhm,
        display=spec.display,
    )
    zeros = None if whole is None else True
    files = SetSource(
        tuple((source, options) for source in sources),
        tuple(places[row] for row in order),
        facts,
        every,
        zeros,
    )
    notes = [note for each in cutouts for note in each.notes if not note.startswith("size ")]
    if "group" in every.columns and whole is None:
        notes.append(
            "neighbours overlap: they are held out together by --set data.group=catalogue:group."
        )
    blank, small = _tried(files, spec.display, notes)
    zeros = None if zeros is None else blank
    dtype = "|u1" if small else "<f4"
    root = Path(sources[0]) if whole is not None and len(sources) == 1 else None
    if len(sources) > 1 and any(_extra(source) for source in sources):
        notes.append("tables beside the packs stay with them: name one by its path, FILE:COLUMN.")
    own = None if whole is None else whole.catalogue.get("own")
    plan = Plan(
        galgen=galgen.__version__,
        source=", ".join(map(canonical, sources)),
        options=given,
        kind=indices.FLUX if whole is None else whole.kind,
        shape=spec.shape,
        dtype=dtype,
        entries=len(places),
        names=_hash([*every.names, *(repr(_hashes(source)) for source in sources)]),
        shard_bytes=shard_bytes,
        per_shard=_per_shard(spec.shape, dtype, shard_bytes),
        classes=tuple(sorted({folder for folder in every.folders if folder})),
        zeros=zeros,
        own=own,
        tables={} if root is None else _tables(root),
        bad=tuple((str(file), reason) for each in cutouts for file, reason in each.bad),
        notes=tuple(dict.fromkeys(notes)),
        bad_fraction=bad_fraction,
    )
    return plan, replace(files, zeros=zeros)


def _hashes(source: str) -> list[str]:
    if source in BUILT_IN:
        return [source]
    index = indices.read(source)
    return [shard.sha256 for shard in index.shards] + [str(index.catalogue["sha256"])]


def _about(source: str, cutouts: CutoutSet) -> Catalogue:
    """What a set knows of its galaxies, as text."""
    if source not in BUILT_IN:
        every = catalogues.read(Path(source) / indices.CATALOGUE)
        row = {name: k for k, name in enumerate(every.names)}
        return taken(every, [row[name] for name in cutouts.names])
    texts = {key: [str(each) for each in v.tolist()] for key, v in cutouts.catalogue.items()}
    if source == "sersic":
        from galgen.data.sersic import KINDS

        texts["kind"] = [KINDS[int(kind)] for kind in texts["kind"]]
    if list(cutouts.groups) != list(cutouts.names):
        texts["group"] = list(cutouts.groups)
    nothing = [""] * len(cutouts)
    return Catalogue(list(cutouts.names), nothing, nothing, texts)
