"""Sets of feature rows in common units, and what is computed from pairs of their rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Smallest standard deviation that a feature is divided by: features that the real set holds
#: constant would otherwise rule every distance by rounding errors.
MIN_SCALE = 0.1
#: Rows of a pool up to which all pairs are kept, 288 MB in float64; beyond it they are computed
#: anew each time, so that memory stays flat.
KEPT = 6000
#: Pairs that are computed at a time.
_PAIRS = 1_000_000

#: Numbers (n, m) of two blocks of rows.
PairFunction = Callable[[Tensor, Tensor], Tensor]
#: The same of two sets of positions in a pool.
PairsOf = Callable[[Tensor, Tensor], Tensor]


def units(real: NDArray[Any] | Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (F,) of the real rows (N, F), none below `MIN_SCALE`."""
    x = torch.as_tensor(real).detach().to("cpu", torch.float64)
    mean = x.mean(0)
    variance = (x - mean).square().sum(0) / max(1, len(x) - 1)
    return mean, variance.sqrt().clamp_min(MIN_SCALE)


def pool_of(
    real: NDArray[Any] | Tensor, fake: NDArray[Any] | Tensor, scaled: bool = True
) -> Tensor:
    """Real rows (N, F), then generated ones (M, F), float64.

    With `scaled`, each feature is centred on the real set's mean and in units of its spread, so
    that it does not matter what it is measured in.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    one, two = (torch.as_tensor(x).detach().to("cpu", torch.float64) for x in (real, fake))
    pool = torch.cat([one, two])
    if not bool(torch.isfinite(pool).all()):
        raise ValueError("the features of some images are not finite")
    if scaled and len(one):
        mean, scale = units(one)
        pool = (pool - mean) / scale
    return pool


def positions(real: int, fake: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the real and of the generated rows in a pool of both."""
    return np.arange(real), np.arange(real, real + fake)


def pairs_of(pool: Tensor, function: PairFunction, dtype: torch.dtype) -> PairsOf:
    """Gives `function` of any rows of the pool (P, F) by position.

    Numbers of all pairs are kept, in `dtype`, for pools of up to `KEPT` rows.
    """
    if len(pool) > KEPT:
        return lambda one, two: function(pool[one], pool[two]).to(dtype)
    kept = torch.empty(len(pool), len(pool), dtype=dtype)
    for rows in blocks(torch.arange(len(pool)), len(pool)):
        kept[rows] = function(pool[rows], pool).to(dtype)
    return lambda one, two: kept[one[:, None], two]


def blocks(rows: Tensor, others: int) -> tuple[Tensor, ...]:
    """Positions in blocks small enough to be paired with so many others."""
    return rows.split(max(1, _PAIRS // max(1, others)))
