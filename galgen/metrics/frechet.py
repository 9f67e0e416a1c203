"""Frechet distance between two sets of feature vectors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from galgen.metrics.features import FeatureExtractor
from galgen.metrics.pairs import pool_of
from galgen.metrics.scorecard import BetweenRows, Family, Scale, pooled_family
from galgen.metrics.setmetric import SetMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Gaussian(NamedTuple):
    """Mean (F,), and a factor A (R, F) of the covariance A^T A."""

    mean: Tensor
    factor: Tensor


def gaussian(rows: Tensor, times: Tensor | None = None) -> Gaussian:
    """Mean and unbiased covariance of rows (N, F), which count so many times each.

    Raises
    ------
    ValueError
        For fewer than two rows.
    """
    weights = torch.ones(len(rows), dtype=rows.dtype) if times is None else times.to(rows.dtype)
    n = int(weights.sum())
    if n < 2:
        raise ValueError(f"a Frechet distance needs two images of each set, got {n}")
    mean = weights @ rows / n
    factor = (rows - mean) * (weights[:, None] / (n - 1)).sqrt()
    # Of A = Q R, R has the same A^T A in at most F rows.
    if len(factor) > factor.shape[1]:
        factor = torch.linalg.qr(factor, mode="r").R
    return Gaussian(mean, factor)


def frechet_distance(one: Gaussian, two: Gaussian) -> float:
    r"""Squared Frechet distance between two Gaussians.

    .. math::
        d^2 = |\mu_1 - \mu_2|^2 + \operatorname{Tr}(S_1 + S_2 - 2 (S_1 S_2)^{1/2})

    (Dowson & Landau 1982; Heusel et al. 2017, eq. 6). With :math:`S = A^T A` the trace of the
    root is the sum of the singular values of :math:`A_1 A_2^T`: there is no matrix root, and
    singular covariances (fewer images than features) are fine. The distance is biased upwards
    at small N in any case and means nothing without its floor.
    """
    cross = torch.linalg.svdvals(one.factor @ two.factor.T).sum()
    traces = one.factor.square().sum() + two.factor.square().sum()
    return max(0.0, float((one.mean - two.mean).square().sum() + traces - 2 * cross))


def gaussian_of(pool: Tensor, positions: NDArray[np.int64]) -> Gaussian:
    """That of the rows at positions in a pool, which may repeat."""
    chosen, times = np.unique(positions, return_counts=True)
    return gaussian(pool[torch.from_numpy(chosen)], torch.from_numpy(times))


def _pooled(real: NDArray[Any], fake: NDArray[Any], *, scaled: bool) -> BetweenRows:
    pool = pool_of(real, fake, scaled)

    def between(one: NDArray[np.int64], two: NDArray[np.int64]) -> dict[str, float]:
        return {"frechet": frechet_distance(gaussian_of(pool, one), gaussian_of(pool, two))}

    return between


def frechet_family(scaled: bool = True) -> Family:
    """The score ``frechet`` of feature rows.

    With `scaled`, each feature is in units of the real set's spread, so that a distance of 1 is
    one standard deviation in one feature, whatever the features are measured in. Without, they
    are taken as they are, as in every published Frechet inception distance.
    """
    return pooled_family({"frechet": Scale(lowest=0.0)}, partial(_pooled, scaled=scaled))


FRECHET = frechet_family()


def frechet_between(
    real: NDArray[Any] | Tensor, fake: NDArray[Any] | Tensor, scaled: bool = True
) -> float:
    """The distance of features (N, F) and (M, F), see `frechet_family`."""
    pool = pool_of(real, fake, scaled)
    return frechet_distance(gaussian(pool[: len(real)]), gaussian(pool[len(real) :]))


class FrechetDistance(SetMetric):
    """Frechet distance of images or features, over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features.
    scaled
        Each feature in units of the real set's spread, see `frechet_family`.
    **kwargs
        Of `SetMetric`.
    """

    def __init__(self, extractor: FeatureExtractor, *, scaled: bool = True, **kwargs: Any) -> None:
        super().__init__(frechet_family(scaled), extractor, extractor.n_features, **kwargs)
