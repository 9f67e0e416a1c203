"""Progressive growing: networks that stand at one resolution after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

#: Standard deviation of new pictures. The papers' images span -1 to 1; in network space the sky
#: lies at 0, bright cores near 1, and real galaxies have standard deviations of 0.1 to 0.2.
PICTURE = 0.2


class Growing:
    """What generator and critic of a growing pair have in common (Karras et al. 2018,
    arXiv:1710.10196, section 2).

    All resolutions are built at once; which of them are in use is no part of the state.

    Attributes
    ----------
    sides
        Side lengths in pixels, coarse to fine.
    first_level
        Index in `sides` of the resolution that training starts from.
    level, alpha
        The resolution that the network stands at, and how far it has faded in, 0 to 1. A new
        network is fully grown.
    """

    sides: list[int]
    first_level: int
    level: int
    alpha: float

    def stand_at_the_top(self, sides: Sequence[int], first_level: int) -> None:
        """Set the resolutions of a new network."""
        self.sides, self.first_level = list(sides), first_level
        self.level, self.alpha = len(self.sides) - 1, 1.0

    def grow(self, level: int, alpha: float = 1.0) -> None:
        """Stand at a resolution, faded in as far as `alpha`.

        The first level has nothing to fade from: there alpha is 1.

        Raises
        ------
        ValueError
            If there is no such level, or alpha lies outside 0 to 1.
        """
        if not self.first_level <= level < len(self.sides):
            top = len(self.sides) - 1
            raise ValueError(f"level {level} is not one of {self.first_level} to {top}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha {alpha} is not between 0 and 1")
        self.level, self.alpha = level, alpha if level > self.first_level else 1.0

    @property
    def fading(self) -> bool:
        """Whether the level below still has a share."""
        return self.alpha < 1


def fade_in(coarse: Tensor, fine: Tensor, alpha: float) -> Tensor:
    r"""The share of the level below and the new level's own, :math:`(1 - \alpha) c + \alpha f`
    (Karras et al. 2018, figure 2).

    Parameters
    ----------
    coarse
        Picture c of the level below; doubled in side by nearest neighbours.
    fine
        Picture f of the new level.
    alpha
        From 0, the level below alone, to 1, the new level alone.
    """
    return (1 - alpha) * F.interpolate(coarse, scale_factor=2, mode="nearest") + alpha * fine
