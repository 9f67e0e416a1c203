"""A folder of generated galaxies: whose it is, how far it has come, and its catalogue at the end.

While galaxies are made it holds, beside them, ``sampling.json``, which says what was asked for, and
``.sampling`` with the rows that are known. At the end the rows become the catalogue, and
``.sampling`` goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from numpy.typing import NDArray

import galgen
from galgen.errors import OutputError
from galgen.io.atomic import clear_leftovers, write_whole
from galgen.io.lock import only
from galgen.runs import make_folder
from galgen.sampling.layout import Layout
from galgen.sampling.opening import AGAIN, refuse_full
from galgen.sampling.recalling import recall
from galgen.sampling.record import FORMAT, RECORD, read_record
from galgen.sampling.rows import DONE, EMPTY, MISSED, Rows
from galgen.sampling.sinks import Sink
from galgen.sampling.task import differing

WORK = ".sampling"
CATALOGUE = "catalogue.fits"
#: Of the provenance, what a set may be gone on with under others.
_VERSIONS = ("numpy", "scipy")


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
    share
        The part of them that this process makes.

    Attributes
    ----------
    before
        What the folder said of its galaxies when this process came; None where it was new.
    finished
        Whether the set was complete then, as it is asked for now.

    Raises
    ------
    OutputError
        If the folder holds anything else, or cannot be written.
    """

    def __init__(self, path: Path, layout: Layout, count: int, share: Share | None = None) -> None:
        self.path, self.layout, self.count = path, layout, count
        self.share = share or Share()
        self.places = self.share.places(count)
        self.before = self._read()
        self.work = path / WORK
        self.finished, self._whole = self._is_finished(), False

    # -- what is there ---------------------------------------------------------------------

    def _read(self) -> dict[str, Any] | None:
        """The record, if there is one and it is of the same galaxies."""
        before = read_record(self.path)
        if before is None:
            try:
                refuse_full(self.path)
            except OutputError:
                # Another part may have begun in between.
                before = read_record(self.path)
                if before is None:
                    raise
            else:
                return None
        what = differing(before["task"], self.layout.task.state())
        if before["cards"] != _cards(self.layout) and not what:
            what.append("another telescope")
        if before["model"]["digests"] != _digests(self.layout):
            what.insert(0, "another checkpoint")
        if what:
            raise OutputError(
                f"{self.path} holds galaxies of another request ({'; '.join(what)}): {AGAIN}."
            )
        parts, n = self.share.n, before["n"]
        if before["shards"] != parts and not before["finished"]:
            raise OutputError(
                f"{self.path} was begun in {before['shards']} parts and not {parts}: give "
                f"--shard i/{before['shards']} as before, or another folder to --out."
            )
        grows = n < self.count and parts == 1 and not self.layout.task.pack
        if n != self.count and not grows:
            raise OutputError(
                f"{self.path} holds {n:,} of these galaxies, and -n {self.count} is "
                f"{'less' if n > self.count else 'more'}: {AGAIN}."
            )
        return before

    def _is_finished(self) -> bool:
        before = self.before
        return (
            before is not None
            and before["finished"]
            and before["n"] == self.count
            and before["redraws"] == self._redraws
            and (self.path / CATALOGUE).is_file()
        )

    @property
    def _redraws(self) -> int:
        accept = self.layout.task.accept
        return 0 if accept is None else accept.redraws

    def _record(self, more: Mapping[str, Any]) -> dict[str, Any]:
        model = self.layout.model
        return {
            "format": FORMAT,
            "galgen": galgen.__version__,
            "n": self.count,
            "shards": self.share.n,
            "redraws": self._redraws,
            "task": self.layout.task.state(),
            "cards": _cards(self.layout),
            "model": {
                "pair": model.name,
                "images": model.images,
                "digests": _digests(self.layout),
                # From here, so that both may be moved together.
                "path": os.path.relpath(model.path, self.path),
            },
            **more,
        }

    # -- one part of it --------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work on a part; nobody else does meanwhile.

        Raises
        ------
        OutputError
            If somebody does.
        """
        make_folder(self.path)
        with only(make_folder(self.path / WORK / f"part-{self.share.i:05d}")):
            self._begin()
            yield

    def _begin(self) -> None:
        """Say in the folder whose it is, and where its rows are."""
        if self.finished:
            self.work = Path(mkdtemp(prefix="check-", dir=self.path / WORK))
            taken = self._recall(self.share)
            assert self.before is not None
            # All that the set has: what is not among it was left out, and would be again.
            self._whole = taken == self.before["count"] * self.layout.width
            return
        self.before = self._read()
        before = self.before
        if before is not None and not before["finished"] and before["n"] == self.count:
            self.work = make_folder(self.path / WORK / before["work"])
            if before["redraws"] != self._redraws:
                write_whole(self.path / RECORD, self._text())
            return
        self.work = Path(mkdtemp(prefix="rows-", dir=self.path / WORK))
        os.chmod(self.work, 0o777 & ~_umask())
        if before is None:
            if not self._is_first():
                self._begin()
            return
        # Of a set that is made longer, or whose redraws are more: what is known stays known.
        self._recall(self.share)
        if not before["finished"]:
            old = self.path / WORK / before["work"] / self._rows_name(self.share)
            with suppress(OSError):
                shutil.copyfile(old, self._rows_path(self.share))
        write_whole(self.path / RECORD, self._text())

    def _text(self) -> bytes:
        record = self._record({"finished": False, "work": self.work.name})
        return (json.dumps(record, indent=1) + "\n").encode()

    def _is_first(self) -> bool:
        """Write the record, if no other part has done so meanwhile."""
        temporary = self.work / RECORD
        write_whole(temporary, self._text())
        try:
            os.link(temporary, self.path / RECORD)
        except FileExistsError:
            shutil.rmtree(self.work, ignore_errors=True)
            return False
        except OSError:
            # A disk that knows no links.
            write_whole(self.path / RECORD, self._text())
        temporary.unlink()
        return True

    def _rows_name(self, share: Share) -> str:
        layout = hashlib.sha256(repr(self.layout.dtype.descr).encode()).hexdigest()[:8]
        return f"rows-{share.i:05d}-of-{share.n:05d}-{layout}"

    def _rows_path(self, share: Share) -> Path:
        return self.work / self._rows_name(share)

    def rows(self, share: Share | None = None, *, old: bool = False) -> Rows:
        """The rows of a part, by default this process' own.

        Parameters
        ----------
        old
            Only if they are there.

        Raises
        ------
        FileNotFoundError
            If they are not, of old ones.
        """
        share = share or self.share
        count = len(share.places(self.count)) * self.layout.width
        return Rows(self._rows_path(share), self.layout.dtype, count, old=old)

    def _recall(self, share: Share) -> int:
        """Take the rows of a part out of the catalogue of a finished set; gives how many."""
        if self.before is None or not self.before["finished"]:
            return 0
        rows = self.rows(share)
        try:
            return recall(self.path / CATALOGUE, rows, self.layout, share.places(self.count))
        finally:
            rows.close()

    def missing(self, rows: Rows, sinks: list[list[Sink]]) -> list[int]:
        """Places whose galaxies are not there, or not as they were written."""
        width, places = self.layout.width, self.places
        limit = self._redraws + 1
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
            return self._whole and bool((rows["state"] == EMPTY).all())
        index, width = self.layout.task.start + place, self.layout.width
        return all(
            sink.good(place * width + number, index, bytes.fromhex(row[name].decode()))
            for number, row in enumerate(rows)
            for sink, name in zip(sinks[number], self.layout.digests, strict=True)
        )

    # -- all of it -------------------------------------------------------------------------

    def release(self) -> None:
        """Give a new folder free again, where not one galaxy has been made."""
        names = {p.name for p in self.path.iterdir()} - {RECORD, WORK}
        if self.before is None and self.share.n == 1 and not names:
            with suppress(OSError):
                (self.path / RECORD).unlink()
            shutil.rmtree(self.work, ignore_errors=True)

    def complete(self) -> None:
        """Say that this part is."""
        (self.work / f"complete-{self.share.i:05d}").touch()

    def leave(self) -> None:
        """Take away what checking a finished set needed."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._tidy()

    def open_again(self) -> None:
        """Take a finished set for one whose last part is being made: its pixels have changed."""
        for i in range(self.share.n):
            other = Share(i, self.share.n)
            if i != self.share.i:
                self._recall(other)
                (self.work / f"complete-{i:05d}").touch()
        write_whole(self.path / RECORD, self._text())

    def close(self, finish: Callable[[list[Rows]], Mapping[str, Any]]) -> dict[str, Any] | None:
        """Make the catalogue and what goes with it, once all parts are complete.

        Returns
        -------
        dict
            The record, with what `finish` says of the set; None where parts are missing or another
            process is at it.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        parts = self.share.n
        if self.work.is_dir() and len(list(self.work.glob("complete-*"))) < parts:
            return None
        with ExitStack() as held:
            try:
                held.enter_context(only(self.path / WORK))
            except OutputError:
                if parts > 1:
                    return None
                raise
            record = read_record(self.path)
            if record is None or record["finished"]:
                # Another part was the last one.
                return record
            stores: list[Rows] = []
            try:
                stores.extend(self.rows(Share(i, parts), old=True) for i in range(parts))
                told = dict(finish(stores))
            finally:
                for store in stores:
                    store.close()
            record = self._record({"finished": True, **told})
            write_whole(self.path / RECORD, (json.dumps(record, indent=1) + "\n").encode())
            shutil.rmtree(self.work, ignore_errors=True)
        self._tidy()
        return record

    def _tidy(self) -> None:
        """Remove what nobody works in any more."""
        work = self.path / WORK
        for folder in sorted(work.glob("part-*")):
            # A file in it is the lock of another process.
            with suppress(OSError):
                folder.rmdir()
        with suppress(OSError):
            work.rmdir()
        clear_leftovers(self.path)


def _cards(layout: Layout) -> list[dict[str, Any]]:
    """What decides the images of each view but the versions of what computes them."""
    return [
        {name: value for name, value in view.cards.items() if name not in _VERSIONS}
        for view in layout.views
    ]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digests(layout: Layout) -> dict[str, str]:
    """SHA-256 of what draws the galaxies, by class where a class has a snapshot of its own."""
    return dict(layout.model.again().digests)
