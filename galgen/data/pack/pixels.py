"""The pixels of a pack, from memory-mapped shards."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.data.pack.index import PackIndex
from galgen.data.pack.npy import HeaderError, start
from galgen.data.room import memory
from galgen.errors import DataError

#: Files that a process may have open beside the shards.
_OTHER_FILES = 512


class Pixels:
    """The shards of a pack, mapped into memory at first use.

    Where a pack is larger than half of the memory, the system is told which rows are wanted
    before they are copied, and not to read those beside them.
    """

    def __init__(self, folder: Path, index: PackIndex) -> None:
        self.folder, self.index = folder, index
        self.starts = np.cumsum([0, *(shard.count for shard in index.shards)])

    def __reduce__(self) -> tuple[Any, ...]:
        # A reader process maps the files anew; an array of them would be sent as its content.
        return Pixels, (self.folder, self.index)

    @cached_property
    def _shards(self) -> list[NDArray[Any]]:
        return [array for _, array in self._maps]

    @cached_property
    def _maps(self) -> list[tuple[mmap.mmap, NDArray[Any]]]:
        maps = []
        _allow_files(len(self.index.shards))
        for shard in self.index.shards:
            path = self.folder / shard.file
            with open(path, "rb") as file:
                shape = (shard.count, *self.index.shape)
                try:
                    offset = start(file, self.index.dtype, shape)
                except HeaderError as error:
                    raise DataError(
                        f"{path} is no shard of this pack ({error}): copy it again, or pack the "
                        "set again."
                    ) from None
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if self._large:
                mapped.madvise(mmap.MADV_RANDOM)
            array = np.frombuffer(mapped, self.index.dtype, int(np.prod(shape)), offset)
            maps.append((mapped, array.reshape(shape)))
        return maps

    @cached_property
    def _large(self) -> bool:
        return self.index.count * self.index.row_bytes > memory() // 2

    def read(
        self, rows: NDArray[np.int64], side: int, channels: Sequence[int] | None
    ) -> NDArray[np.float32]:
        """The central `side` x `side` pixels of some galaxies, as (n, channels, side, side)."""
        bands, height, width = self.index.shape
        top, left = (height - side) // 2, (width - side) // 2
        chosen = range(bands) if channels is None else channels
        out = np.empty((len(rows), len(chosen), side, side), np.float32)
        which = np.searchsorted(self.starts, rows, side="right") - 1
        places = list(zip(which.tolist(), (rows - self.starts[which]).tolist(), strict=True))
        if self._large:
            self._announce(places)
        shards = self._shards
        whole = (side, side) == (height, width)
        rims = np.s_[top : top + side, left : left + side]
        for k, (shard, row) in enumerate(places):
            planes = shards[shard][row]
            if channels is None:
                out[k] = planes if whole else planes[:, rims[0], rims[1]]
            else:
                for band, channel in enumerate(channels):
                    out[k, band] = planes[channel][rims]
        return out

    def _announce(self, places: Sequence[tuple[int, int]]) -> None:
        """Ask for the pages of these rows, so that the disk fetches them side by side."""
        size = self.index.row_bytes
        for shard, row in places:
            mapped, array = self._maps[shard]
            first = len(mapped) - array.nbytes + row * size
            page = first - first % mmap.PAGESIZE
            mapped.madvise(mmap.MADV_WILLNEED, page, first + size - page)


def _allow_files(count: int) -> None:
    """Raise the limit on open files as far as it goes, where it is too low for so many more."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count + _OTHER_FILES
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
