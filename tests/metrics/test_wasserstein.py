"""Distances on a line against scipy, on a circle against every way to cut it open."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from galgen.metrics.wasserstein import Columns, wasserstein


@pytest.mark.parametrize(("n", "m"), [(2, 2), (50, 50), (40, 77)])
def test_is_that_of_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    one, two = rng.normal(size=n), rng.exponential(size=m).round(1)
    assert wasserstein(one, two) == pytest.approx(wasserstein_distance(one, two), rel=1e-12)


def test_equal_numbers_are_sorted_pairs() -> None:
    one, two = np.random.default_rng(0).normal(size=(2, 300))
    assert wasserstein(one, two) == pytest.approx(np.abs(np.sort(one) - np.sort(two)).mean())


def test_what_is_not_measured_is_left_out() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=30), rng.normal(size=20)
    want = wasserstein_distance(one, two)
    one = np.concatenate([one, [np.nan, np.inf, -np.inf]])
    two = np.concatenate([[np.nan] * 40, two])
    assert wasserstein(one, two) == pytest.approx(want, rel=1e-12)
    with pytest.raises(ValueError, match="only 1 of 3 are measured"):
        wasserstein([np.nan, 1.0, np.nan], two)


def test_positions_may_repeat_and_columns_do_not_mix() -> None:
    rng = np.random.default_rng(2)
    pool = rng.normal(size=(60, 3))
    pool[::5, 1] = np.nan
    one, two = rng.integers(60, size=40), rng.integers(60, size=25)
    found = Columns(pool).between(one, two)
    for k in range(3):
        a, b = (x[np.isfinite(x)] for x in (pool[one, k], pool[two, k]))
        assert found[k] == pytest.approx(wasserstein_distance(a, b), rel=1e-12)
    pool[:, 2] = np.nan
    found = Columns(pool).between(one, two)
    assert np.isnan(found[2])
    assert np.isfinite(found[:2]).all()


@pytest.mark.parametrize("seed", range(4))
def test_on_a_circle_it_is_the_least_over_all_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 23
    one, two = rng.normal(0, 0.4, n), rng.normal(1.3, 0.8, n)
    one, two = np.sort(one % np.pi), np.sort(two % np.pi)
    # Equal numbers: pair the sorted angles with those k places on, whichever way is shorter.
    costs = []
    for k in range(n):
        gap = np.abs(one - np.roll(two, k))
        costs.append(np.minimum(gap, np.pi - gap).mean())
    assert wasserstein(one, two, period=np.pi) == pytest.approx(min(costs), rel=1e-9)


def test_a_circle_has_no_end() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.normal(0, 0.3, 500), rng.normal(0.2, 0.3, 500)
    here = wasserstein(one, two, period=np.pi)
    for turn in (0.7, 1.6, 3.0, -20.0):
        assert wasserstein(one + turn, two + turn, period=np.pi) == pytest.approx(here, rel=1e-9)
    # Across the end: 1 degree apart, not 179.
    one, two = np.full(3, np.radians(89.5)), np.full(3, np.radians(-89.5))
    assert wasserstein(one, two, period=np.pi) == pytest.approx(np.radians(1))
