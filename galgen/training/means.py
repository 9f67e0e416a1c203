"""Means over an interval of what a step has to say, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Means:
    """Running sums by name.

    Attributes
    ----------
    sums, counts
        Sum (0-dim, float32) and number of what was noted under a name.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def note(self, name: str, value: Tensor) -> None:
        """Add a scalar."""
        value = value.detach().float()
        old = self.sums.get(name)
        self.sums[name] = value if old is None else old.to(value) + value
        self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Mean of everything noted since the last call, and start anew."""
        means = {name: total / count for name, (total, count) in self.state().items()}
        self.sums, self.counts = {}, {}
        return means

    def state(self) -> dict[str, list[float]]:
        """Plain dict for checkpoints: sum and number by name."""
        if not self.sums:
            return {}
        # One wait for the device, not one a name; what a checkpoint held may lie on the CPU yet.
        places = {total.device for total in self.sums.values()}
        place = max(places, key=lambda device: device.type != "cpu")
        totals = torch.stack([total.to(place) for total in self.sums.values()]).tolist()
        return {n: [t, float(self.counts[n])] for n, t in zip(self.sums, totals, strict=True)}

    def load(self, state: dict[str, list[float]]) -> None:
        """Inverse of `state`."""
        self.sums = {name: torch.tensor(total) for name, (total, _) in state.items()}
        self.counts = {name: int(count) for name, (_, count) in state.items()}

    def mark(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """The present sums, to come back to by `reset`."""
        return dict(self.sums), dict(self.counts)

    def reset(self, mark: tuple[dict[str, Tensor], dict[str, int]]) -> None:
        """Forget what was noted since `mark`."""
        self.sums, self.counts = dict(mark[0]), dict(mark[1])
