"""Shards written by several processes at once, which stop at once when one of them fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as ended
from pathlib import Path
from typing import Any, NamedTuple

from galgen.data.pack.shards import Written, write_shard
from galgen.data.pack.sources import FileSource, Source
from galgen.errors import OutputError

#: Seconds between two looks at how far they are.
_LOOK = 0.1


class Task(NamedTuple):
    """A shard to write, and its galaxies; arguments of `galgen.data.pack.shards.write_shard`."""

    folder: Path
    number: int
    source: Source
    shape: tuple[int, int, int]
    dtype: str


class _Stopped(Exception):
    """Another process failed, or somebody pressed Ctrl-C."""


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def write_all(
    tasks: Sequence[Task],
    workers: int,
    advance: Callable[[int], None],
    finished: Callable[[Written], None],
) -> None:
    """Write shards, in this process if one is enough.

    Parameters
    ----------
    tasks
        The shards.
    workers
        Processes at most. They are started afresh, so a script that asks for more than one needs
        the usual ``if __name__ == "__main__"``.
    advance
        Called with the number of galaxies that were read since the last call.
    finished
        Called with each complete shard; what it raises ends the work.

    Raises
    ------
    OutputError
        If a shard cannot be written, or a process dies.
    """
    # A set in memory would be made anew in each process.
    if min(workers, len(tasks)) <= 1 or not tasks[0].source.portable:
        for task in tasks:
            pictures = isinstance(task.source, FileSource) and task.source.reader.raster
            # Pillow decodes outside the interpreter's lock; the FITS reader is too short to gain.
            finished(
                write_shard(*task, tick=lambda: advance(1), threads=workers if pictures else 1)
            )
        return
    context = multiprocessing.get_context("spawn")
    read, stop = context.Value("Q", 0), context.Value("b", 0)
    seen = 0
    with ProcessPoolExecutor(
        min(workers, len(tasks)), context, initializer=_begin, initargs=(read, stop)
    ) as pool:
        try:
            pending = {pool.submit(_write, task) for task in tasks}
            while pending:
                done, pending = wait(pending, _LOOK, FIRST_COMPLETED)
                now = read.value
                advance(now - seen)
                seen = now
                for future in done:
                    finished(future.result())
        except BrokenProcessPool:
            raise OutputError(
                f"{tasks[0].folder}: a process that reads died, probably for want of memory: "
                "give fewer --workers or a smaller --shard-size; the same command goes on with "
                "what is complete."
            ) from None
        finally:
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)


_shared: dict[str, Any] = {}


def _begin(read: Any, stop: Any) -> None:
    """Set up a process: Ctrl-C is for the one that asked, and without that one there is no work."""
    _shared.update(read=read, stop=stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    ended([sentinel])
    os._exit(1)


def _write(task: Task) -> Written:
    def tick() -> None:
        with read.get_lock():
            read.value += 1
        if stop.value:
            raise _Stopped

    read, stop = _shared["read"], _shared["stop"]
    return write_shard(*task, tick=tick)
