"""Whether a pack is as it was written, and whether the files of a folder can be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galgen.data.pack import catalogue as catalogues
from galgen.data.pack import index as indices
from galgen.data.pack.index import PackIndex, Shard
from galgen.data.pack.merging import refuse_unfinished
from galgen.data.pack.npy import HeaderError, start
from galgen.data.pack.plan import Plan
from galgen.data.pack.planning import make_plan
from galgen.data.pack.sources import Source
from galgen.data.pack.workers import Tick, cores, run_all
from galgen.errors import DataError

#: Galaxies of a folder that one process reads at a time.
_PART = 512
_BLOCK = 16 * 1024**2
_CHANGED = "has changed: its sha256 is not the one with which it was written"


@dataclass(frozen=True)
class Check:
    """What is to be checked.

    Attributes
    ----------
    folder
        A pack or a folder of images.
    galaxies
        How many there are to look at.
    index
        Of a pack, else None; `plan` and `source` of a folder, else None.
    """

    folder: Path
    galaxies: int
    index: PackIndex | None = None
    plan: Plan | None = None
    source: Source | None = None


def prepare_check(source: str | Path, **options: Any) -> Check:
    """What there is to check; the files of a pack are there and have their lengths.

    Parameters
    ----------
    source
        Pack or folder of images.
    options
        size, crop and bands as `galgen.data.pack.writing.prepare` has them, for a folder.

    Raises
    ------
    DataError, ConfigError
        If it cannot be opened at all.
    """
    folder = Path(source)
    refuse_unfinished(folder)
    if indices.is_pack(folder):
        index = indices.read(folder)
        return Check(folder, index.count, index)
    plan, files = make_plan(source, options, indices.SHARD_BYTES, 1.0)
    return Check(folder, len(files), None, plan, files)


def run_check(
    check: Check, workers: int | None = None, progress: Tick = lambda count: None
) -> list[tuple[str, str]]:
    """Read everything; (file, reason) of what is wrong.

    Parameters
    ----------
    check
        From `prepare_check`.
    workers
        Processes that read; None for one a core.
    progress
        Called with the number of galaxies since the last call.
    """
    wrong: list[tuple[str, str]] = []
    add: Callable[[list[tuple[str, str]]], None] = wrong.extend
    if check.index is not None:
        wrong += _facts(check.folder, check.index)
        wrong += _catalogue(check.folder, check.index)
        tasks = [_ShardCheck(check.folder, check.index, shard) for shard in check.index.shards]
        run_all(check_shard, tasks, workers or cores(), progress, add, check.folder)
    else:
        assert check.source is not None
        assert check.plan is not None
        wrong += check.plan.bad
        parts = [
            check.source.part(slice(first, first + _PART))
            for first in range(0, check.galaxies, _PART)
        ]
        run_all(check_files, parts, workers or cores(), progress, add, check.folder)
    return sorted(wrong)


@dataclass(frozen=True)
class _ShardCheck:
    folder: Path
    index: PackIndex
    shard: Shard


def check_shard(task: _ShardCheck, tick: Tick, threads: int = 1) -> list[tuple[str, str]]:
    """What is wrong with a shard: its hash, its shape, or pixels that are not finite."""
    folder, index, shard = task.folder, task.index, task.shard
    digest, read, done, bad, flaw = hashlib.sha256(), 0, 0, -1, ""
    with open(folder / shard.file, "rb") as file:
        try:
            first = start(file, index.dtype, (shard.count, *index.shape))
        except HeaderError as error:
            first, flaw = 0, str(error)
        file.seek(0)
        digest.update(file.read(first))
        while block := file.read(_BLOCK):
            digest.update(block)
            if index.dtype == "<f4" and bad < 0 and len(block) % 4 == 0:
                flux = np.frombuffer(block, "<f4")
                # Quicker than a mask of every pixel; a sum may overflow, an extreme cannot.
                if not (np.isfinite(flux.min()) and np.isfinite(flux.max())):
                    bad = (read + 4 * int(np.argmin(np.isfinite(flux)))) // index.row_bytes
            read += len(block)
            now = min(shard.count, read // index.row_bytes)
            tick(now - done)
            done = now
    if digest.hexdigest() != shard.sha256:
        return [(shard.file, _CHANGED)]
    if flaw:
        return [(shard.file, flaw)]
    return [(shard.file, f"its galaxy {bad} has pixels that are not finite")] if bad >= 0 else []


def _facts(folder: Path, index: PackIndex) -> list[tuple[str, str]]:
    """What is wrong with the index and the tables."""
    wrong = []
    state = json.loads((folder / indices.INDEX).read_text(encoding="utf-8"))
    if index.sha256 and indices.own_hash(state) != index.sha256:
        wrong.append((indices.INDEX, _CHANGED))
    for name, sha256 in index.tables.items():
        path = folder / name
        if not path.is_file():
            wrong.append((name, "is missing from the pack"))
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            wrong.append((name, _CHANGED))
    return wrong


def _catalogue(folder: Path, index: PackIndex) -> list[tuple[str, str]]:
    file = str(index.catalogue["file"])
    content = (folder / file).read_bytes()
    if hashlib.sha256(content).hexdigest() != index.catalogue["sha256"]:
        return [(file, _CHANGED)]
    try:
        about = catalogues.read(folder / file)
    except DataError as error:
        return [(file, str(error).rstrip("."))]
    if len(about) != index.count:
        return [(file, f"has {len(about)} rows for {index.count} galaxies")]
    if len(set(about.names)) < len(about):
        return [(file, "names a galaxy twice")]
    unknown = set(about.folders) - set(index.classes) if index.classes else set()
    return [(file, f"has the class {min(unknown)!r}, which the index lacks")] if unknown else []


def check_files(source: Source, tick: Tick, threads: int = 1) -> list[tuple[str, str]]:
    """Files that cannot be used, each with the reason."""
    wrong = []
    for row, outcome in enumerate(source.read(threads)):
        if isinstance(outcome, str):
            wrong.append((source.named(row), outcome))
        tick(1)
    return wrong
