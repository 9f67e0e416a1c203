"""The clock of a run: images shown to the critic.

Lightning's ``global_step`` rises at every optimizer step, twice a batch for a pair of
networks, so nothing here is scheduled on it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Counts images, summed over all replicas.

    Attributes
    ----------
    images
        Images shown to the critic so far.
    batch
        Images of the latest batch, 0 before the first.
    """

    images: int = 0
    batch: int = 0

    def advance(self, batch: int) -> None:
        """One global batch of so many images has been shown."""
        self.images += batch
        self.batch = batch

    def crossed(self, every: int | None) -> bool:
        """True if the latest batch reached or passed a multiple of `every` images."""
        if not every or every < 0 or not self.batch:
            return False
        return self.images // every > (self.images - self.batch) // every

    def state(self) -> dict[str, int]:
        """Plain dict for checkpoints."""
        return {"images": self.images, "batch": self.batch}

    def load(self, state: dict[str, int]) -> None:
        """Inverse of `state`."""
        self.images = int(state["images"])
        self.batch = int(state["batch"])
