"""Value, floor, interval and z of each metric: a number and what it means.

A distance between sets is not 0 for a perfect generator, because any two finite samples
differ. Its floor is what two samples of the real set score, at the same number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

SPLITS = 20
BOOTSTRAPS = 200
#: Distances below this are rounding errors of equal images.
_ZERO_DISTANCE = 1e-12

#: Distance of the second set of rows from the first, the reference.
SetDistance = Callable[[NDArray[Any], NDArray[Any]], float]


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
    real, fake
        (N, ...) and (M, ...), one row an image.
    splits
        Random splits of the real set into two parts of n = min(M, N // 2) rows, 20 or more.
    bootstraps
        Resamplings for the 95 % interval.
    higher_is_better
        Turns the sign of z, so that positive is always worse.
    lowest, highest
        Bounds of the metric, to which the interval is clipped.
    seed
        Of splits and resamplings.

    Returns
    -------
    Score
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
        return null(
            f"{len(fake)} generated and {len(real)} real images are too few: it takes 2 and 4"
        )
    rng = np.random.default_rng(seed)
    values, floors = [], []
    try:
        for _ in range(splits):
            order = rng.permutation(len(real))
            reference, other = real[order[:n]], real[order[n : 2 * n]]
            floors.append(distance(reference, other))
            values.append(distance(reference, fake[rng.permutation(len(fake))[:n]]))
        resampled = [
            distance(real[rng.integers(len(real), size=n)], fake[rng.integers(len(fake), size=n)])
            for _ in range(bootstraps)
        ]
    except ValueError as error:
        return null(f"{error}")
    value, floor, spread = (float(v) for v in (np.mean(values), np.mean(floors), _std(floors)))
    low, high = np.quantile(resampled, (0.025, 0.975)) - np.mean(resampled) + value
    interval = np.clip([low, high], -np.inf if lowest is None else lowest, highest)
    sign = -1.0 if higher_is_better else 1.0
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
