"""Value, floor, interval and z of each metric: a number and what it means.

A distance between sets is not 0 for a perfect generator, because any two finite samples
differ. Its floor is what two samples of the real set score, at the same number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

#: With fewer splits the spread of the floor, and so z, is itself too uncertain.
FEWEST_SPLITS = 20
SPLITS = 50
BOOTSTRAPS = 150
#: Of more rows than these, where every number is quiet and slow, no more splits and resamplings
#: than needed.
MANY, FEW_BOOTSTRAPS = 6000, 40

#: Distances of the second set of rows from the first, the reference: name to value.
Between = Callable[[NDArray[Any], NDArray[Any]], Mapping[str, float]]
#: The same of two sets of positions in a pool of rows.
BetweenRows = Callable[[NDArray[np.int64], NDArray[np.int64]], Mapping[str, float]]
#: Real and generated rows to distances of positions among both, the real ones first.
Pooled = Callable[[NDArray[Any], NDArray[Any]], BetweenRows]


class _Optional(TypedDict, total=False):
    reason: str


class Score(_Optional):
    """One entry of a score card; `reason` stands where the metric does not apply."""

    value: float | None
    floor: float | None
    interval: list[float] | None
    z: float | None
    n: int


def null(reason: str) -> Score:
    """A metric that does not apply, and why."""
    return {"value": None, "floor": None, "interval": None, "z": None, "n": 0, "reason": reason}


@dataclass(frozen=True)
class Scale:
    """How the values of a metric are read.

    Attributes
    ----------
    higher_is_better
        Turns the sign of z, so that positive is always worse.
    lowest, highest
        Bounds of the metric, to which the interval is clipped.
    """

    higher_is_better: bool = False
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class Family:
    """Scores that are computed together from one row of numbers an image.

    Attributes
    ----------
    scales
        Name to how its values are read.
    between
        ``between(reference, other)`` of two blocks of rows, name to value. A ValueError says why
        the scores do not apply, without a full stop.
    pooled
        The same for positions in a pool, the real rows before the generated ones, for what is
        computed once for all of them (units, kernels): ``pooled(real, fake)(reference, other)``.
        Of all positions it must give what `between` gives of the sets.
    bootstraps
        Resamplings for the 95 % interval; fewer for what is slow.
    rare
        A few images decide, as those in the last bins of a histogram do. Parts of one real set
        share them out between themselves and differ too little, so the floor's spread is taken
        from parts that are drawn with replacement.
    """

    scales: Mapping[str, Scale]
    between: Between
    pooled: Pooled | None = None
    bootstraps: int = BOOTSTRAPS
    rare: bool = False

    def over(self, real: NDArray[Any], fake: NDArray[Any]) -> BetweenRows:
        """Distances of positions in the pool of both."""
        if self.pooled is not None:
            return self.pooled(real, fake)
        pool = np.concatenate([real, fake])
        return lambda reference, other: self.between(pool[reference], pool[other])


def single(
    name: str, distance: Callable[[NDArray[Any], NDArray[Any]], float], scale: Scale | None = None
) -> Family:
    """A family of one score."""
    return Family({name: scale or Scale()}, lambda one, two: {name: distance(one, two)})


def pooled_family(
    scales: Mapping[str, Scale], pooled: Pooled, bootstraps: int = BOOTSTRAPS
) -> Family:
    """A family whose `between` is that of all positions in the pool."""
    return Family(scales, partial(_between_all, pooled), pooled, bootstraps)


def _between_all(pooled: Pooled, real: NDArray[Any], fake: NDArray[Any]) -> Mapping[str, float]:
    n, m = len(real), len(fake)
    return pooled(real, fake)(np.arange(n), np.arange(n, n + m))


def scores(
    family: Family,
    real: NDArray[Any],
    fake: NDArray[Any],
    *,
    splits: int | None = None,
    bootstraps: int | None = None,
    seed: int = 0,
) -> dict[str, Score]:
    """Score a generated set against a real one, with the floor at equal numbers.

    Parameters
    ----------
    family
        What is computed.
    real, fake
        (N, ...) and (M, ...), one row an image.
    splits
        Random splits of the real set into two parts of n = min(M, N // 2) rows, 20 or more; by
        default 50, and 20 for more than 6,000 rows in all.
    bootstraps
        Resamplings for the 95 % interval, in place of the family's own, of which there are at
        most 40 for more than 6,000 rows.
    seed
        Of splits and resamplings.

    Returns
    -------
    dict of Score
        ``value``: mean over the splits of the distance of n generated rows from the first
        part; ``floor``: mean of the second part's; ``z``: their difference in standard
        deviations of the second part's (None where these do not vary; of a family of `rare`
        images see there). The interval's
        width is that of resampling both sets with replacement; its middle is moved onto the
        value, because repeated rows bias distances between sets upwards.

    Raises
    ------
    ValueError
        For fewer than 20 splits.
    """
    many = len(real) + len(fake) > MANY
    if splits is None:
        splits = FEWEST_SPLITS if many else SPLITS
    if bootstraps is None:
        bootstraps = min(family.bootstraps, FEW_BOOTSTRAPS) if many else family.bootstraps
    if splits < FEWEST_SPLITS:
        raise ValueError(
            f"{splits} splits are too few: a floor is the mean of at least {FEWEST_SPLITS}"
        )
    total, n = len(real), min(len(fake), len(real) // 2)
    if n < 2:
        reason = f"{len(fake)} generated and {total} real images are too few: it takes 2 and 4"
        return {name: null(reason) for name in family.scales}
    rng = np.random.default_rng(seed)
    values, floors, spreads, resampled = [], [], [], []
    try:
        between = family.over(real, fake)
        for _ in range(splits):
            order = rng.permutation(total)
            floors.append(between(order[:n], order[n : 2 * n]))
            values.append(between(order[:n], total + rng.permutation(len(fake))[:n]))
            if family.rare:
                spreads.append(between(*rng.integers(total, size=(2, n))))
        for _ in range(bootstraps):
            drawn = rng.integers(total, size=n), total + rng.integers(len(fake), size=n)
            resampled.append(between(*drawn))
    except ValueError as error:
        return {name: null(f"{error}") for name in family.scales}
    found = {}
    for name, scale in family.scales.items():
        of = [
            [row[name] for row in rows] for rows in (values, floors, spreads or floors, resampled)
        ]
        found[name] = _summary(of[0], of[1], of[2], of[3], scale, n)
    return found


def _summary(
    values: list[float],
    floors: list[float],
    spreads: list[float],
    resampled: list[float],
    scale: Scale,
    n: int,
) -> Score:
    every = np.array([*values, *floors, *spreads, *resampled])
    if not np.isfinite(every).all():
        return null("some of the numbers that it is made of are not finite")
    value, floor, spread = (float(v) for v in (np.mean(values), np.mean(floors), _std(spreads)))
    low, high = np.quantile(resampled, (0.025, 0.975)) - np.mean(resampled) + value
    lowest = -np.inf if scale.lowest is None else scale.lowest
    interval = np.clip([low, high], lowest, scale.highest)
    sign = -1.0 if scale.higher_is_better else 1.0
    # Sums in another order differ in their last digits, which is no spread.
    varies = spread > 1e-9 * max(1e-12, float(np.abs(floors).max()))
    return {
        "value": value,
        "floor": floor,
        "interval": [float(interval[0]), float(interval[1])],
        "z": sign * (value - floor) / spread if varies else None,
        "n": n,
    }


def _std(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))
