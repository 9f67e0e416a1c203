"""Write a pack: in one go, in the jobs of an array, and on from where it was interrupted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from galgen.data.folder import BUILT_IN
from galgen.data.loading import stop_if_bad
from galgen.data.pack import index as indices
from galgen.data.pack.index import PackIndex
from galgen.data.pack.joining import of_sets
from galgen.data.pack.merging import finish, read_plan, refuse_unfinished
from galgen.data.pack.plan import Plan, hashed
from galgen.data.pack.planning import make_plan
from galgen.data.pack.shards import (
    GENERATED,
    PLAN,
    UNFINISHED,
    ShardTask,
    Written,
    create,
    make_unfinished,
    placed,
    read_written,
    write_shard,
)
from galgen.data.pack.sources import Source
from galgen.data.pack.workers import cores, run_all
from galgen.data.room import memory
from galgen.data.source import canonical
from galgen.errors import ConfigError, DataError, OutputError

#: Bytes of pixels that are quicker written by a process of their own.
_WORTH = 64 * 1024**2
_AGAIN = "choose another OUT, or remove it to begin again"


@dataclass(frozen=True)
class Job:
    """The shards that one command writes.

    Attributes
    ----------
    folder, plan, source
        The pack, what it will be, and what it is written from.
    mine
        Numbers of this command's shards, and `todo` those of them that are not complete.
    whole
        True where it writes all shards and then the index.
    index
        That of a pack which is finished already, else None.
    jobs
        How many jobs write the pack.
    """

    folder: Path
    plan: Plan
    source: Source
    mine: tuple[int, ...]
    todo: tuple[int, ...]
    whole: bool
    index: PackIndex | None = None
    jobs: int = 1

    @property
    def galaxies(self) -> int:
        """Galaxies of this command's shards."""
        return sum(self.size(number) for number in self.mine)

    @property
    def left(self) -> int:
        """Galaxies that it has still to read."""
        return sum(self.size(number) for number in self.todo)

    def size(self, number: int) -> int:
        """Galaxies that are read for a shard."""
        rows = self.plan.rows(number)
        return int(rows.stop - rows.start)

    @property
    def bytes(self) -> int:
        """Bytes of pixels that it has still to write, if every galaxy is good."""
        channels, height, width = self.plan.shape
        return self.left * channels * height * width * int(self.plan.dtype[-1])


def prepare(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    shard: tuple[int, int] | None = None,
    shard_bytes: int = indices.SHARD_BYTES,
    bad_fraction: float = 0.25,
    **options: Any,
) -> Job:
    """What there is to do for a pack; writes nothing.

    Parameters
    ----------
    source
        Folder, pack or built-in set; or several packs that become one.
    out
        Folder of the pack: new, empty, or one in which the same command was interrupted.
    shard
        (i, n): the i-th of n jobs, counted from 1. Such a job leaves the index to
        `galgen.data.pack.merging.merge`.
    shard_bytes
        Bytes of pixels in a shard.
    bad_fraction
        Stop if a larger fraction of the galaxies is bad.
    options
        size, crop, bands, select, count, seed, unit, magzero, pixscale and psf_fwhm as
        `galgen.data.sets.open_set` has them, but that by default the whole frames are kept.

    Raises
    ------
    DataError, ConfigError
        As `open_set`; DataError also where the source changed since the pack was begun.
    OutputError
        If `out` holds something else.
    """
    folder = Path(out)
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ConfigError(f"--shard {shard[0]}/{shard[1]}: give i/n with i from 1 to n.")
    several = [str(each) for each in source] if isinstance(source, list | tuple) else []
    for each in several or [str(source)]:
        if not each.strip():
            raise ConfigError("FOLDER is empty: name a folder of images, a pack, hubble or sersic.")
        _refuse_inside(each, folder)
    _refuse_other(folder)
    if several:
        given = {name: value for name, value in options.items() if value is not None}
        plan, rows = of_sets(several, given, shard_bytes, bad_fraction)
    else:
        assert isinstance(source, str | Path)
        plan, rows = make_plan(source, options, shard_bytes, bad_fraction)
    i, n = shard or (1, 1)
    mine = tuple(range(plan.shards * (i - 1) // n, plan.shards * i // n))
    if indices.is_pack(folder):
        index = indices.read(folder)
        if index.options.get("plan") != plan.digest():
            before = {k: v for k, v in index.options.items() if k != "plan"}
            what = _differing({**plan.options, "shard_bytes": plan.shard_bytes}, before)
            raise OutputError(
                f"{folder} is a finished pack of {index.source}, "
                f"{f'with {what[0]}, not {what[1]}' if what else 'with other galaxies'}: {_AGAIN}."
            )
        stamps = (rows.part(plan.rows(number)).stamp() for number in range(plan.shards))
        if index.stamp and index.stamp != hashed(stamps):
            changed = f"{plan.source} has changed since {folder} was packed from it"
            if index.source != plan.source:
                changed = f"{folder} is a finished pack of {index.source}, not of {plan.source}"
            raise DataError(f"{changed}: {_AGAIN}.")
        return Job(folder, plan, rows, mine, (), shard is None, index)
    if (folder / UNFINISHED / PLAN).is_file():
        refuse_changes(folder, read_plan(folder), plan)
    todo = []
    digest = plan.digest()
    for number in mine:
        written = read_written(folder, number, digest)
        if written is None:
            todo.append(number)
        elif written.stamp != rows.part(plan.rows(number)).stamp():
            raise DataError(
                f"{plan.source} has changed since {written.file} of {folder} was written from it: "
                f"{_AGAIN}."
            )
    return Job(folder, plan, rows, mine, tuple(todo), shard is None, jobs=n)


def run(
    job: Job, workers: int | None = None, progress: Callable[[int], None] = lambda count: None
) -> PackIndex | None:
    """Write the shards that are missing, and for a whole pack its index.

    Parameters
    ----------
    job
        From `prepare`.
    workers
        Processes that read and write; None for one a core, where there is work and memory for
        so many.
    progress
        Called with the number of galaxies that were read since the last call.

    Returns
    -------
    PackIndex or None
        None for the job of an array.

    Raises
    ------
    DataError
        If too many galaxies are bad.
    OutputError
        If the pack cannot be written.
    """
    index = _finished(job)
    if index is not None:
        return index
    _announce(job)
    plan, digest = job.plan, job.plan.digest()
    bad = list(plan.bad)

    def finished(written: Written) -> None:
        bad.extend(written.bad)
        total = plan.entries + len(plan.bad)
        if len(bad) > plan.bad_fraction * total:
            # Those that were not read yet may all be good, and it would still be too many.
            stop_if_bad(plan.full(bad), total - len(bad), plan.bad_fraction, plan.source)

    for number in sorted(set(job.mine) - set(job.todo)):
        done = read_written(job.folder, number, digest)
        if done is not None:
            finished(done)
    tasks = [
        ShardTask(
            job.folder,
            number,
            job.source.part(plan.rows(number)),
            plan.shape,
            plan.dtype,
            digest,
            job.jobs,
        )
        for number in job.todo
    ]
    # A set in memory would be made anew in each process.
    processes = (workers or _processes(job)) if job.source.portable else 1
    try:
        run_all(write_shard, tasks, processes, progress, finished, job.folder)
    except OutputError:
        index = _finished(job)
        if index is None:
            raise
        return index
    return finish(job.folder) if job.whole else None


def _finished(job: Job) -> PackIndex | None:
    """The index, if the same command, given twice, finished the pack meanwhile."""
    if not indices.is_pack(job.folder):
        return None
    index = indices.read(job.folder)
    if index.options.get("plan") != job.plan.digest():
        return None
    # It may have been stopped between the last two steps, or begun again by this command.
    shutil.rmtree(job.folder / UNFINISHED, ignore_errors=True)
    return index


def _processes(job: Job) -> int:
    """Processes that pay for their start and have room for a shard each."""
    room = memory() // (4 * job.plan.shard_bytes)
    return max(1, min(cores(), job.bytes // _WORTH, room))


def refuse_changes(folder: Path, old: Plan, new: Plan) -> None:
    """Refuse to go on with a pack that was begun otherwise.

    Raises
    ------
    DataError
        If it was; it says what differs.
    """
    was, now = old.identity(), new.identity()
    if was == now:
        return
    what = _differing(
        {**now["options"], "shard_bytes": now["shard_bytes"]},
        {**was["options"], "shard_bytes": was["shard_bytes"]},
    )
    if what is not None:
        raise DataError(
            f"{folder} was begun with {what[0]} and now is asked for {what[1]}: give the same "
            f"options, or {_AGAIN}."
        )
    if was["galgen"] != now["galgen"]:
        raise DataError(
            f"{folder} was begun by galgen {was['galgen']} and this is {now['galgen']}: {_AGAIN}."
        )
    how = f"{was['entries']:,} galaxies then, {now['entries']:,} now"
    if was["entries"] == now["entries"]:
        key = next(key for key in now if was.get(key) != now[key])
        how = "other tables" if key == "tables" else "other files"
    raise DataError(f"{new.source} has changed since {folder} was begun ({how}): {_AGAIN}.")


def _differing(now: Mapping[str, Any], was: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first option that differs, as it was and as it is."""

    def said(name: str, options: Mapping[str, Any]) -> str:
        value = options.get(name)
        if name == "shard_bytes" and value is not None:
            return f"--shard-size {value / 1024**2:g}"
        return f"no {name}" if value is None else f"{name} {value}"

    for name in sorted({*now, *was}):
        if json.dumps(now.get(name)) != json.dumps(was.get(name)):
            return said(name, was), said(name, now)
    return None


def _refuse_inside(source: str, folder: Path) -> None:
    if source in BUILT_IN:
        return
    images, out = Path(canonical(source)), folder.resolve()
    if images == out:
        raise OutputError(f"{folder} is the folder to be packed: choose another OUT.")
    for inner, outer, what in ((out, images, "OUT"), (images, out, "FOLDER")):
        if outer in inner.parents:
            raise OutputError(
                f"{what} {inner} lies inside {outer}: choose an OUT beside {source}, since what "
                "lies in a folder of images counts as its classes or bands."
            )


def _refuse_other(folder: Path) -> None:
    """Refuse a folder that holds anything but a pack, finished or not."""
    if not folder.exists() or indices.is_pack(folder):
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file: choose another OUT.")
    other = [item.name for item in folder.iterdir() if not item.name.startswith(".")]
    generated = (folder / UNFINISHED / GENERATED).is_file()
    if generated or ((folder / indices.CATALOGUE).is_file() and not (folder / UNFINISHED).is_dir()):
        refuse_unfinished(folder)
    if other and not (folder / UNFINISHED).is_dir():
        raise OutputError(
            f"{folder} is not empty ({other[0]}) and no pack: choose a new folder for OUT."
        )


def _announce(job: Job) -> None:
    """Make the folder with the plan and the tables, or find that another job did."""
    folder, plan = job.folder, job.plan
    path = make_unfinished(folder) / PLAN
    room = shutil.disk_usage(folder).free
    if job.bytes > room:
        raise OutputError(
            f"{folder}: {job.bytes / 1e9:,.1f} GB are to be written and {room / 1e9:,.1f} GB are "
            "free: make room or choose another OUT."
        )
    content = json.dumps(asdict(plan), indent=1)
    if not path.is_file():
        create(path, content)
    there = read_plan(folder)
    refuse_changes(folder, there, plan)
    if there.bad_fraction != plan.bad_fraction:
        with placed(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    if os.path.isdir(plan.source):
        for name in plan.copied:
            with placed(folder / name) as temporary:
                shutil.copyfile(Path(plan.source) / name, temporary)
