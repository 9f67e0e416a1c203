"""Value, floor, interval and z of each metric: a number and what it means.

A distance between sets is not 0 for a perfect generator, because any two finite samples
differ. Its floor is what two samples of the real set score, at the same number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

SPLITS = 20
BOOTSTRAPS = 200
#: Distances below this are rounding errors of equal images.
_ZERO_DISTANCE = 1e-12

#: Distance of the second set of rows from the first, the reference.
SetDistance = Callable[[NDArray[Any], NDArray[Any]], float]
#: The same for several at once, name to value.
SetDistances = Callable[[NDArray[Any], NDArray[Any]], Mapping[str, float]]


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


def score(
    distance: SetDistance,
    real: NDArray[Any],
    fake: NDArray[Any],
    *,
    splits: int = SPLITS,
    bootstraps: int = BOOTSTRAPS,
    higher_is_better: bool = False,
    lowest: float | None = None,
    highest: float | None = None,
    seed: int = 0,
) -> Score:
    """Score a generated set against a real one, with the floor at equal numbers.

    Parameters
    ----------
    distance
        ``distance(reference, other)`` of two blocks of rows.
    higher_is_better, lowest, highest
        See `Scale`.

    Others, the result and errors as `scores`.
    """

    def named(reference: NDArray[Any], other: NDArray[Any]) -> dict[str, float]:
        return {"": distance(reference, other)}

    scale = Scale(higher_is_better, lowest, highest)
    found = scores(named, real, fake, {"": scale}, splits=splits, bootstraps=bootstraps, seed=seed)
    return found[""]


def scores(
    distances: SetDistances,
    real: NDArray[Any],
    fake: NDArray[Any],
    scales: Mapping[str, Scale],
    *,
    splits: int = SPLITS,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
) -> dict[str, Score]:
    """Several scores that are computed together, as precision and recall are.

    Parameters
    ----------
    distances
        ``distances(reference, other)`` of two blocks of rows, name to value. A ValueError says
        why they do not apply.
    real, fake
        (N, ...) and (M, ...), one row an image.
    scales
        Name to how its values are read.
    splits
        Random splits of the real set into two parts of n = min(M, N // 2) rows, 20 or more.
    bootstraps
        Resamplings for the 95 % interval.
    seed
        Of splits and resamplings.

    Returns
    -------
    dict of Score
        ``value``: mean over the splits of the distance of n generated rows from the first
        part; ``floor``: mean of the second part's; ``z``: their difference in standard
        deviations of the second part's (None where these do not vary). The interval's
        width is that of resampling both sets with replacement; its middle is moved onto the
        value, because repeated rows bias distances between sets upwards.

    Raises
    ------
    ValueError
        For fewer than 20 splits.
    """
    if splits < SPLITS:
        raise ValueError(f"{splits} splits are too few: a floor is the mean of at least {SPLITS}")
    n = min(len(fake), len(real) // 2)
    if n < 2:
        reason = f"{len(fake)} generated and {len(real)} real images are too few: it takes 2 and 4"
        return {name: null(reason) for name in scales}
    rng = np.random.default_rng(seed)
    values, floors = [], []
    try:
        for _ in range(splits):
            order = rng.permutation(len(real))
            reference, other = real[order[:n]], real[order[n : 2 * n]]
            floors.append(distances(reference, other))
            values.append(distances(reference, fake[rng.permutation(len(fake))[:n]]))
        resampled = [
            distances(real[rng.integers(len(real), size=n)], fake[rng.integers(len(fake), size=n)])
            for _ in range(bootstraps)
        ]
    except ValueError as error:
        return {name: null(f"{error}") for name in scales}
    found = {}
    for name, scale in scales.items():
        one, two, three = ([row[name] for row in rows] for rows in (values, floors, resampled))
        found[name] = _summary(one, two, three, scale, n)
    return found


def _summary(
    values: list[float], floors: list[float], resampled: list[float], scale: Scale, n: int
) -> Score:
    value, floor, spread = (float(v) for v in (np.mean(values), np.mean(floors), _std(floors)))
    low, high = np.quantile(resampled, (0.025, 0.975)) - np.mean(resampled) + value
    lowest = -np.inf if scale.lowest is None else scale.lowest
    interval = np.clip([low, high], lowest, scale.highest)
    sign = -1.0 if scale.higher_is_better else 1.0
    return {
        "value": value,
        "floor": floor,
        "interval": [float(interval[0]), float(interval[1])],
        "z": sign * (value - floor) / spread if spread > 0 else None,
        "n": n,
    }


def _std(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def frechet_score(real: NDArray[Any], fake: NDArray[Any], seed: int = 0) -> Score:
    """Frechet distance of features (N, F) and (M, F), in units of the real set's spread."""
    import torch

    from galgen.metrics.frechet import frechet_between

    def distance(reference: NDArray[Any], other: NDArray[Any]) -> float:
        return frechet_between(torch.from_numpy(reference), torch.from_numpy(other))

    return score(distance, real, fake, lowest=0.0, seed=seed)


def coverage_scores(real: NDArray[Any], fake: NDArray[Any], seed: int = 0) -> dict[str, Score]:
    """Precision, recall, density and coverage of features (N, F) and (M, F); higher is better."""
    import torch

    from galgen.metrics.coverage import coverage_between

    def distances(reference: NDArray[Any], other: NDArray[Any]) -> dict[str, float]:
        return coverage_between(torch.from_numpy(reference), torch.from_numpy(other))

    fraction = Scale(higher_is_better=True, lowest=0.0, highest=1.0)
    scales = dict.fromkeys(("precision", "recall", "density", "coverage"), fraction)
    scales["density"] = Scale(higher_is_better=True, lowest=0.0)
    return scores(distances, real, fake, scales, seed=seed)


def colour_magnitude_score(real: NDArray[Any], fake: NDArray[Any], seed: int = 0) -> Score:
    """Fraction of points (M, 2) inside the box of real points (N, 2); higher is better.

    The floor is the fraction of real galaxies in a box that others defined.
    """
    from galgen.metrics.colour_magnitude import fraction_inside

    return score(
        fraction_inside, real, fake, higher_is_better=True, lowest=0.0, highest=1.0, seed=seed
    )


def nearest_score(heldout: NDArray[Any], fake: NDArray[Any], seed: int = 0) -> Score:
    """Median distance to the nearest training image, over that of held-out galaxies.

    `heldout` (N,) and `fake` (M,) are distances to the same training images. Below the
    floor, which is about 1, generated images lie nearer than they should. A ratio, because
    the spread of one median over splits leaves out that of the other, and z would be twice
    too large.
    """

    def ratio(reference: NDArray[Any], other: NDArray[Any]) -> float:
        one, two = (max(float(np.median(d)), _ZERO_DISTANCE) for d in (reference, other))
        return two / one

    return score(ratio, heldout, fake, higher_is_better=True, lowest=0.0, seed=seed)
