"""One shard: its pixels, and beside it, until the pack is finished, what the index will need.

A pack that is being written holds a folder ``unfinished`` with the plan, of
`galgen.data.pack.plan`, and a ``shard-00000.json`` for each shard that is complete. It goes when
``pack.json`` is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galgen.data.pack.catalogue import Catalogue
from galgen.data.pack.index import INDEX
from galgen.data.pack.npy import header
from galgen.data.pack.sources import Source, as_bytes
from galgen.data.pack.workers import Tick
from galgen.errors import OutputError
from galgen.io import Cutout

#: Folder in a pack that is being written.
UNFINISHED = "unfinished"
#: The plan in it.
PLAN = "plan.json"
#: What stands in its place while ``galgen sample --pack`` writes one.
GENERATED = "generated.json"
_NO_PIXELS = np.empty((0, 0, 0), np.float32)
_BLOCK = 16 * 1024**2
#: A temporary file of another machine is not written to any more after so long.
_STALE_SECONDS = 600.0
_FACTS = ("bands", "unit", "zero_points", "pixel_scale", "psf_fwhm", "display")


@dataclass(frozen=True)
class Written:
    """A complete shard.

    Attributes
    ----------
    number
        Its place among the shards of the plan.
    count, bytes, sha256
        As in the index; a shard of bad galaxies alone has no file, and 0 bytes.
    about
        What is known of its galaxies.
    facts
        What its files say of themselves, once for all that say the same ...
    facts_of
        ... and which of them each galaxy has.
    bad
        (file, reason) of what was left out.
    stamp
        `Source.stamp` of what it was made from.
    plan
        `Plan.digest` of the pack that it is for.
    jobs
        How many jobs its own was one of.
    """

    number: int
    count: int
    bytes: int
    sha256: str
    about: Catalogue
    facts: tuple[Cutout, ...]
    facts_of: tuple[int, ...]
    bad: tuple[tuple[str, str], ...]
    stamp: str
    plan: str
    jobs: int = 1

    @property
    def file(self) -> str:
        """Name of the file of pixels."""
        return shard_name(self.number)


def shard_name(number: int) -> str:
    """Name of the file of pixels of a shard."""
    return f"shard-{number:05d}.npy"


def make_unfinished(folder: Path) -> Path:
    """The folder of a pack that is being written, made where it is not there yet.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    unfinished = folder / UNFINISHED
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror or error}): choose another OUT."
        ) from error
    return unfinished


def sidecar(folder: Path, number: int) -> Path:
    """What says that a shard is complete."""
    return folder / UNFINISHED / f"shard-{number:05d}.json"


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well.

    The name tells machines apart, since jobs of an array share the folder.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}): make room or choose another "
            "OUT; the same command goes on with what is complete."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def create(path: Path, content: str) -> None:
    """Write a file, whole, unless it is there: the first of several jobs counts.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = _temporary(path)
    try:
        temporary.write_text(content, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:
            # Not every file system has links; without them it is not whole for a moment.
            with suppress(FileExistsError), open(path, "x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}): choose another OUT."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


def remove_stale(temporary: Sequence[Path]) -> None:
    """Remove what processes left that were killed, and leave alone what one still writes."""
    host = f".{socket.gethostname()}."
    for path in temporary:
        pid = path.name.removesuffix(".tmp").rpartition(".")[2]
        with suppress(OSError):
            here = host in path.name and pid.isdigit()
            if not (here and _runs(int(pid))) and (
                here or time.time() - path.stat().st_mtime > _STALE_SECONDS
            ):
                path.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


class ShardTask(NamedTuple):
    """A shard to write: its pack, number and galaxies, and `shape` and `dtype` as in the index.

    `plan` is the digest of the pack's plan, and `jobs` how many there are.
    """

    folder: Path
    number: int
    source: Source
    shape: tuple[int, int, int]
    dtype: str
    plan: str
    jobs: int = 1


def write_shard(task: ShardTask, tick: Tick = lambda count: None, threads: int = 1) -> Written:
    """Read the galaxies of a shard, check them, and write the good ones.

    Parameters
    ----------
    task
        What to write.
    tick
        Called with 1 after each galaxy.
    threads
        That read.

    Raises
    ------
    OutputError
        If it cannot be written, or the pack is finished by now.
    """
    folder, number, source, shape, dtype, plan, jobs = task
    path, beside = folder / shard_name(number), sidecar(folder, number)
    remove_stale([*folder.glob(f".{path.name}.*"), *beside.parent.glob(f".{beside.name}.*")])
    stamp = source.stamp()
    pixels = np.empty((len(source), *shape), dtype)
    rows: list[int] = []
    facts: list[Cutout] = []
    bad: list[tuple[str, str]] = []
    for row, outcome in enumerate(source.read(threads)):
        if not isinstance(outcome, str):
            outcome = _stored(outcome, pixels, len(rows))
        if isinstance(outcome, str):
            bad.append((source.named(row), outcome))
        else:
            rows.append(row)
            facts.append(outcome)
        tick(1)
    if (folder / INDEX).is_file():
        raise OutputError(f"{folder} has been finished by another command: let this one be.")
    size, sha256 = _save(path, pixels[: len(rows)]) if rows else (0, "")
    distinct, facts_of = _distinct(facts)
    about = source.texts(rows, facts)
    written = Written(
        number, len(rows), size, sha256, about, distinct, facts_of, tuple(bad), stamp, plan, jobs
    )
    with placed(beside) as temporary:
        temporary.write_text(json.dumps(_state(written), default=float), encoding="utf-8")
    return written


def _stored(cutout: Cutout, pixels: NDArray[Any], row: int) -> Cutout | str:
    """Put the pixels in their row; the cutout without them, or why not."""
    if cutout.pixels.shape != pixels.shape[1:]:
        return f"has the shape {cutout.pixels.shape} where most have {pixels.shape[1:]}"
    if pixels.dtype == np.uint8:
        small = as_bytes(cutout.pixels)
        if small is None:
            return "has 16 bits where most pictures have 8: pack it apart, or all by --size"
        pixels[row] = small
    else:
        pixels[row] = cutout.pixels
    return replace(cutout, pixels=_NO_PIXELS)


def _save(path: Path, pixels: NDArray[Any]) -> tuple[int, str]:
    """Bytes and hash of the file."""
    head = header(pixels.dtype.str, pixels.shape)
    content = pixels.data.cast("B")
    digest = hashlib.sha256(head)
    with placed(path) as temporary, open(temporary, "wb") as file:
        file.write(head)
        for first in range(0, len(content), _BLOCK):
            block = content[first : first + _BLOCK]
            file.write(block)
            digest.update(block)
        file.flush()
        # A file system over the network may say only now that it is full.
        os.fsync(file.fileno())
    return len(head) + len(content), digest.hexdigest()


def _distinct(facts: Sequence[Cutout]) -> tuple[tuple[Cutout, ...], tuple[int, ...]]:
    numbers: dict[tuple[Any, ...], int] = {}
    first: list[Cutout] = []
    which = []
    for cutout in facts:
        key = tuple(getattr(cutout, name) for name in _FACTS)
        if key not in numbers:
            numbers[key] = len(first)
            first.append(replace(cutout, header={}))
        which.append(numbers[key])
    return tuple(first), tuple(which)


def read_written(folder: Path, number: int, plan: str) -> Written | None:
    """A shard if it is complete and was written by the plan of this digest, else None."""
    try:
        state = json.loads(sidecar(folder, number).read_text(encoding="utf-8"))
        written = _written(state)
        size = (folder / written.file).stat().st_size if written.count else 0
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return written if (size, plan) == (written.bytes, written.plan) else None


def _state(written: Written) -> dict[str, Any]:
    """JSON types; a column with one text for all is that text."""

    def short(texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        return {key: each[0] if len(set(each)) == 1 else list(each) for key, each in texts.items()}

    about = written.about
    return {
        "number": written.number,
        "count": written.count,
        "bytes": written.bytes,
        "sha256": written.sha256,
        "names": list(about.names),
        "files": list(about.files),
        "folders": list(about.folders),
        "columns": short(about.columns),
        "headers": short(about.headers),
        "facts": [{name: getattr(each, name) for name in _FACTS} for each in written.facts],
        "facts_of": list(written.facts_of) if len(written.facts) > 1 else None,
        "bad": [list(each) for each in written.bad],
        "stamp": written.stamp,
        "plan": written.plan,
        "jobs": written.jobs,
    }


def _written(state: Mapping[str, Any]) -> Written:
    count = int(state["count"])

    def long(texts: Mapping[str, Any]) -> dict[str, list[str]]:
        return {k: [each] * count if isinstance(each, str) else each for k, each in texts.items()}

    def plain(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    facts = [
        Cutout(_NO_PIXELS, **{name: plain(each[name]) for name in _FACTS})
        for each in state["facts"]
    ]
    return Written(
        number=state["number"],
        count=count,
        bytes=state["bytes"],
        sha256=state["sha256"],
        about=Catalogue(
            state["names"],
            state["files"],
            state["folders"],
            long(state["columns"]),
            long(state["headers"]),
        ),
        facts=tuple(facts),
        facts_of=tuple(state["facts_of"] or [0] * count),
        bad=tuple((file, reason) for file, reason in state["bad"]),
        stamp=state["stamp"],
        plan=state["plan"],
        jobs=state["jobs"],
    )
