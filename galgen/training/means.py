"""Means over an interval of what a step has to say, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Means:
    """Running sums by name."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def note(self, name: str, value: Tensor) -> None:
        """Add a scalar."""
        value = value.detach().float()
        old = self.sums.get(name)
        count = torch.ones_like(value)
        self.sums[name] = torch.stack([value, count]) + (0 if old is None else old.to(value))

    def take(self) -> dict[str, float]:
        """Mean of everything noted since the last call, and start anew."""
        means = {name: float(s[0] / s[1]) for name, s in self.sums.items()}
        self.sums = {}
        return means

    def state(self) -> dict[str, list[float]]:
        """Plain dict for checkpoints."""
        return {name: total.tolist() for name, total in self.sums.items()}

    def load(self, state: dict[str, list[float]]) -> None:
        """Inverse of `state`."""
        self.sums = {name: torch.tensor(total) for name, total in state.items()}
