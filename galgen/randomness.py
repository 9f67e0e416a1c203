"""Random numbers keyed by (seed, stream, counter), the same on every machine and rank.

What belongs to the global batch (latents, labels, penalty points, augmentation) is drawn
for the whole of it on the CPU, and each replica takes its contiguous slice. So the number
of replicas, a resumed run and whatever else draws random numbers in between change nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor


def key(seed: int, stream: str, *counters: int) -> int:
    """63-bit key of a stream, from a cryptographic hash so that near keys do not correlate."""
    text = ":".join([str(int(seed)), stream, *(str(int(c)) for c in counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """A CPU generator for one use of one stream."""
    return torch.Generator().manual_seed(key(seed, stream, *counters))


@dataclass(frozen=True)
class StepStreams:
    """The random streams of one training step.

    Parameters
    ----------
    seed
        Seed of the run.
    images
        Images shown before this step.
    local
        Images of this replica's slice.
    rank, world
        Replica number and how many there are.
    part
        Of that slice, these images alone; None for all.
    device
        Where the numbers go.
    """

    seed: int
    images: int
    local: int
    rank: int = 0
    world: int = 1
    part: slice | None = None
    device: torch.device | str = "cpu"

    def of(self, part: slice) -> StepStreams:
        """The same streams for a part of this replica's slice."""
        return replace(self, part=part)

    def normal(self, stream: str, *shape: int) -> Tensor:
        """Standard normal numbers ``(local, *shape)``: this rank's slice of the global draw."""
        draw = torch.randn(
            self.local * self.world, *shape, generator=generator(self.seed, stream, self.images)
        )
        return self._slice(draw)

    def uniform(self, stream: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), shape ``(local, *shape)``."""
        draw = torch.rand(
            self.local * self.world, *shape, generator=generator(self.seed, stream, self.images)
        )
        return self._slice(draw)

    def _slice(self, draw: Tensor) -> Tensor:
        mine = draw[self.rank * self.local : (self.rank + 1) * self.local]
        if self.part is not None:
            mine = mine[self.part]
        if torch.device(self.device).type == "cuda":
            # From other memory the copy would wait for all that the device has to do.
            mine = mine.pin_memory()
        return mine.to(self.device, non_blocking=True)

    def seed_layers(self) -> None:
        """Key layer noise and dropout, which draw from torch's own generator, by rank and part."""
        parts = [self.part.start] if self.part is not None and self.part.start else []
        torch.manual_seed(key(self.seed, "layers", self.images, self.rank, *parts))
