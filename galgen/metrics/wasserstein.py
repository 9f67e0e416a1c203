r"""One-dimensional Wasserstein distances of many columns at once.

.. math:: W_1(u, v) = \int |F_u(x) - F_v(x)| \, dx

with the cumulative distributions F: how far, on average, values must be moved to turn one sample
into the other (Vaserstein 1969; Ramdas et al. 2017, eq. 6). On a circle of circumference P the
integral is the least over a constant that is subtracted from the difference of the two F, which is
its median (Rabin et al. 2011).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Columns:
    """Columns of a pool of rows, sorted once, then compared between any positions in it.

    Parameters
    ----------
    pool
        (P, F). Not-a-number is left out.
    periods
        (F,) circumference of the columns that lie on a circle, 0 for those on a line.
    """

    def __init__(self, pool: NDArray[Any], periods: ArrayLike | None = None) -> None:
        rows, features = pool.shape
        self.measured = np.isfinite(pool)
        self.periods = np.zeros(features) if periods is None else np.asarray(periods, dtype=float)
        round_ = self.periods > 0
        pool = np.where(self.measured, pool, np.inf)
        with np.errstate(invalid="ignore"):
            pool = np.where(round_, np.mod(pool, np.where(round_, self.periods, 1.0)), pool)
        pool = np.where(self.measured, pool, np.inf)
        self._order = np.argsort(pool, axis=0, kind="stable")
        values = np.take_along_axis(pool, self._order, axis=0)
        # Values that are not measured stand at the end, at no distance.
        last = np.where(self.measured, pool, -np.inf).max(axis=0, initial=-np.inf)
        values = np.minimum(values, np.where(np.isfinite(last), last, 0.0))
        self._gaps = np.zeros((rows, features))
        self._gaps[:-1] = np.diff(values, axis=0)
        if rows:
            # From the last value on to the first one, past the end of the circle.
            self._gaps[-1] = np.where(round_, self.periods - (values[-1] - values[0]), 0.0)

    def between(self, one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distance (F,) of two sets of positions; a position may come more than once.

        NaN where fewer than two values of a set are measured.
        """
        difference = np.zeros(self.measured.shape)
        enough = np.ones(self.measured.shape[1], dtype=bool)
        for positions, sign in ((one, 1.0), (two, -1.0)):
            counts = np.bincount(positions, minlength=len(self.measured))[:, None] * self.measured
            total = counts.sum(axis=0)
            enough &= total >= 2
            difference += sign * counts / np.maximum(total, 1)
        excess = np.cumsum(np.take_along_axis(difference, self._order, axis=0), axis=0)
        for column in np.flatnonzero(self.periods):
            excess[:, column] -= _median(excess[:, column], self._gaps[:, column])
        distance = np.einsum("pf,pf->f", np.abs(excess), self._gaps)
        return np.where(enough, distance, np.nan)


def wasserstein(one: ArrayLike, two: ArrayLike, period: float = 0.0) -> float:
    """Distance of two samples (N,) and (M,), in their own unit.

    Parameters
    ----------
    one, two
        Not-a-number is left out.
    period
        Circumference of the circle that they lie on, pi for the orientation of an ellipse.

    Raises
    ------
    ValueError
        If fewer than two values of a sample are measured.

    Examples
    --------
    >>> wasserstein([0.0, 1.0], [3.0, 1.0])
    1.5
    >>> round(wasserstein([0.1, 0.1], [3.1, 3.1], period=3.2), 6)
    0.2
    """
    samples = [np.asarray(x, dtype=np.float64).ravel() for x in (one, two)]
    for sample in samples:
        if np.isfinite(sample).sum() < 2:
            raise ValueError(f"only {np.isfinite(sample).sum()} of {len(sample)} are measured")
    n, m = (len(x) for x in samples)
    columns = Columns(np.concatenate(samples)[:, None], [period])
    return float(columns.between(np.arange(n), np.arange(n, n + m))[0])


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The value below which lies half the weight."""
    order = np.argsort(values, kind="stable")
    growth = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(growth, growth[-1] / 2)])
