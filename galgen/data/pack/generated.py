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
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import galgen
from galgen.bands import ImageSpec
from galgen.data.facts import UNKNOWN_UNIT
from galgen.data.pack import index as indices
from galgen.data.pack.index import PackIndex, Shard
from galgen.data.pack.npy import header
from galgen.data.pack.plan import galaxies_a_shard
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

#: What stands for the folder that other packs are made from.
SOURCE = "galgen sample"
_DTYPE = "<f4"
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
        How many there will be; their places count from 0.
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
        shard_bytes: int = indices.SHARD_BYTES,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.spec, self.n = Path(folder), spec, n
        self.shard_bytes, self.about = shard_bytes, dict(about or {})
        self.per_shard = galaxies_a_shard(spec.shape, _DTYPE, shard_bytes)
        self.row_bytes = 4 * spec.n_bands * spec.size**2
        self._open = threading.local()
        self._writing = False
        if not self._finished():
            self._begin()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_open"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._open = threading.local()

    def put(
        self, place: int, index: int, flux: NDArray[np.float32], facts: Mapping[str, Any]
    ) -> bytes:
        """Store a galaxy.

        Parameters
        ----------
        place
            Its row in the pack.
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
        if not self._writing:
            if indices.is_pack(self.folder):
                # It was finished, and this galaxy was found damaged.
                self._begin()
            self._writing = True
        content = np.ascontiguousarray(flux, _DTYPE).data.cast("B")
        digest = hashlib.sha256(content).digest()
        number, offset = self._where(place)
        path = self.folder / shard_name(number)
        try:
            descriptor = self._descriptor(number)
            while content:
                written = os.pwrite(descriptor, content, offset)
                content, offset = content[written:], offset + written
        except OSError as error:
            raise _failed(path, error) from error
        return digest

    def good(self, place: int, index: int, digest: bytes) -> bool:
        """Whether a galaxy is stored whole, with the SHA-256 that `put` gave."""
        number, offset = self._where(place)
        try:
            found = os.pread(self._descriptor(number), self.row_bytes, offset)
        except OSError:
            return False
        return hashlib.sha256(found).digest() == digest and len(found) == self.row_bytes

    def finish(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the catalogue and then the index, which makes the folder a pack.

        Parameters
        ----------
        rows
            The catalogue in chunks, structured arrays in the order of the places; see
            `galgen.data.pack.rows.write_rows`.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        with ThreadPoolExecutor(min(cores(), 4)) as pool:
            hashed = list(pool.map(self._shard, range(self.shards)))
        classes = write_rows(self.folder / indices.CATALOGUE, self.n, rows)
        path = self.folder / indices.CATALOGUE
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        spec = self.spec
        index = PackIndex(
            kind=indices.FLUX,
            shape=spec.shape,
            dtype=_DTYPE,
            count=self.n,
            checked=spec.size,
            bands=spec.bands,
            unit=None if spec.unit == UNKNOWN_UNIT else spec.unit,
            zero_points=spec.zero_points,
            pixel_scale=spec.pixel_scale,
            psf_fwhm=spec.psf_fwhm,
            classes=classes,
            shards=tuple(hashed),
            catalogue={
                "file": indices.CATALOGUE,
                "bytes": path.stat().st_size,
                "sha256": sha256,
                "own": None,
            },
            galgen=galgen.__version__,
            source=SOURCE,
            options={"shard_bytes": self.shard_bytes},
            generated=json.loads(json.dumps(self.about, default=str)),
        )
        index.write(self.folder)
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    def _finished(self) -> bool:
        """Whether the pack is there already, less pixels that are damaged.

        Raises
        ------
        OutputError
            If the folder holds another pack.
        """
        path = self.folder / indices.INDEX
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            have = [state["source"], state["count"], state["shape"], state["options"]]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, KeyError):
            have = []
        if have != [SOURCE, self.n, list(self.spec.shape), {"shard_bytes": self.shard_bytes}]:
            raise OutputError(
                f"{self.folder} is a pack of other galaxies: give another folder to --out."
            )
        return all(self._length(k) == _size(self._path(k)) for k in range(self.shards))

    def _begin(self) -> None:
        """Make the folder, what says that it is no pack yet, and the shards in their length."""
        folder = self.folder
        path = make_unfinished(folder) / GENERATED
        remove_stale([*folder.glob(".*.tmp"), *path.parent.glob(".*.tmp")])
        state = {
            "format": indices.FORMAT,
            "spec": self.spec.to_dict(),
            "count": self.n,
            "per_shard": self.per_shard,
        }
        content = json.dumps(state, indent=1) + "\n"
        create(path, content)
        if path.read_text(encoding="utf-8") != content:
            raise OutputError(
                f"{folder} was begun with other galaxies, or more or fewer of them: give the "
                "command that began it, or another folder to --out."
            )
        with suppress(FileNotFoundError):
            (folder / indices.INDEX).unlink()
        have = sum(_size(self._path(number), True) for number in range(self.shards))
        room, wanted = shutil.disk_usage(folder).free, self.n * self.row_bytes - have
        if wanted > room:
            raise OutputError(
                f"{folder}: {wanted / 1e9:,.1f} GB are to be written and {room / 1e9:,.1f} GB are "
                "free: make room or give another folder to --out."
            )
        for number in range(self.shards):
            path = self._path(number)
            try:
                # Several processes may do so at once, and one that comes late changes nothing.
                shard, head = _Open(path, os.O_CREAT), self._head(number)
                if os.pread(shard.number, len(head), 0) != head:
                    os.pwrite(shard.number, head, 0)
                os.truncate(shard.number, self._length(number))
            except OSError as error:
                raise _failed(path, error) from error

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.n // self.per_shard)

    def _path(self, number: int) -> Path:
        return self.folder / shard_name(number)

    def _count(self, number: int) -> int:
        """Galaxies in a shard."""
        return min(self.per_shard, self.n - number * self.per_shard)

    def _head(self, number: int) -> bytes:
        return _header((self._count(number), *self.spec.shape))

    def _length(self, number: int) -> int:
        """Bytes of a shard."""
        return len(self._head(number)) + self._count(number) * self.row_bytes

    def _where(self, place: int) -> tuple[int, int]:
        """Shard of a place, and where its pixels begin in it."""
        if not 0 <= place < self.n:
            raise ValueError(f"place {place} of {self.n}")
        number, row = divmod(place, self.per_shard)
        return number, len(self._head(number)) + row * self.row_bytes

    def _descriptor(self, number: int) -> int:
        """The shard, open in this thread until it turns to another one."""
        if getattr(self._open, "shard", None) != number:
            self._open.file = _Open(self._path(number))
            self._open.shard = number
        descriptor: int = self._open.file.number
        return descriptor

    def _shard(self, number: int) -> Shard:
        """Size and checksum of a shard, which the disk has then."""
        path = self.folder / shard_name(number)
        digest, size = hashlib.sha256(), 0
        block = bytearray(_BLOCK)
        try:
            with open(path, "r+b", buffering=0) as file:
                # A file system over the network may say only now that it is full.
                os.fsync(file.fileno())
                while count := file.readinto(block):
                    digest.update(memoryview(block)[:count])
                    size += count
        except OSError as error:
            raise _failed(path, error) from error
        return Shard(path.name, self._count(number), size, digest.hexdigest())


class _Open:
    """A file that is open as long as this is."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self.number = os.open(path, os.O_RDWR | flags, 0o666)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(64)
def _header(shape: tuple[int, ...]) -> bytes:
    return header(_DTYPE, shape)


def _size(path: Path, held: bool = False) -> int:
    """Bytes of a file, or those that it holds on the disk; 0 where it is not there."""
    with suppress(OSError):
        about = path.stat()
        return min(about.st_size, 512 * about.st_blocks) if held else about.st_size
    return 0


def _failed(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error.strerror or error}): make room, and the same command "
        "goes on; or give another folder to --out."
    )
