"""Exponential moving average of the generator, with its half-life in images."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class GeneratorEMA:
    """Smoothed copy of a generator, which is what samples are drawn from.

    The decay of one batch is ``0.5 ** (batch / min(half_life, ramp * images))`` (Karras et
    al. 2020, arXiv:1912.04958, their `ema_kimg` and `ema_rampup`), so that the start of a
    run does not linger. Buffers are copied. A frozen parameter stays bit-identical, because
    the average of a number with itself is that number.

    Parameters
    ----------
    generator
        The network to follow; its weights are copied now.
    half_life
        In images; 0 turns the averaging off.
    ramp
        Fraction of the images seen that bounds the half-life.
    """

    def __init__(self, generator: nn.Module, half_life: float, ramp: float = 0.05) -> None:
        self.network = copy.deepcopy(generator).eval().requires_grad_(False)
        self.half_life = float(half_life)
        self.ramp = ramp

    @torch.no_grad()
    def update(self, generator: nn.Module, batch: int, images: int) -> None:
        """Follow the generator after a batch; `images` counts that batch too."""
        half_life = min(self.half_life, self.ramp * images)
        weight = 1.0 if half_life <= 0 else 1.0 - 0.5 ** (batch / half_life)
        mine: list[Tensor] = [p.data for p in self.network.parameters()]
        torch._foreach_lerp_(mine, [p.data for p in generator.parameters()], weight)
        for ours, theirs in zip(self.network.buffers(), generator.buffers(), strict=True):
            ours.copy_(theirs)

    @torch.no_grad()
    def restart(self, generator: nn.Module) -> None:
        """Forget the past and take the generator's present weights."""
        self.network.load_state_dict(generator.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints."""
        return self.network.state_dict()

    def load(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`."""
        self.network.load_state_dict(state)
