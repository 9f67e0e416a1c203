"""The order of the training images, a pure function of (seed, position, rank, world)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from galgen.randomness import generator


class CounterSampler(DistributedSampler[tuple[int, list[int]]]):
    """Batches of indices from an endless stream of shuffled passes.

    Image number k of the stream is entry ``k % n`` of the shuffle of pass ``k // n``. Batches
    cut the stream where they will, so no image is dropped and a batch may span two passes.
    Each replica takes its contiguous slice of every global batch. Where a run was interrupted,
    it goes on at `position`, whatever the number of replicas or workers.

    It is a `DistributedSampler` for one reason: Lightning leaves those alone.

    Parameters
    ----------
    n
        Images in the set.
    batch
        Images of a global batch, a multiple of `world`.
    seed
        Seed of the shuffles.
    rank, world
        This replica, and how many there are.
    epoch_images
        Images of an epoch, after which an iterator ends; None for the first multiple of the
        batch at or above `n`.
    """

    def __init__(
        self,
        n: int,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        epoch_images: int | None = None,
    ) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self.rank, self.world = rank, world
        self.epoch_batches = -(-(epoch_images or n) // batch)
        self.position = 0
        self._pass: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self.epoch_batches

    def set_epoch(self, epoch: int) -> None:
        """Nothing: the position says it all."""

    def indices(self, start: int, stop: int) -> list[int]:
        """Images number start to stop of the stream."""
        chosen: list[int] = []
        while start < stop:
            which, offset = divmod(start, self.n)
            part = self._order(which)[offset : offset + stop - start]
            chosen += part.tolist()
            start += len(part)
        return chosen

    def _order(self, which: int) -> Tensor:
        if self._pass is None or self._pass[0] != which:
            order = torch.randperm(self.n, generator=generator(self.seed, "shuffle", which))
            self._pass = (which, order)
        return self._pass[1]

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """(position of the global batch, this replica's indices) up to the epoch's end."""
        epoch = self.epoch_batches * self.batch
        local = self.batch // self.world
        stop = (self.position // epoch + 1) * epoch
        for start in range(self.position, stop, self.batch):
            mine = start + self.rank * local
            yield start, self.indices(mine, mine + local)
