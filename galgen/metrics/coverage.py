"""Precision, recall, density and coverage: fidelity and variety of a set, apart.

Each galaxy owns the ball that reaches to its k-th nearest neighbour in its own set. What lies in
balls of the other set tells whether generated galaxies are real ones (precision, density) and
whether all kinds of real ones are made (recall, coverage), which one distance mixes up.
"""

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

NAMES = ("precision", "recall", "density", "coverage")
#: Neighbours, as Naeem et al. 2020 advise.
NEIGHBOURS = 5
BOOTSTRAPS = 100
#: Neighbours of each row that are known before a part of the rows is drawn; where fewer than k
#: of these are in the part, its distances are searched.
LISTED = 48
#: Two squared distances that differ by less, relative and in the mean square of the rows, are
#: equal: what lies on the edge of a ball is in it, whatever rounding says.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of rows (N, F) and (M, F), (N, M)."""
    squares = torch.addmm(y.square().sum(1)[None], x, y.T, alpha=-2)
    return squares.add_(x.square().sum(1)[:, None]).clamp_min_(0)


class _Side:
    """One set's nearest neighbours in itself, from which those in a part of it are found.

    Parameters
    ----------
    squares
        Squared distances of a pool.
    rows
        Positions of the set in it, in a row.
    """

    def __init__(self, squares: PairsOf, rows: Tensor) -> None:
        self.squares, self.start = squares, int(rows[0]) if len(rows) else 0
        self.rows, listed = len(rows), min(LISTED, len(rows))
        found = [
            squares(block, rows).topk(listed, dim=1, largest=False)
            for block in blocks(rows, len(rows))
        ]
        self.nearest = torch.cat([f.indices for f in found]) if found else rows[:, None]
        self.distance = torch.cat([f.values for f in found]) if found else rows[:, None]

    def radii(self, part: Tensor, k: int) -> Tensor:
        """Squared distance (n,) of each position in `part` to its k-th nearest other there."""
        if len(part) <= k:
            raise ValueError(f"{len(part)} images are too few for {k} nearest neighbours of each")
        own = part - self.start
        times = torch.bincount(own, minlength=self.rows)
        # The nearest of all is the row itself.
        reached = times[self.nearest[own]].cumsum(1) > k
        place = reached.to(torch.uint8).argmax(1, keepdim=True)
        found = self.distance[own].gather(1, place)[:, 0]
        beyond = torch.nonzero(~reached[:, -1]).flatten()
        for rows in blocks(beyond, len(part)):
            nearest = self.squares(part[rows], part).topk(k + 1, dim=1, largest=False).values
            found[rows] = nearest[:, -1].to(found.dtype)
        return found


def _pooled(real: NDArray[Any], fake: NDArray[Any], *, scaled: bool, k: int) -> BetweenRows:
    # Centred in any case, because squares far from the origin cost digits.
    pool = pool_of(real, fake, scaled)
    pool = pool - pool.mean(0)
    slack = _ABSOLUTE * float(pool.square().sum(1).mean()) if len(pool) else 0.0
    squares = pairs_of(pool, squared_distances, torch.float32)
    n = len(real)
    sides = [_Side(squares, torch.from_numpy(rows)) for rows in positions(n, len(fake))]

    def limits(part: Tensor) -> Tensor:
        # All of one side: a generated set may be a second part of the real one.
        side = sides[int(bool(len(part)) and int(part[0]) >= n)]
        return side.radii(part, k) * (1 + _RELATIVE) + slack

    def between(one: NDArray[np.int64], two: NDArray[np.int64]) -> dict[str, float]:
        a, b = torch.from_numpy(one), torch.from_numpy(two)
        around_a, around_b = limits(a), limits(b)
        holding = torch.zeros(len(b), dtype=torch.int64)
        covered = recalled = 0
        for rows in blocks(torch.arange(len(a)), len(b)):
            apart = squares(a[rows], b)
            inside = apart <= around_a[rows, None]
            holding += inside.sum(0)
            covered += int(inside.any(1).sum())
            recalled += int((apart <= around_b).any(1).sum())
        values = (
            float((holding > 0).double().mean()),
            recalled / len(a),
            float(holding.double().mean()) / k,
            covered / len(a),
        )
        return dict(zip(NAMES, values, strict=True))

    return between


def coverage_family(scaled: bool = True, k: int = NEIGHBOURS) -> Family:
    r"""Precision, recall, density and coverage of feature rows.

    With :math:`B(x)` the ball around x up to its k-th nearest neighbour in its own set, real
    :math:`r_i` and generated :math:`g_j`,

    .. math::
        \text{precision} &= \tfrac1M \textstyle\sum_j [g_j \in \bigcup_i B(r_i)] \\
        \text{recall}    &= \tfrac1N \textstyle\sum_i [r_i \in \bigcup_j B(g_j)] \\
        \text{density}   &= \tfrac1{kM} \textstyle\sum_j \sum_i [g_j \in B(r_i)] \\
        \text{coverage}  &= \tfrac1N \textstyle\sum_i [\exists j: g_j \in B(r_i)]

    (Kynkäänniemi et al. 2019, arXiv:1904.06991, section 2; Naeem et al. 2020,
    arXiv:2002.09797, section 3). All are in [0, 1] except density, which is about 1 for a second
    real sample and larger for one that stays where real galaxies are densest. Precision and
    recall trust outliers, whose balls are large; density and coverage do so less.

    Parameters
    ----------
    scaled
        Each feature in units of the real set's spread; without, as they are.
    k
        Neighbours.
    """
    share, density = Scale(True, 0.0, 1.0), Scale(True, 0.0)
    scales = {name: density if name == "density" else share for name in NAMES}
    return pooled_family(scales, partial(_pooled, scaled=scaled, k=k), BOOTSTRAPS)


COVERAGE = coverage_family()


def coverage_between(
    real: NDArray[Any] | Tensor,
    fake: NDArray[Any] | Tensor,
    k: int = NEIGHBOURS,
    scaled: bool = True,
) -> dict[str, float]:
    """The four numbers of features (N, F) and (M, F), by `NAMES`; see `coverage_family`.

    Raises
    ------
    ValueError
        If a set has no k + 1 rows.
    """
    one, two = (np.asarray(torch.as_tensor(x).detach().cpu()) for x in (real, fake))
    between = _pooled(one, two, scaled=scaled, k=k)
    return dict(between(*positions(len(one), len(two))))


class Coverage(SetMetric):
    """The four numbers over batches and ranks.

    Parameters
    ----------
    extractor
        Turns images (N, C, H, W) into features.
    k, scaled
        See `coverage_family`.
    **kwargs
        Of `SetMetric`.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        *,
        k: int = NEIGHBOURS,
        scaled: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(coverage_family(scaled, k), extractor, extractor.n_features, **kwargs)
