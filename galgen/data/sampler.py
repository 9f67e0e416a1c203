"""The order of the training images, a pure function of (seed, position, rank, world)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DistributedSampler

from galgen.randomness import generator


class BalancedOrder:
    """An endless stream with as many images of each class, however rare.

    Image number k of the stream belongs to batch b = k // B. Those of a batch are the numbers
    b B to (b + 1) B - 1 in a shuffled order; number j is of class j % C, and it is the entry
    j // C of that class's own endless stream of shuffled passes. So a batch holds each class
    B/C times to within one, and within a batch classes come in any order: minibatch statistics,
    which are taken over neighbours, see no pattern that generated images lack.

    Parameters
    ----------
    labels
        Class number of each image; classes without any image take no part.
    batch
        Images of a global batch, B.
    seed
        Seed of the shuffles.
    """

    def __init__(self, labels: Sequence[int] | NDArray[np.int64], batch: int, seed: int) -> None:
        label = torch.as_tensor(labels)
        self.members = [torch.nonzero(label == k).flatten() for k in label.unique(sorted=True)]
        self.batch, self.seed = batch, seed
        self._slots: tuple[int, list[int]] | None = None
        self._passes: dict[int, tuple[int, Tensor]] = {}

    def image(self, k: int) -> int:
        """Image number k of the stream."""
        batch, slot = divmod(k, self.batch)
        if self._slots is None or self._slots[0] != batch:
            order = torch.randperm(self.batch, generator=generator(self.seed, "classes", batch))
            self._slots = (batch, order.tolist())
        entry, kind = divmod(batch * self.batch + self._slots[1][slot], len(self.members))
        which, place = divmod(entry, len(self.members[kind]))
        # Two passes may meet in a batch, and the shuffle turns back and forth between them.
        held = self._passes.get(2 * kind + which % 2)
        if held is None or held[0] != which:
            members = self.members[kind]
            draw = generator(self.seed, "shuffle", kind, which)
            held = (which, members[torch.randperm(len(members), generator=draw)])
            self._passes[2 * kind + which % 2] = held
        return int(held[1][place])


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
    labels
        Class number of each image, to show as many of each class (`BalancedOrder`); None to
        show every image as often.
    """

    def __init__(
        self,
        n: int,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        epoch_images: int | None = None,
        labels: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self.rank, self.world = rank, world
        self.epoch_batches = -(-(epoch_images or n) // batch)
        self.position = 0
        self._pass: tuple[int, Tensor] | None = None
        self._balanced = None if labels is None else BalancedOrder(labels, batch, seed)

    def __len__(self) -> int:
        return self.epoch_batches

    def set_epoch(self, epoch: int) -> None:
        """Nothing: the position says it all."""

    def indices(self, start: int, stop: int) -> list[int]:
        """Images number start to stop of the stream."""
        if self._balanced is not None:
            return [self._balanced.image(k) for k in range(start, stop)]
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
