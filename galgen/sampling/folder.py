"""A folder of generated galaxies: whose it is, how far it has come, and its catalogue at the end.

While galaxies are made it holds, beside them, ``sampling.json``, which says what was asked for, and
``.sampling`` with the rows that are known. At the end the rows become the catalogue, and
``.sampling`` goes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import galgen
from galgen.errors import OutputError
from galgen.io.atomic import ELSEWHERE, clear_leftovers, replacing
from galgen.io.lock import only
from galgen.models.rendering import CHUNK
from galgen.runs import make_folder
from galgen.sampling.layout import Layout
from galgen.sampling.rows import DONE, MISSED, Rows
from galgen.sampling.sinks import Sink
from galgen.sampling.task import differing

#: What a set is, for people, and for the command that goes on with it.
RECORD = "sampling.json"
WORK = ".sampling"
CATALOGUE = "catalogue.fits"
#: Layout of the record.
_FORMAT = 1
_AGAIN = "give another folder to --out"


@dataclass(frozen=True)
class Share:
    """The galaxies that one command makes: the i-th of n parts, counted from 0.

    >>> Share(1, 3).places(10)
    range(3, 6)
    """

    i: int = 0
    n: int = 1

    def places(self, count: int) -> range:
        """Places of its galaxies in a set of `count`."""
        return range(count * self.i // self.n, count * (self.i + 1) // self.n)


class Folder:
    """A set of galaxies on its way.

    Parameters
    ----------
    path
        New, empty, or one in which the same galaxies were begun.
    layout
        Which galaxies, and what they become.
    count
        How many there are in all.
    shards
        In how many parts they are made.

    Raises
    ------
    OutputError
        If the folder holds anything else, or cannot be written.
    """

    def __init__(self, path: Path, layout: Layout, count: int, shards: int = 1) -> None:
        self.path, self.layout, self.count, self.shards = path, layout, count, shards
        self.before = read_record(path)
        self._refuse_other()

    # -- what is there ---------------------------------------------------------------------

    def _refuse_other(self) -> None:
        before = self.before
        if before is None:
            refuse_full(self.path)
            return
        what = differing(before["task"], self.layout.task.state())
        if before["model"]["checkpoints"] != _digests(self.layout):
            what.insert(0, "another checkpoint")
        if what:
            raise OutputError(
                f"{self.path} holds galaxies of another request ({'; '.join(what)}): {_AGAIN}."
            )
        if before["shards"] != self.shards and not before["finished"]:
            raise OutputError(
                f"{self.path} was begun in {before['shards']} parts and not {self.shards}: give "
                f"--shard i/{before['shards']} as before, or another folder to --out."
            )
        same = before["n"] == self.count
        grows = before["n"] < self.count and self.shards == 1 and not self.layout.task.pack
        if not same and not grows:
            raise OutputError(
                f"{self.path} holds {before['n']:,} of these galaxies, and -n {self.count} is "
                f"{'less' if before['n'] > self.count else 'more'}: {_AGAIN}."
            )

    @property
    def finished(self) -> bool:
        """Whether the set was complete, as it is asked for now."""
        before, accept = self.before, self.layout.task.accept
        return (
            before is not None
            and before["finished"]
            and before["n"] == self.count
            and before["redraws"] == (0 if accept is None else accept.redraws)
            and (self.path / CATALOGUE).is_file()
        )

    def begin(self) -> None:
        """Make the folder and say in it whose it is."""
        make_folder(self.path)
        make_folder(self.path / WORK)
        if not self.finished:
            self._record({"finished": False})

    def _record(self, more: Mapping[str, Any]) -> None:
        model, accept = self.layout.model, self.layout.task.accept
        record = {
            "format": _FORMAT,
            "galgen": galgen.__version__,
            "n": self.count,
            "shards": self.shards,
            "redraws": 0 if accept is None else accept.redraws,
            "task": self.layout.task.state(),
            "model": {
                "pair": model.name,
                "checkpoints": _digests(self.layout),
                "images": model.images,
                "path": str(model.path),
            },
            **more,
        }
        with replacing(self.path / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    # -- one part of it --------------------------------------------------------------------

    def rows_path(self, share: Share) -> Path:
        """File of the rows of a part."""
        return self.path / WORK / f"rows-{share.i:05d}-of-{share.n:05d}"

    def rows(self, share: Share) -> Rows:
        """The rows of a part."""
        count = len(share.places(self.count)) * self.layout.width
        return Rows(self.rows_path(share), self.layout.dtype, count)

    @contextmanager
    def held(self, share: Share) -> Iterator[None]:
        """Work on a part; nobody else does meanwhile.

        Raises
        ------
        OutputError
            If somebody does.
        """
        lock = make_folder(self.path / WORK / f"part-{share.i:05d}")
        with only(lock):
            yield

    def recall(self, share: Share) -> None:
        """Take the rows of a finished set out of its catalogue, to check it or make it longer."""
        if self.before is None or self.rows_path(share).exists():
            return
        path = self.path / CATALOGUE
        if not (self.before["finished"] and path.is_file()):
            return
        rows = self.rows(share)
        try:
            _recall(path, rows, self.layout, share.places(self.count))
        finally:
            rows.close()

    def open_again(self, share: Share) -> None:
        """Take a finished set for one whose last part is being made: its pixels have changed."""
        self._record({"finished": False})
        for i in range(self.shards):
            other = Share(i, self.shards)
            if i != share.i:
                self.recall(other)
                make_folder(self.path / WORK / f"part-{i:05d}")
                self.complete(other)

    def leave(self, share: Share) -> None:
        """Take away what checking a finished set needed."""
        with suppress(OSError):
            self.rows_path(share).unlink()
        for folder in (self.path / WORK / f"part-{share.i:05d}", self.path / WORK):
            # Another process may be checking another part.
            with suppress(OSError):
                folder.rmdir()
        clear_leftovers(self.path)

    def missing(self, share: Share, rows: Rows, sinks: list[list[Sink]]) -> list[int]:
        """Places whose galaxies are not there, or not as they were written."""
        accept, width = self.layout.task.accept, self.layout.width
        places = share.places(self.count)
        limit = 0 if accept is None else accept.redraws + 1
        found: list[int] = []
        with ThreadPoolExecutor() as pool:
            step = 1024
            for first in range(0, len(places), step):
                own = places[first : first + step]
                part = rows.read(first * width, len(own) * width).reshape(len(own), width)
                settled = pool.map(lambda p, r: self._settled(p, r, sinks, limit), own, part)
                found += [place for place, whole in zip(own, settled, strict=True) if not whole]
        return found

    def _settled(self, place: int, rows: NDArray[Any], sinks: list[list[Sink]], limit: int) -> bool:
        if (rows["state"] == MISSED).all():
            return bool(rows["draws"][0] >= limit)
        if not (rows["state"] == DONE).all():
            return False
        index, width = self.layout.task.start + place, self.layout.width
        return all(
            sink.good(place * width + number, index, bytes.fromhex(row[name].decode()))
            for number, row in enumerate(rows)
            for sink, name in zip(sinks[number], self.layout.digests, strict=True)
        )

    def complete(self, share: Share) -> None:
        """Say that a part is."""
        (self.path / WORK / f"part-{share.i:05d}" / "complete").touch()

    def parts_complete(self) -> int:
        """How many parts are; all of them where another process has finished the set."""
        if not (self.path / WORK).is_dir():
            return self.shards
        return len(list((self.path / WORK).glob("part-*/complete")))

    # -- all of it -------------------------------------------------------------------------

    def close(self, finish: Callable[[list[Rows]], Mapping[str, Any]]) -> dict[str, Any] | None:
        """Make the catalogue and what goes with it, once all parts are complete.

        Returns
        -------
        dict
            What `finish` says of the set, which the record keeps; None where parts are missing or
            another process is at it.
        """
        if self.parts_complete() < self.shards:
            return None
        with ExitStack() as held:
            try:
                held.enter_context(only(self.path / WORK))
            except OutputError:
                if self.shards > 1:
                    return None
                raise
            if not (self.path / WORK).is_dir():
                return None
            stores = [self.rows(Share(i, self.shards)) for i in range(self.shards)]
            try:
                told = dict(finish(stores))
            finally:
                for store in stores:
                    store.close()
            self._record({"finished": True, **told})
        with suppress(OSError):
            shutil.rmtree(self.path / WORK)
        clear_leftovers(self.path)
        return told


def _digests(layout: Layout) -> dict[str, str]:
    """SHA-256 of what draws the galaxies, by class where a class has a snapshot of its own."""
    model = layout.model
    return {"": model.digest} | {name: s.digest for name, s in model.specialists.items()}


def _recall(path: Path, rows: Rows, layout: Layout, places: range) -> None:
    from astropy.io import fits

    width, first_sample = layout.width, layout.task.start
    names = [name for name in layout.dtype.names or () if name != "state"]
    order = {None if v.name is None else v.name: k for k, v in enumerate(layout.views)}
    with fits.open(path, memmap=True) as hdus:
        table = hdus[1].data
        if any(name not in table.names for name in names):
            return
        for first in range(0, len(table), CHUNK * 64):
            part = table[first : first + CHUNK * 64]
            records = np.zeros(len(part), layout.dtype)
            for name in names:
                values = np.asarray(part[name])
                kind = layout.dtype[name].kind
                records[name] = np.char.encode(values, "ascii") if kind == "S" else values
            records["state"] = DONE
            seen = [order[str(n)] for n in part["telescope"]] if "telescope" in names else None
            for k, record in enumerate(records):
                number = 0 if seen is None else seen[k]
                place = int(record["sample"]) - first_sample
                if place in places:
                    rows.write((place - places.start) * width + number, np.asarray(record))


def read_record(path: Path) -> dict[str, Any] | None:
    """What a folder says of the galaxies in it; None where it is no folder of `Folder`.

    Raises
    ------
    OutputError
        If it says nothing that can be read.
    """
    try:
        text = (path / RECORD).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputError(f"{path / RECORD} cannot be read ({error.strerror}): {_AGAIN}.") from None
    try:
        record = json.loads(text)
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']}")
        known = {
            name: record[name] for name in ("task", "model", "n", "shards", "redraws", "finished")
        }
        assert isinstance(known["model"]["checkpoints"], dict)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise OutputError(
            f"{path / RECORD} is no record that this galgen reads ({error}): {_AGAIN}."
        ) from None
    return dict(record)


def next_folder() -> Path:
    """The next of ``./samples-00001``, made, so that two commands started at once get two."""
    number = 1
    while True:
        folder = Path(f"samples-{number:05d}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"{folder} cannot be made ({reason}): {ELSEWHERE}") from None
        else:
            return folder


def open_folder(out: str | Path | None) -> Path:
    """The folder to write to, made and empty: by default the next ``samples-00001``."""
    if out is None:
        return next_folder()
    refuse_full(out)
    return make_folder(Path(out))


def refuse_full(out: str | Path) -> None:
    """Refuse a folder that cannot be written to without touching what is there.

    Raises
    ------
    OutputError
        If it holds files, or is a file itself.
    """
    folder = Path(out)
    if folder.is_file():
        raise OutputError(f"{folder} is a file: give another folder to --out.")
    if folder.is_dir():
        try:
            found = next((p for p in folder.iterdir() if not p.name.startswith(".")), None)
        except OSError as error:
            raise OutputError(f"{folder} cannot be read ({error.strerror}): {_AGAIN}.") from None
        if found is not None:
            raise OutputError(
                f"{folder} holds files already ({found.name}), and nothing is overwritten: "
                f"{_AGAIN}."
            )


def started_here(folder: Path) -> bool:
    """Whether nothing but this process' own empty folder is there, which may go again."""
    with suppress(OSError):
        return not any(os.scandir(folder))
    return False
