"""Read the galaxies of a folder once: what most of them are, and what is wrong with the rest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galgen.data import quality
from galgen.data.folder import Entry
from galgen.data.reader import GalaxyReader
from galgen.errors import ConfigError, DataError, UserError
from galgen.io import Cutout

#: Sets up to this size are kept in memory as float32.
KEEP_BYTES = 2 * 1024**3
DEFAULT_SIZE = 64
_PROBES = 32
_CHUNK = 256
_NO_PIXELS = np.empty((0, 0, 0), np.float32)


class Kind(NamedTuple):
    """What must be the same in every file of a set."""

    bands: tuple[str, ...] | None
    n_bands: int


@dataclass(frozen=True)
class Loaded:
    """The good galaxies, their facts (without pixels), and what was left out."""

    entries: list[Entry]
    facts: list[Cutout]
    kept: NDArray[np.float32] | None
    bad: list[tuple[str, str]]


def probe(reader: GalaxyReader, entries: Sequence[Entry], source: str) -> list[Cutout]:
    """Facts of up to 32 galaxies spread over the set.

    Raises
    ------
    DataError, ConfigError
        If there is none, or none of them can be read; of the class of the first failure.
    """
    if not entries:
        raise DataError(
            f"{source} has no complete galaxy left: see data.select and the band files."
        )
    spread = np.unique(np.linspace(0, len(entries) - 1, _PROBES).round().astype(int))
    found, failures = [], []
    for row in spread:
        try:
            found.append(_without_pixels(reader.cutout(entries[row], crop=1)))
        except UserError as error:
            failures.append(error)
    if not found:
        unnamed = next((f for f in failures if isinstance(f, ConfigError)), None)
        if unnamed is not None:
            raise unnamed
        raise DataError(
            f"{source} holds no image that can be used: {_reason(failures[0], None)} "
            f"(the first of {len(spread)} tried)."
        )
    return found


def majority(facts: Sequence[Cutout]) -> Kind:
    """Bands of most galaxies; the first met wins a tie."""
    return Counter(_kind(cutout) for cutout in facts).most_common(1)[0][0]


def _kind(cutout: Cutout) -> Kind:
    named = cutout.bands
    return Kind(named, len(named) if named is not None else 1)


def sized(
    reader: GalaxyReader,
    facts: Sequence[Cutout],
    size: int | None,
    crop: int | None,
    notes: list[str],
    most: int | None = DEFAULT_SIZE,
) -> GalaxyReader:
    """The reader with crop and size settled; by default the whole files, `most` pixels at most.

    Raises
    ------
    ConfigError
        If flux would have to be resampled.
    """
    sides = [min(cutout.native) for cutout in facts]
    native, votes = Counter(sides).most_common(1)[0]
    if 2 * votes < len(sides):
        native = min(sides)
    if not reader.raster:
        if crop is not None and size is not None and crop != size:
            raise ConfigError(
                f"--crop {crop} and --size {size} differ, but FITS and .npy are never resampled: "
                f"leave one of them out."
            )
        side = crop or size
        if side is None:
            side = native if most is None else min(native, most)
            what = "the whole of" if side == native else "the centre of"
            notes.append(f"size {side}: {what} the files' {native} pixels (--size).")
        return replace(reader, crop=side, size=side)
    if size is None:
        whole = crop or native
        size = whole if most is None else min(whole, most)
        part = f"a crop of {crop}" if crop else f"the files' {native}"
        how = "" if size == whole else " resized"
        notes.append(f"size {size}: {part} pixels{how} (--size, --crop).")
    return replace(reader, crop=crop, size=size)


def load(
    reader: GalaxyReader,
    entries: Sequence[Entry],
    kind: Kind,
    known_bad: Sequence[tuple[str, str]],
    bad_fraction: float,
    source: str,
    notes: list[str],
) -> Loaded:
    """Read and check every galaxy, and keep the pixels if they fit in memory.

    Raises
    ------
    DataError
        If more than `bad_fraction` of the galaxies are bad, or all.
    """
    assert reader.size is not None
    shape = (kind.n_bands, reader.size, reader.size)
    fits = 4 * len(entries) * int(np.prod(shape)) <= KEEP_BYTES
    kept = np.empty((len(entries), *shape), np.float32) if fits else None
    bad = list(known_bad)
    good: list[Entry] = []
    facts: list[Cutout] = []
    blanks: list[float] = []
    photometric = not reader.raster
    for entry, outcome in _read_all(reader, entries, kind):
        if isinstance(outcome, str):
            bad.append((str(entry.files[0]), outcome))
            continue
        if kept is not None:
            kept[len(good)] = outcome.pixels
        blanks.append(quality.blank(outcome.pixels) if photometric else 0.0)
        good.append(entry)
        facts.append(_without_pixels(outcome))
    rows = _not_blank(np.array(blanks), notes)
    if len(rows) < len(good):
        gone = sorted(set(range(len(good))) - set(rows.tolist()))
        bad += [
            (str(good[i].files[0]), f"blank: {100 * blanks[i]:.0f} % of a band is exactly zero")
            for i in gone
        ]
        good, facts = [good[i] for i in rows], [facts[i] for i in rows]
    stop_if_bad(bad, len(good), bad_fraction, source)
    if kept is not None:
        kept = kept[: len(blanks)] if len(rows) == len(blanks) else kept[rows]
    else:
        notes.append(
            f"the set is larger than {KEEP_BYTES / 1024**3:.0f} GB and is read from its files."
        )
    return Loaded(good, facts, kept, sorted(bad))


def examine(reader: GalaxyReader, entry: Entry, kind: Kind) -> Cutout | str:
    """A galaxy, or why it must be left out of a set of that kind."""
    try:
        cutout = reader.read(entry)
    except UserError as error:
        return _reason(error, entry)
    wrong = _mismatch(cutout, kind) or quality.flaw(cutout.pixels, not reader.raster)
    return cutout if wrong is None else wrong


def _read_all(
    reader: GalaxyReader, entries: Sequence[Entry], kind: Kind
) -> Iterator[tuple[Entry, Cutout | str]]:
    def one(entry: Entry) -> Cutout | str:
        return examine(reader, entry, kind)

    # Pillow and zlib decode outside the interpreter's lock; the FITS reader is too short to gain.
    threads = min(4, os.cpu_count() or 1) if reader.raster else 1
    if threads == 1:
        for entry in entries:
            yield entry, one(entry)
        return
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(entries), _CHUNK):
            chunk = entries[first : first + _CHUNK]
            yield from zip(chunk, pool.map(one, chunk), strict=True)


def _reason(error: UserError, entry: Entry | None) -> str:
    text = str(error).rstrip(".")
    for file in entry.files if entry is not None else ():
        text = text.removeprefix(f"{file} ").removeprefix(f"{file}: ")
    return text


def _without_pixels(cutout: Cutout) -> Cutout:
    return replace(cutout, pixels=_NO_PIXELS)


def _mismatch(cutout: Cutout, kind: Kind) -> str | None:
    have = _kind(cutout)
    if have == kind:
        return None
    names = [", ".join(k.bands) if k.bands else "one unnamed" for k in (have, kind)]
    return f"bands {names[0]} where most files have {names[1]}"


def _not_blank(blanks: NDArray[np.float64], notes: list[str]) -> NDArray[np.int64]:
    over = blanks > quality.MOST_BLANK
    if 2 * over.sum() > len(blanks):
        notes.append("most images hold areas of exact zeros, which are taken for flux.")
        over[:] = False
    return np.flatnonzero(~over)


def stop_if_bad(
    bad: Sequence[tuple[str, str]], n_good: int, bad_fraction: float, source: str
) -> None:
    """Refuse a set of which too much is bad.

    Raises
    ------
    DataError
        If more than `bad_fraction` of the galaxies are bad, or all.
    """
    total = len(bad) + n_good
    if n_good and len(bad) <= bad_fraction * total:
        return
    file, reason = bad[0]
    if n_good:
        raise DataError(
            f"{source}: {len(bad)} of {total} galaxies cannot be used, for example {file} "
            f"({reason}): mend or remove them, or allow more by --set data.bad_fraction="
            f"{min(1.0, np.ceil(100 * len(bad) / total) / 100):g}."
        )
    raise DataError(
        f"{source} holds no image that can be used: all {total} fail, "
        f"for example {file} ({reason})."
    )
