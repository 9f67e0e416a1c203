"""Galaxies that are read in blocks, so that a set may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

#: Images in memory at a time.
BLOCK = 128
#: Pixels of a sample in all bands together, 256 MB; but no fewer images than that.
_NUMBERS, _LEAST = 2**26, 100


@dataclass(frozen=True)
class Images:
    """Flux images by position.

    Attributes
    ----------
    n
        How many.
    reader
        Positions (k,) to flux (k, C, H, W), float32 on the CPU.
    names
        Of each, for captions; their positions where nothing else is known.
    """

    n: int
    reader: Callable[[NDArray[np.int64]], Tensor]
    names: Sequence[str] = ()

    @classmethod
    def of(cls, flux: Tensor, names: Sequence[str] = ()) -> Images:
        """Images (N, C, H, W) that are in memory already."""
        return cls(len(flux), lambda rows: flux[rows], names)

    def __len__(self) -> int:
        return self.n

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Flux (k, C, H, W) of those positions."""
        return self.reader(np.asarray(rows, dtype=np.int64))

    def sample(self, most: int) -> Tensor:
        """At most so many of them, spread evenly over the set, which may be sorted by class.

        Of large images fewer, so that the sample stays in memory.
        """
        if self.n > _LEAST:
            most = min(most, max(_LEAST, _NUMBERS // self.read([0]).numel()))
        return self.read(np.linspace(0, self.n - 1, min(self.n, most)).astype(np.int64))

    def blocks(self, size: int = BLOCK) -> Iterator[Tensor]:
        """All of them in order."""
        for start in range(0, self.n, size):
            yield self.read(np.arange(start, min(self.n, start + size)))

    def name(self, row: int) -> str:
        """What to call one."""
        return self.names[row] if self.names else str(row)
