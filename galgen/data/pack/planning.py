"""The plan for a pack of a folder; that of sets which are open is `galgen.data.pack.joining`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import galgen
from galgen.data import columns
from galgen.data.draw import draw
from galgen.data.facts import spec_of
from galgen.data.folder import BUILT_IN, Entry, scan_folder
from galgen.data.loading import majority, probe, sized
from galgen.data.pack import index as indices
from galgen.data.pack.catalogue import refuse_columns
from galgen.data.pack.joining import of_sets
from galgen.data.pack.plan import Plan, galaxies_a_shard, hashed, stated, tables_in, tried
from galgen.data.pack.sources import FileSource, Source, relative
from galgen.data.reader import GalaxyReader
from galgen.data.source import canonical
from galgen.data.table import folder_catalogue, read_table
from galgen.errors import ConfigError
from galgen.io import Cutout


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
    own, texts = _own_table(root, entries, notes)
    files = FileSource(root, reader, kind, True, tuple(entries), texts)
    zeros, small = tried(files, reader.raster and reader.crop == reader.size, notes)
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
        names=hashed(f"{entry.name}\0{entry.files}" for entry in _relative(entries, root)),
        shard_bytes=shard_bytes,
        per_shard=galaxies_a_shard(shape, dtype, shard_bytes),
        classes=index.classes,
        zeros=zeros,
        own=own,
        tables=tables_in(root),
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


def _own_table(
    root: Path, entries: Sequence[Entry], notes: list[str]
) -> tuple[str | None, dict[str, list[str]]]:
    """Name of the folder's own table if it names the files, and a text for each galaxy."""
    path = folder_catalogue(root)
    if path is None:
        return None, {}
    table = read_table(path)
    rows = table.match([entry.name for entry in entries])
    if rows is None:
        return None, {}
    if "" in table.columns:
        notes.append(f"{path.name} has a column without a name, which is left out.")
    columns = {key: column for key, column in table.columns.items() if key}
    refuse_columns(columns, str(path))
    return path.name, {
        key: [column[row] if row >= 0 else "" for row in rows] for key, column in columns.items()
    }


def _relative(entries: Sequence[Entry], root: Path) -> Sequence[Any]:
    return [replace(e, files=tuple(relative(f, root) for f in e.files)) for e in entries]  # type: ignore[misc]
