"""Repeats: generated galaxies that are nearly the same as another generated one.

Distances between sets hardly notice a generator that makes one galaxy in ten twice. Seen from
within the set it stands out: real galaxies have no twins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from galgen.metrics.features import FeatureExtractor
from galgen.metrics.pairs import pool_of
from galgen.metrics.scorecard import BetweenRows, Scale, pooled_family
from galgen.metrics.setmetric import SetMetric

#: Part of the real galaxies that are nearer to another one than what counts as a twin.
QUANTILE = 0.01
#: Of fewer galaxies there is no such quantile.
FEWEST = 20
#: Distances are relative to that of the so-manieth nearest: faint and plain galaxies are near to
#: many, a twin is nearer to one than to the next.
NEIGHBOUR = 10
_BLOCK = 1024


def twin_distances(rows: NDArray[Any], which: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Distance (N,) of each row (N, F) to the nearest other one, over that to the tenth nearest.

    Rows with the same number in `which` (N,) are one image drawn twice, and no twins.
    """
    x = torch.as_tensor(np.asarray(rows), dtype=torch.float32)
    x = x - x.mean(0)  # products of numbers far from the origin lose digits
    number = torch.arange(len(x)) if which is None else torch.as_tensor(which)
    nearest = []
    for start in range(0, len(x), _BLOCK):
        part = slice(start, start + _BLOCK)
        distance = torch.cdist(x[part], x)
        distance.masked_fill_(number[part, None] == number, torch.inf)
        found = distance.topk(min(NEIGHBOUR, len(x)), dim=1, largest=False)
        # The quick form leaves a remainder where 0 should be, so winners are taken again.
        exact = (x[part] - x[found.indices[:, 0]]).norm(dim=1)
        far = found.values.where(found.values.isfinite(), 0).amax(1)
        nearest.append(exact / far.clamp_min(1e-12))
    return np.asarray(torch.cat(nearest).double())


def repeats_between(
    real: NDArray[Any],
    other: NDArray[Any],
    real_which: NDArray[np.int64] | None = None,
    other_which: NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """``repeats``: fraction of `other` (M, F) with a twin among themselves.

    A twin is nearer than the 1 % quantile of the real galaxies' (N, F) own relative distances, so
    real galaxies score about 0.01. `real_which` and `other_which` as in `twin_distances`.

    Raises
    ------
    ValueError
        For fewer than 20 rows a side.
    """
    if min(len(real), len(other)) < FEWEST:
        raise ValueError(f"it takes {FEWEST} images a side to tell twins")
    limit = np.quantile(twin_distances(real, real_which), QUANTILE)
    # Also equal ones, where the real set has as many twins of its own and the limit is 0.
    near = twin_distances(other, other_which) <= max(float(limit), 1e-6)
    return {"repeats": float(near.mean())}


def _pooled(real: NDArray[Any], fake: NDArray[Any]) -> BetweenRows:
    pool = pool_of(real, fake).numpy()

    def between(one: NDArray[np.int64], two: NDArray[np.int64]) -> Mapping[str, float]:
        return repeats_between(pool[one], pool[two], one, two)

    return between


#: Lower is better; about 0.01 for real galaxies. Features in units of the real set's spread.
REPEATS = pooled_family({"repeats": Scale(lowest=0.0, highest=1.0)}, _pooled, 50)


class Repeats(SetMetric):
    """The fraction of generated galaxies with a twin, over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features.
    **kwargs
        Of `SetMetric`.
    """

    higher_is_better = False

    def __init__(self, extractor: FeatureExtractor, **kwargs: Any) -> None:
        super().__init__(REPEATS, extractor, extractor.n_features, **kwargs)
