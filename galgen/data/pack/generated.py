"""A pack of generated galaxies: filled in any order by several processes, finished by one.

Its shards have their whole length from the start, and each galaxy is written to its place in them.
Until ``pack.json`` is there the folder holds ``unfinished/generated.json``, and nothing takes it
for a pack; a galaxy counts as stored once `PackSink.put` has returned.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import galgen
from galgen.bands import ImageSpec
from galgen.data.facts import UNKNOWN_UNIT
from galgen.data.pack import catalogue as catalogues
from galgen.data.pack import index as indices
from galgen.data.pack.index import PackIndex, Shard
from galgen.data.pack.layout import DTYPE, Layout
from galgen.data.pack.rows import write_rows
from galgen.data.pack.shards import (
    GENERATED,
    UNFINISHED,
    create,
    make_unfinished,
    remove_stale,
    shard_name,
)
from galgen.data.pack.workers import cores
from galgen.errors import DataError, OutputError
from galgen.io.at import read_at, write_at
from galgen.io.atomic import clear_leftovers, replacing

#: What stands for the folder that other packs are made from.
SOURCE = "galgen sample"
#: Its catalogue; that of the samples, a single table with units, is `galgen.sampling.catalogue`'s.
CATALOGUE = "galaxies.fits"
#: What may differ from where a pack was begun to where it is gone on with.
_PASSING = ("device",)
_BLOCK = 1024**2


class PackSink:
    """Generated galaxies on their way into a pack.

    The folder is made ready at once. Pickled or forked it serves in other processes, and in
    threads; `finish` is for one process, when nobody calls `put` any more.

    Parameters
    ----------
    folder
        Of the pack: new, or one that the same job began.
    spec
        What the galaxies are.
    n
        How many there will be; their places count from 0. Those that `finish` has no row of are
        left out.
    start
        Sample number of the first place.
    shard_bytes
        Bytes of pixels in a shard.
    about
        How they were drawn, plain values by name, for ``generated`` in the index.

    Raises
    ------
    OutputError
        If the folder was begun with other galaxies, cannot be written, or has no room.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: ImageSpec,
        n: int,
        *,
        start: int = 0,
        shard_bytes: int = indices.SHARD_BYTES,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.spec, self.start = Path(folder), spec, start
        self.about = json.loads(json.dumps(dict(about or {}), default=str))
        self.layout = Layout(spec.shape, n, shard_bytes)
        self._open, self._lock = threading.local(), threading.Lock()
        self._writing = False
        if not self._finished():
            self._begin()

    def __getstate__(self) -> dict[str, Any]:
        return {k: value for k, value in vars(self).items() if k not in ("_open", "_lock")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._open, self._lock = threading.local(), threading.Lock()

    def put(
        self, place: int, index: int, flux: NDArray[np.float32], facts: Mapping[str, Any]
    ) -> bytes:
        """Store a galaxy.

        Parameters
        ----------
        place
            Its place.
        index
            Its sample number, for messages.
        flux
            (C, H, W) in the unit of the spec.
        facts
            What a file of its own would say; a pack keeps such things in its catalogue.

        Returns
        -------
        bytes
            SHA-256 of its pixels as they are stored, 32 bytes.

        Raises
        ------
        DataError
            If pixels are not finite: nothing such is in a pack.
        OutputError
            If it cannot be written.
        """
        if flux.shape != self.spec.shape:
            raise ValueError(f"flux of shape {flux.shape} where {self.spec.shape} belongs")
        if not np.isfinite(flux).all():
            raise DataError(
                f"sample {index} has pixels that are not finite, and a pack holds none: take an "
                "earlier checkpoint, or write FITS files."
            )
        with self._lock:
            if not self._writing:
                self._begin_again()
        where = self.layout.where(place)
        assert where is not None
        number, offset = where
        content = np.ascontiguousarray(flux, DTYPE).data.cast("B")
        digest = hashlib.sha256(content).digest()
        try:
            write_at(self._descriptor(number), content, offset)
        except OSError as error:
            raise _failed(self._path(number), error) from error
        return digest

    def good(self, place: int, index: int, digest: bytes) -> bool:
        """Whether a galaxy is stored whole, with the SHA-256 that `put` gave."""
        where = self.layout.where(place)
        if where is None:
            return False
        try:
            found = read_at(self._descriptor(where[0]), self.layout.row_bytes, where[1])
        except OSError:
            return False
        return hashlib.sha256(found).digest() == digest

    def finish(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the catalogue and then the index, which makes the folder a pack.

        Parameters
        ----------
        rows
            The catalogue in chunks, structured arrays in the order of the places, of the
            galaxies that stay; see `galgen.data.pack.rows.write_rows`.

        Raises
        ------
        DataError
            If none stays.
        OutputError
            If they cannot be written.
        """
        path = self.folder / CATALOGUE
        samples, classes = write_rows(path, rows)
        if not len(samples):
            raise DataError(f"{self.folder}: no galaxy is as asked, and no pack is empty.")
        if len(samples) < self.layout.n:
            self._leave_out(samples - self.start)
        with ThreadPoolExecutor(min(cores(), 4)) as pool:
            shards = tuple(pool.map(self._shard, self.layout.counts))
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size, spec = path.stat().st_size, self.spec
        index = PackIndex(
            kind=indices.FLUX,
            shape=spec.shape,
            dtype=DTYPE,
            count=len(samples),
            checked=spec.size,
            bands=spec.bands,
            unit=None if spec.unit == UNKNOWN_UNIT else spec.unit,
            zero_points=spec.zero_points,
            pixel_scale=spec.pixel_scale,
            psf_fwhm=spec.psf_fwhm,
            classes=classes,
            shards=shards,
            catalogue={"file": path.name, "bytes": size, "sha256": sha256, "own": None},
            galgen=galgen.__version__,
            source=SOURCE,
            options=self._options(),
            generated=self.about,
        )
        index.write(self.folder)
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
        self._writing = False

    def _finished(self) -> bool:
        """Whether the pack is there already, less pixels that are damaged.

        Raises
        ------
        OutputError
            If the folder holds another pack.
        """
        try:
            state = json.loads((self.folder / indices.INDEX).read_text(encoding="utf-8"))
            found = [state[key] for key in ("source", "shape", "options")]
            found.append(_lasting(state["generated"]))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, KeyError):
            found = []
        if found != [SOURCE, list(self.spec.shape), self._options(), _lasting(self.about)]:
            raise OutputError(
                f"{self.folder} is a pack of other galaxies: give another folder to --out."
            )
        if state["count"] < self.layout.n:
            about = catalogues.read(self.folder / CATALOGUE)
            samples = np.array([int(sample) for sample in about.columns["sample"]], np.int64)
            self.layout = replace(self.layout, held=samples - self.start)
        lengths = (self.layout.length(k) == _size(self._path(k)) for k in self.layout.counts)
        return all(lengths)

    def _options(self) -> dict[str, int]:
        layout = self.layout
        return {"n": layout.n, "start": self.start, "shard_bytes": layout.shard_bytes}

    def _begin(self) -> None:
        """Make the folder, what says that it is no pack yet, and the shards in their length."""
        folder = self.folder
        path = make_unfinished(folder) / GENERATED
        remove_stale([*path.parent.glob(".*.tmp")])
        clear_leftovers(folder)
        begun = {
            "format": indices.FORMAT,
            "spec": self.spec.to_dict(),
            "options": self._options(),
            "generated": _lasting(self.about),
        }
        content = json.dumps(begun, indent=1) + "\n"
        create(path, content)
        if path.read_text(encoding="utf-8") != content:
            raise OutputError(
                f"{folder} was begun with other galaxies, or more or fewer of them: give the "
                "command that began it, or another folder to --out."
            )
        with suppress(FileNotFoundError):
            (folder / indices.INDEX).unlink()
        layout = self.layout = replace(self.layout, held=None)
        have = sum(_size(self._path(number), True) for number in layout.counts)
        room, wanted = shutil.disk_usage(folder).free, layout.n * layout.row_bytes - have
        if wanted > room:
            raise OutputError(
                f"{folder}: {wanted / 1e9:,.1f} GB are to be written and {room / 1e9:,.1f} GB are "
                "free: make room or give another folder to --out."
            )
        for number in layout.counts:
            # Several processes may do so at once, and one that comes late changes nothing.
            try:
                shard = _Open(self._path(number), os.O_CREAT)
                head = layout.head(number)
                if read_at(shard.descriptor, len(head), 0) != head:
                    write_at(shard.descriptor, head, 0)
                os.truncate(shard.descriptor, layout.length(number))
            except OSError as error:
                raise _failed(self._path(number), error) from error

    def _begin_again(self) -> None:
        """Before the first galaxy is written: a finished pack is none any more.

        Raises
        ------
        OutputError
            If galaxies were left out: their places are gone, and those of others have moved.
        """
        if indices.is_pack(self.folder):
            if self.layout.held is not None:
                raise OutputError(
                    f"{self.folder} is a finished pack, without the galaxies that never were as "
                    "asked, and takes none any more: give another folder to --out."
                )
            self._begin()
        self._writing = True

    def _leave_out(self, held: NDArray[np.int64]) -> None:
        """Take all other places out of the shards.

        Who is killed meanwhile finds galaxies that are not `good`, and draws them again.
        """
        before, self.layout = self.layout, replace(self.layout, held=held)
        self._open = threading.local()
        for number in before.counts:
            path = self._path(number)
            if number not in self.layout.counts:
                path.unlink()
            elif self.layout.counts[number] < before.counts[number]:
                with replacing(path) as temporary, open(path, "rb") as old:
                    self._copy(number, old.fileno(), before, temporary)

    def _copy(self, number: int, old: int, before: Layout, to: Path) -> None:
        """The galaxies of a shard that stay, from where they were before."""
        held = self.layout.held
        assert held is not None
        with open(to, "wb") as new:
            new.write(self.layout.head(number))
            for place in held[held // before.per_shard == number].tolist():
                where = before.where(place)
                assert where is not None
                new.write(read_at(old, before.row_bytes, where[1]))

    def _path(self, number: int) -> Path:
        return self.folder / shard_name(number)

    def _descriptor(self, number: int) -> int:
        """The shard, open in this thread until it turns to another one."""
        if getattr(self._open, "number", None) != number:
            self._open.file = _Open(self._path(number))
            self._open.number = number
        descriptor: int = self._open.file.descriptor
        return descriptor

    def _shard(self, number: int) -> Shard:
        """Size and checksum of a shard, which the disk has then."""
        path = self._path(number)
        digest, size, block = hashlib.sha256(), 0, bytearray(_BLOCK)
        try:
            with open(path, "r+b", buffering=0) as file:
                # A file system over the network may say only now that it is full.
                os.fsync(file.fileno())
                while count := file.readinto(block):
                    digest.update(memoryview(block)[:count])
                    size += count
        except OSError as error:
            raise _failed(path, error) from error
        return Shard(path.name, self.layout.counts[number], size, digest.hexdigest())


class _Open:
    """A file that is open as long as this is."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self.descriptor = os.open(path, os.O_RDWR | flags, 0o666)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def _size(path: Path, held: bool = False) -> int:
    """Bytes of a file, or those that it holds on the disk; 0 where it is not there."""
    with suppress(OSError):
        about = path.stat()
        return min(about.st_size, 512 * about.st_blocks) if held else about.st_size
    return 0


def _lasting(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in about.items() if name not in _PASSING}


def _failed(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error.strerror or error}): make room, and the same command "
        "goes on; or give another folder to --out."
    )
