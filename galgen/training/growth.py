"""Which resolution a growing pair is at, as a function of the clock."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Growth:
    """The schedule of progressive growing (Karras et al. 2018, arXiv:1710.10196, section 2).

    Every level below the last is trained for the same number of images. A new one fades in over
    the first part of its time and then holds; the first has nothing to fade from.

    Parameters
    ----------
    first, last
        Numbers of the coarsest and the finest level.
    images
        The last level begins here; 0 for fully grown from the start.
    fade
        Fraction of a level's time that it takes to fade in.

    Examples
    --------
    >>> growth = Growth(first=0, last=2, images=1000)
    >>> growth.at(0), growth.at(600), growth.at(1000), growth.at(2000)
    ((0, 1.0), (1, 0.5), (2, 0.0), (2, 1.0))
    """

    first: int
    last: int
    images: int
    fade: float = 0.4

    def at(self, images: int) -> tuple[int, float]:
        """(level, alpha) after so many images; alpha is 1 where the level has faded in."""
        steps = self.last - self.first
        if steps == 0 or self.images == 0:
            return self.last, 1.0
        share = self.images / steps
        step = min(steps, int(images / share))
        if step == 0:
            return self.first, 1.0
        return self.first + step, min(1.0, (images - step * share) / (self.fade * share))


def present(images: Tensor, side: int, alpha: float) -> Tensor:
    """Real images as a level sees them: averaged down to `side`, its finest detail faded in.

    Parameters
    ----------
    images
        (N, C, H, H) in network space; H is `side` times a power of two.
    side
        Side length of the level.
    alpha
        1 for all of the detail, 0 for what the level below shows.
    """
    factor = images.shape[-1] // side
    if factor > 1:
        images = F.avg_pool2d(images, factor)
    if alpha < 1:
        coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
        images = alpha * images + (1 - alpha) * coarse
    return images
