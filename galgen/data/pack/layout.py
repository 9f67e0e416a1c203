"""Where each galaxy of a pack lies in its shards, before the pack is finished."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from galgen.data.pack.npy import header
from galgen.data.pack.plan import galaxies_a_shard

#: What generated galaxies are kept as.
DTYPE = "<f4"


@dataclass(frozen=True)
class Layout:
    """Shards with the same number of places each but the last.

    Attributes
    ----------
    shape
        (C, H, W) of a galaxy.
    n
        Places, from 0.
    shard_bytes
        Bytes of pixels in a shard.
    held
        Those that are there, in order; None for all. A shard holds no room for the others, and
        there is no shard without a galaxy.
    """

    shape: tuple[int, int, int]
    n: int
    shard_bytes: int
    held: NDArray[np.int64] | None = field(default=None, compare=False)

    @cached_property
    def per_shard(self) -> int:
        """Places of a shard."""
        return galaxies_a_shard(self.shape, DTYPE, self.shard_bytes)

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of a galaxy."""
        return 4 * int(np.prod(self.shape))

    @cached_property
    def counts(self) -> dict[int, int]:
        """Galaxies of each shard by its number."""
        shards = -(-self.n // self.per_shard)
        if self.held is None:
            return {k: min(self.per_shard, self.n - k * self.per_shard) for k in range(shards)}
        found, counts = np.unique(self.held // self.per_shard, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def head(self, number: int) -> bytes:
        """What stands before the pixels of a shard."""
        return _head((self.counts[number], *self.shape))

    def length(self, number: int) -> int:
        """Bytes of a shard."""
        return len(self.head(number)) + self.counts[number] * self.row_bytes

    def where(self, place: int) -> tuple[int, int] | None:
        """Shard of a place, and where its pixels begin in it; None if it is left out."""
        if not 0 <= place < self.n:
            raise ValueError(f"place {place} of {self.n}")
        number, row = divmod(place, self.per_shard)
        if self.held is not None:
            first, at = np.searchsorted(self.held, [place - row, place]).tolist()
            if at == len(self.held) or self.held[at] != place:
                return None
            row = at - first
        return number, len(self.head(number)) + row * self.row_bytes


@lru_cache(64)
def _head(shape: tuple[int, ...]) -> bytes:
    return header(DTYPE, shape)
