"""How strongly images are augmented in front of the critic, steered by how sure it is of them."""

from __future__ import annotations

import torch
from torch import Tensor

#: Steps between two changes of p.
EVERY = 4


class AdaptiveP:
    r"""The probability p of `galgen.nn.augment` (Karras et al. 2020, arXiv:2006.06676, section 3).

    A critic that knows the training images by heart is sure of them: over real images x,
    :math:`r = E\,\mathrm{sign}(D(x))` goes to 1. Every 4 steps p rises by a fixed amount if r is
    above the target, and falls by it if below.

    Nothing here waits for the device.

    Parameters
    ----------
    target
        The r that is held, 0.6 in the paper.
    images
        In which p can rise from 0 to 1, 500,000 in the paper.
    most
        p rises no higher. Near 1 augmentations begin to show in the generated images.

    Attributes
    ----------
    p
        0-dim, float32.
    """

    #: p of the first step.
    START = 0.0

    def __init__(self, target: float, images: int, most: float) -> None:
        self.target, self.images, self.most = target, images, most
        self.p = torch.tensor(self.START)
        # Sum of signs and their number since the last change, over all replicas.
        self._sums = torch.zeros(2)
        self._steps = self._shown = 0

    def to(self, device: torch.device | str) -> AdaptiveP:
        """Move p there."""
        self.p, self._sums = self.p.to(device), self._sums.to(device)
        return self

    @torch.no_grad()
    def observe(self, seen: Tensor) -> None:
        """Take the sum and the number (2,) of signs of the critic's scores of real images, over
        all replicas.
        """
        self._sums = self.to(seen.device)._sums + seen

    @torch.no_grad()
    def step(self, batch: int) -> None:
        """Count a step of `batch` images, over all replicas; every fourth one changes p."""
        self._steps, self._shown = self._steps + 1, self._shown + batch
        if self._steps < EVERY:
            return
        r = self._sums[0] / self._sums[1]
        # A score that is no number says nothing.
        change = torch.sign(r - self.target).nan_to_num(0.0) * (self._shown / self.images)
        self.p = (self.p + change).clamp(0.0, self.most)
        self._sums = torch.zeros_like(self._sums)
        self._steps = self._shown = 0

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints."""
        counts = torch.tensor([self._steps, self._shown])
        return {"p": self.p, "sums": self._sums, "counts": counts}

    def load(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`."""
        self.p, self._sums = state["p"].float(), state["sums"].float()
        self._steps, self._shown = (int(count) for count in state["counts"])
