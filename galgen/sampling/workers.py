"""Several devices at once: a process each, which loads the model by itself and makes its chunks."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from galgen.errors import ConfigError, GalgenError
from galgen.generated.again import Again
from galgen.sampling.engine import Engine
from galgen.sampling.folder import Folder
from galgen.sampling.layout import Layout
from galgen.sampling.rows import Rows
from galgen.sampling.task import Task, chunks_of
from galgen.training.machine import find_accelerator, threads_each


@dataclass(frozen=True)
class Errand:
    """What a process is to make.

    Attributes
    ----------
    source, task, folder, count
        The model, and which galaxies become what where.
    rows, first, rows_count
        File of the rows of the part, the place that its first one is of, and how many there are.
    places
        The galaxies that are to be made.
    device, threads
        Where, and with how many threads.
    batch
        As `Engine`.
    """

    source: Again
    task: Task
    folder: Path
    count: int
    rows: Path
    first: int
    rows_count: int
    places: Sequence[int]
    device: str
    threads: int
    batch: int


def devices_of(devices: int | str, device: str | None = None) -> list[str]:
    """Devices to draw on: all of a CUDA machine by default, else the fastest there is.

    Parameters
    ----------
    devices
        How many, or ``auto``; on a CPU that many processes.
    device
        ``cpu``, ``cuda``, ``mps``, or one of several such as ``cuda:1``; None for the fastest.

    Raises
    ------
    ConfigError
        If there are not so many.
    """
    if device is not None and ":" in device:
        return [device]
    kind = find_accelerator(device or "auto", "device")
    there = torch.cuda.device_count() if kind == "cuda" else 1
    count = there if devices == "auto" else int(devices)
    if count < 1:
        raise ConfigError(f"--devices {count}: use at least one, or auto.")
    if kind != "cpu" and count > there:
        raise ConfigError(f"--devices {count}: this machine has {there}, so give that or auto.")
    if kind == "cuda":
        return [f"cuda:{k}" for k in range(count)]
    return [kind] * count


def make(
    engine: Engine,
    places: Sequence[int],
    progress: Callable[[int], None],
) -> None:
    """Make galaxies in this process."""
    engine.run(chunks_of(engine.task, places), progress)


def make_on(
    devices: Sequence[str],
    folder: Folder,
    rows: Rows,
    places: Sequence[int],
    batch: int,
    progress: Callable[[int], None],
) -> None:
    """Make galaxies on several devices, a process each.

    Raises
    ------
    GalgenError
        What a process met.
    """
    again = folder.layout.model.again()
    context = multiprocessing.get_context("spawn")
    chunks = list(chunks_of(folder.layout.task, places))
    threads = threads_each(len(devices)) if devices[0] == "cpu" else torch.get_num_threads()
    running: dict[Connection, Any] = {}
    try:
        for number, device in enumerate(devices):
            own = [place for chunk in chunks[number :: len(devices)] for place in chunk]
            if not own:
                continue
            errand = Errand(
                again,
                folder.layout.task,
                folder.path,
                folder.count,
                rows.path,
                folder.places.start,
                rows.count,
                own,
                device,
                threads,
                batch,
            )
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(errand, theirs), daemon=True)
            process.start()
            theirs.close()
            running[mine] = process
        while running:
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                try:
                    said = pipe.recv()
                except EOFError:
                    process = running.pop(pipe)
                    process.join()
                    if process.exitcode:
                        raise GalgenError(
                            f"a process that drew galaxies ended with code {process.exitcode}: "
                            "run the command again with the same --out, which goes on."
                        ) from None
                    continue
                if isinstance(said, BaseException):
                    raise said
                progress(said)
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def _work(errand: Errand, pipe: Connection) -> None:
    """One process."""
    try:
        torch.set_num_threads(errand.threads)
        model = errand.source.load(errand.device)
        layout = Layout(model, errand.task, errand.task.start + errand.count - 1)
        rows = Rows(errand.rows, layout.dtype, errand.rows_count, old=True)
        sinks = layout.sinks(errand.folder, errand.count)
        engine = Engine(layout, sinks, rows, errand.first, errand.batch)
        make(engine, errand.places, pipe.send)
    except BrokenPipeError:
        # The command is gone, and what it wanted is no longer wanted.
        os._exit(0)
    except (GalgenError, OSError) as error:
        pipe.send(error)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        pipe.close()
