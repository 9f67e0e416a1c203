"""Shards written or checked by several processes, which all stop when one of them fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as ended
from typing import Any, TypeVar

from galgen.errors import OutputError

T = TypeVar("T")
R = TypeVar("R")
Tick = Callable[[int], None]
Work = Callable[[T, Tick, int], R]
#: Seconds between two looks at how far they are.
_LOOK = 0.1


class _Stopped(Exception):
    """Another process failed, or somebody pressed Ctrl-C."""


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(
    work: Work[T, R],
    tasks: Sequence[T],
    workers: int,
    advance: Tick,
    finished: Callable[[R], None],
    what: object,
) -> None:
    """Do tasks, in this process if one is enough.

    Parameters
    ----------
    work
        A function of (task, tick, threads) at the top of its module: it calls `tick` with the
        number of galaxies that it has done since the last call, often.
    tasks
        What `work` is called with, once each.
    workers
        Processes at most. They are started afresh, so a script that asks for more than one needs
        the usual ``if __name__ == "__main__"``. A lone process has as many threads.
    advance
        Called here with the number of galaxies since the last call.
    finished
        Called here with each result, in any order; what it raises ends the work.
    what
        The pack or folder, for messages.

    Raises
    ------
    OutputError
        If a process dies.
    """
    if min(workers, len(tasks)) <= 1:
        for task in tasks:
            finished(work(task, advance, max(1, workers)))
        return
    context = multiprocessing.get_context("spawn")
    read, stop = context.Value("Q", 0), context.Value("b", 0)
    seen = 0
    with ProcessPoolExecutor(
        min(workers, len(tasks)), context, initializer=_set_up, initargs=(read, stop)
    ) as pool:
        try:
            pending = {pool.submit(_work, work, task) for task in tasks}
            while pending:
                done, pending = wait(pending, _LOOK, FIRST_COMPLETED)
                now = read.value
                if now > seen:
                    advance(now - seen)
                    seen = now
                for future in done:
                    finished(future.result())
        except BrokenProcessPool:
            raise OutputError(
                f"{what}: a process that reads died, probably for want of memory: give fewer "
                "--workers or a smaller --shard-size; the same command goes on with what is "
                "complete."
            ) from None
        finally:
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)


_shared: dict[str, Any] = {}


def _set_up(read: Any, stop: Any) -> None:
    """Set up a process: Ctrl-C is for the one that asked, and without that one there is no work."""
    _shared.update(read=read, stop=stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    ended([sentinel])
    os._exit(1)


def _work(work: Work[T, R], task: T) -> R:
    read, stop = _shared["read"], _shared["stop"]

    def tick(count: int) -> None:
        with read.get_lock():
            read.value += count
        if stop.value:
            raise _Stopped

    return work(task, tick, 1)
