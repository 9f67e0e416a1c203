"""A random subset that does not depend on the order of files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STREAM = 0x636F756E74


def draw(n: int, count: int | None, seed: int) -> NDArray[np.int64]:
    """Sorted indices of `count` of `n` galaxies; all of them where `count` is None or larger."""
    if count is None or count >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, _STREAM]).permutation(n)[:count])
