"""Kernel distance (KID): as the Frechet distance, but unbiased at any number of images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.metrics.features import FeatureExtractor
from galgen.metrics.pairs import PairsOf, blocks, pairs_of, pool_of, positions
from galgen.metrics.scorecard import BetweenRows, Family, Scale, pooled_family
from galgen.metrics.setmetric import SetMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Subsets and rows in each, as in published values.
SUBSETS = 100
SUBSET_SIZE = 1000
#: Spreads beyond which a feature counts as that far: the kernel is a cube, and a handful of stars
#: and blends among the galaxies would rule it.
FARTHEST = 3.0
BOOTSTRAPS = 100


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / F + 1)^3 of rows (N, F) and (M, F), (N, M)."""
    base = torch.addmm(x.new_ones(1, 1), x, y.T, alpha=1 / x.shape[1])
    return base.square().mul_(base)


def _sum(kernel: PairsOf, one: NDArray[np.int64], two: NDArray[np.int64]) -> float:
    """Sum of the kernel over all pairs; positions that repeat are looked up once."""
    (a, times_a), (b, times_b) = (np.unique(rows, return_counts=True) for rows in (one, two))
    weights = torch.from_numpy(times_b).double()
    columns = torch.from_numpy(b)
    parts = [kernel(rows, columns) @ weights for rows in blocks(torch.from_numpy(a), len(b))]
    return float(torch.from_numpy(times_a).double() @ torch.cat(parts))


def kernel_distance(
    kernel: PairsOf, diagonal: Tensor, one: NDArray[np.int64], two: NDArray[np.int64]
) -> float:
    r"""Unbiased squared maximum mean discrepancy of two sets of positions.

    .. math::
        \frac{1}{n (n - 1)} \sum_{i \neq j} k(x_i, x_j)
        + \frac{1}{m (m - 1)} \sum_{i \neq j} k(y_i, y_j)
        - \frac{2}{n m} \sum_{i, j} k(x_i, y_j)

    (Bińkowski et al. 2018, arXiv:1801.01401, eq. 4). About 0 for two samples of one
    distribution, and then as often negative as not.

    Raises
    ------
    ValueError
        For fewer than two rows in a set.
    """
    n, m = len(one), len(two)
    if min(n, m) < 2:
        raise ValueError(f"a kernel distance needs two images of each set, got {min(n, m)}")
    own = (
        (_sum(kernel, rows, rows) - float(diagonal[torch.from_numpy(rows)].sum()))
        / (len(rows) * (len(rows) - 1))
        for rows in (one, two)
    )
    return sum(own) - 2 * _sum(kernel, one, two) / (n * m)


def _pooled(real: NDArray[Any], fake: NDArray[Any], *, scaled: bool) -> BetweenRows:
    pool = pool_of(real, fake, scaled)
    if scaled:
        pool = pool.clamp(-FARTHEST, FARTHEST)
    kernel = pairs_of(pool, polynomial_kernel, torch.float64)
    diagonal = (pool.square().sum(1) / pool.shape[1] + 1) ** 3
    return lambda one, two: {"kid": kernel_distance(kernel, diagonal, one, two)}


def kernel_family(scaled: bool = True) -> Family:
    """The score ``kid`` of feature rows.

    With `scaled`, each feature is centred on the real set's mean and in units of its spread, and
    none is farther than `FARTHEST`; without, they are taken as they are, as in published kernel
    inception distances.
    """
    return pooled_family({"kid": Scale()}, partial(_pooled, scaled=scaled), BOOTSTRAPS)


KERNEL = kernel_family()


def kernel_subsets(
    real: NDArray[Any],
    fake: NDArray[Any],
    *,
    scaled: bool = True,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation of the distance over random subsets, as papers print it.

    Parameters
    ----------
    real, fake
        Features (N, F) and (M, F).
    scaled
        As in `kernel_family`.
    subsets, size
        How many, and rows in each, at most those that there are.
    seed
        Of the subsets.
    """
    random = np.random.default_rng(seed)
    between = _pooled(real, fake, scaled=scaled)
    sides = positions(len(real), len(fake))
    size = min(size, len(real), len(fake))
    values = [
        between(*(random.choice(rows, size, replace=False) for rows in sides))["kid"]
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


class KernelDistance(SetMetric):
    """The kernel distance over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features.
    scaled
        See `kernel_family`.
    **kwargs
        Of `SetMetric`.
    """

    def __init__(self, extractor: FeatureExtractor, *, scaled: bool = True, **kwargs: Any) -> None:
        super().__init__(kernel_family(scaled), extractor, extractor.n_features, **kwargs)
