"""Frechet distance of infinitely many images, extrapolated from several numbers of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.metrics.features import FeatureExtractor
from galgen.metrics.frechet import frechet_distance, gaussian_of
from galgen.metrics.pairs import pool_of
from galgen.metrics.scorecard import BetweenRows, Family, Scale, pooled_family
from galgen.metrics.setmetric import SetMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: Numbers of images that the line goes through.
SIZES = 4
#: Smallest number as a part of all, and the largest that still gives a line.
_LEAST, _MOST = 1 / 3, 2 / 3
#: Each takes eight distances, so that fewer resamplings have to do.
BOOTSTRAPS = 50


def parts(n: int, features: int) -> NDArray[np.float64]:
    """Parts of n images that the line goes through, from 1 down, equally far apart in 1/N.

    None of them has fewer images than features: below that the bias is no line in 1/N.

    Raises
    ------
    ValueError
        If there are too few images.
    """
    least = max(_LEAST, features / n, 2 / n) if n else 1.0
    if least > _MOST:
        needed = int(np.ceil(max(features, 2) / _MOST))
        raise ValueError(
            f"{n} images are too few to extrapolate a Fréchet distance of {features} features: "
            f"it takes {needed}"
        )
    return np.asarray(1 / np.linspace(1, 1 / least, SIZES))


def frechet_infinity(
    pool: Tensor, one: NDArray[np.int64], two: NDArray[np.int64], seed: int = 0
) -> float:
    r"""Frechet distance of rows at two sets of positions in a pool (P, F), with 1/N towards 0.

    The bias of the distance is a line in 1/N, so the distances of random subsets of both sets
    are fitted by :math:`d^2(N) = d^2_\infty + a / N` (Chong & Forsyth 2020, arXiv:1911.07023,
    section 3, who vary only the generated set). It scatters around 0 for two samples of one
    distribution, so that it may be negative.

    Raises
    ------
    ValueError
        For fewer than 1.5 times as many rows as features in a set.
    """
    random = np.random.default_rng([seed, len(one), len(two)])
    sets = [random.permutation(rows) for rows in (one, two)]
    distances, inverse = [], []
    for part in parts(min(len(one), len(two)), pool.shape[1]):
        # As many subsets as it takes to use every row; they overlap as little as can be.
        for number in range(int(np.ceil(1 / part - 1e-9))):
            subsets = (_subset(rows, part, number) for rows in sets)
            distances.append(frechet_distance(*(gaussian_of(pool, rows) for rows in subsets)))
            inverse.append(1 / part)
    return float(np.polynomial.polynomial.polyfit(inverse, distances, 1)[0])


def _subset(rows: NDArray[np.int64], part: float, number: int) -> NDArray[np.int64]:
    """The number-th part of rows that are in random order; after the last come the first."""
    size = int(np.ceil(part * len(rows) - 1e-9))
    return np.asarray(rows[np.arange(number * size, (number + 1) * size) % len(rows)])


def _pooled(real: NDArray[Any], fake: NDArray[Any], *, scaled: bool) -> BetweenRows:
    pool = pool_of(real, fake, scaled)
    return lambda one, two: {"frechet_infinity": frechet_infinity(pool, one, two)}


def extrapolation_family(scaled: bool = True) -> Family:
    """The score ``frechet_infinity`` of feature rows; `scaled` as in `frechet_family`."""
    pooled = partial(_pooled, scaled=scaled)
    return pooled_family({"frechet_infinity": Scale()}, pooled, BOOTSTRAPS)


EXTRAPOLATION = extrapolation_family()


class FrechetInfinity(SetMetric):
    """The extrapolated Frechet distance over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features.
    scaled, reset_real_features
        As `galgen.metrics.frechet.FrechetDistance`.
    """

    def __init__(self, extractor: FeatureExtractor, *, scaled: bool = True, **kwargs: Any) -> None:
        super().__init__(extrapolation_family(scaled), extractor, extractor.n_features, **kwargs)
