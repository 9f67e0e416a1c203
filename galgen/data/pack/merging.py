"""Put a pack together from the shards that several jobs wrote."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from galgen.data.facts import UNKNOWN_UNIT, spec_of
from galgen.data.loading import stop_if_bad
from galgen.data.pack import catalogue as catalogues
from galgen.data.pack import index as indices
from galgen.data.pack.index import PackIndex, Shard
from galgen.data.pack.plan import Plan, hashed, stated
from galgen.data.pack.shards import (
    GENERATED,
    PLAN,
    UNFINISHED,
    Written,
    make_unfinished,
    placed,
    read_written,
    remove_stale,
    sidecar,
)
from galgen.errors import DataError, OutputError

_BLOCK = 16 * 1024**2


def read_plan(folder: Path) -> Plan:
    """The plan of a pack that is being written.

    Raises
    ------
    DataError
        If there is none, or it is damaged.
    """
    path = folder / UNFINISHED / PLAN
    _refuse_generated(folder)
    try:
        return Plan.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no part of a pack: give the OUT of galgen data pack --shard."
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}): pack the set again.") from None


def is_part(folder: Path) -> bool:
    """True for a pack that is being written, or a part of one."""
    return (folder / UNFINISHED / PLAN).is_file()


def refuse_unfinished(folder: Path) -> None:
    """Say of a pack without an index how far it is.

    Raises
    ------
    DataError
        If the folder is one.
    """
    if indices.is_pack(folder):
        return
    _refuse_generated(folder)
    if is_part(folder):
        plan = read_plan(folder)
        digest = plan.digest()
        done = sum(read_written(folder, k, digest) is not None for k in range(plan.shards))
        raise DataError(
            f"{folder} is a pack that is not finished, with {done} of {shards(plan.shards)}: give "
            f"the command galgen data pack again, or galgen data merge {folder} after the jobs of "
            "an array."
        )
    catalogue = (folder / indices.CATALOGUE).is_file()
    if catalogue and any(folder.glob("shard-?????.npy")):
        raise DataError(
            f"{folder / indices.INDEX} is missing, and without it {folder} is no pack: copy it "
            "there, or pack the set again."
        )


def _refuse_generated(folder: Path) -> None:
    """Say that galaxies are still being drawn into a folder.

    Raises
    ------
    DataError
        If they are.
    """
    if (folder / UNFINISHED / GENERATED).is_file() and not indices.is_pack(folder):
        raise DataError(
            f"{folder} is a pack of generated galaxies that is not finished: give the command "
            "galgen sample --pack again."
        )


def finish(folder: str | Path, bad_fraction: float | None = None) -> PackIndex:
    """Write catalogue and index of a pack whose shards are all there.

    Parameters
    ----------
    folder
        The pack.
    bad_fraction
        Stop if a larger fraction of the galaxies is bad; None for what `pack` was told.

    Raises
    ------
    DataError
        If shards are missing, too many galaxies are bad, or facts differ between files.
    OutputError
        If it cannot be written.
    """
    folder = Path(folder)
    try:
        plan = read_plan(folder)
        shards = _all_shards(folder, plan)
    except DataError:
        if not indices.is_pack(folder):
            raise
        # Another command was quicker.
        return indices.read(folder)
    bad = sorted([*plan.bad, *(each for shard in shards for each in shard.bad)])
    count = sum(shard.count for shard in shards)
    fraction = plan.bad_fraction if bad_fraction is None else bad_fraction
    stop_if_bad(plan.full(bad), count, fraction, plan.source)
    facts = [shard.facts[k] for shard in shards for k in shard.facts_of]
    about: list[str] = []
    spec = spec_of(facts, plan.shape[-1], stated(plan.options), plan.source, about)
    path = folder / indices.CATALOGUE
    catalogues.write(path, catalogues.joined([shard.about for shard in shards]))
    content = path.read_bytes()
    index = PackIndex(
        kind=plan.kind,
        shape=plan.shape,
        dtype=plan.dtype,
        count=count,
        checked=min(plan.shape[1:]),
        bands=facts[0].bands,
        unit=None if spec.unit == UNKNOWN_UNIT else spec.unit,
        zero_points=spec.zero_points,
        pixel_scale=spec.pixel_scale,
        psf_fwhm=spec.psf_fwhm,
        classes=plan.classes,
        shards=tuple(
            Shard(shard.file, shard.count, shard.bytes, shard.sha256)
            for shard in shards
            if shard.count
        ),
        catalogue={
            "file": indices.CATALOGUE,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "own": plan.own,
        },
        galgen=plan.galgen,
        source=plan.source,
        options={**plan.options, "shard_bytes": plan.shard_bytes, "plan": plan.digest()},
        bad=tuple(bad),
        # Whoever opens the pack hears the others anew.
        notes=(*plan.notes, *(note for note in about if note.startswith("pixel scales"))),
        tables={name: plan.tables[name] for name in plan.copied},
        stamp=hashed(shard.stamp for shard in shards),
    )
    index.write(folder)
    remove_stale([*folder.glob(".*.tmp")])
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return indices.read(folder)


def _all_shards(folder: Path, plan: Plan) -> list[Written]:
    digest = plan.digest()
    found = [read_written(folder, number, digest) for number in range(plan.shards)]
    missing = [number for number, shard in enumerate(found) if shard is None]
    if missing:
        jobs = {shard.jobs for shard in found if shard is not None}
        raise DataError(
            f"{folder} lacks {len(missing)} of {shards(plan.shards)} "
            f"({_which(missing, plan.shards, jobs)}): let the jobs that write them end, or run "
            "them again, and then merge."
        )
    return [shard for shard in found if shard is not None]


def _which(missing: Sequence[int], count: int, jobs: set[int]) -> str:
    """Shards that are missing, by the jobs that write them where all were of so many jobs."""
    names = [f"number {missing[0]}", *map(str, missing[1:])]
    if len(jobs) == 1 and (n := max(jobs)) > 1:
        # The i-th of n writes the shards from count (i - 1) / n up to count i / n.
        names = [f"--shard {-(-n * (k + 1) // count)}/{n}" for k in missing]
    names = list(dict.fromkeys(names))
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def shards(count: int) -> str:
    """So many shards, in words."""
    return f"{count} shard{'' if count == 1 else 's'}"


def gather(out: str | Path, parts: Sequence[str | Path]) -> None:
    """Copy the shards of parts that were written to folders of their own into one.

    Parameters
    ----------
    out
        Folder of the pack, new or itself a part.
    parts
        The OUT of each job; they stay as they are.

    Raises
    ------
    DataError
        If they are not parts of one pack, or one of them is damaged.
    OutputError
        If a shard cannot be written.
    """
    out = Path(out)
    folders = [Path(part) for part in parts]
    plans = _plans(out, folders)
    if plans is None:
        return
    first = next(iter(plans.values()))
    if not is_part(out):
        make_unfinished(out)
        _copy(folders[0] / UNFINISHED / PLAN, out / UNFINISHED / PLAN)
    for folder in folders:
        if folder.resolve() != out.resolve():
            _gather(out, folder, first)


def lacking(out: str | Path, parts: Sequence[str | Path]) -> tuple[Plan, list[int]] | None:
    """The plan of a pack that is to be put together and the shards that are nowhere; None for a
    pack that is finished.

    Raises
    ------
    DataError, OutputError
        As `gather`.
    """
    out = Path(out)
    folders = [Path(part) for part in parts]
    if not folders and indices.is_pack(out):
        return None
    plans = _plans(out, folders) if folders else {out: read_plan(out)}
    if plans is None:
        return None
    plan = next(iter(plans.values()))
    digest = plan.digest()
    return plan, [
        k
        for k in range(plan.shards)
        if all(read_written(folder, k, digest) is None for folder in plans)
    ]


def _plans(out: Path, folders: Sequence[Path]) -> dict[Path, Plan] | None:
    """The plan of each part, which is the same; None where they have become a pack already."""
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"the folder {folder} does not exist.")
    for folder in folders:
        if indices.is_pack(folder) and not is_part(folder):
            raise DataError(
                f"{folder} is a finished pack and others are not: merge the parts of one pack, or "
                "finished packs."
            )
    plans = {folder: read_plan(folder) for folder in (*([out] if is_part(out) else ()), *folders)}
    first, *_ = plans.items()
    for folder, plan in plans.items():
        if plan.identity() != first[1].identity():
            raise DataError(
                f"{folder} and {first[0]} are no parts of one pack: they were begun with other "
                "galaxies or options."
            )
    if not is_part(out):
        if indices.is_pack(out) and indices.read(out).options.get("plan") == first[1].digest():
            return None
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out} is not empty and no part of that pack: choose another OUT.")
    return plans


def _gather(out: Path, folder: Path, plan: Plan) -> None:
    for name in plan.copied:
        if not (out / name).is_file():
            _copy(folder / name, out / name)
    digest = plan.digest()
    for number in range(plan.shards):
        shard, have = read_written(folder, number, digest), read_written(out, number, digest)
        if shard is None:
            continue
        if have is not None:
            if replace(have, stamp="", jobs=1) != replace(shard, stamp="", jobs=1):
                raise DataError(
                    f"{folder / shard.file} and {out / have.file} differ: pack that part again."
                )
            continue
        if shard.count and _copy(folder / shard.file, out / shard.file) != shard.sha256:
            raise DataError(
                f"{folder / shard.file} is damaged: it has not the sha256 with which it was "
                "written; pack that part again."
            )
        _copy(sidecar(folder, number), sidecar(out, number))


def _copy(file: Path, to: Path) -> str:
    """Copy a file, whole or not at all; its hash."""
    digest = hashlib.sha256()
    with placed(to) as temporary, open(file, "rb") as content, open(temporary, "wb") as copy:
        while block := content.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()
