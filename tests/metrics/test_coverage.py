"""Precision, recall, density and coverage against scikit-learn, plain loops and known sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import galgen.metrics.coverage
import galgen.metrics.pairs
from clouds import Columns, cloud
from galgen.bands import ImageSpec
from galgen.metrics.coverage import (
    COVERAGE,
    NAMES,
    Coverage,
    coverage_between,
    coverage_family,
)
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.scorecard import scores

Rows = NDArray[np.float64]


def plain(real: Rows, fake: Rows, k: int) -> dict[str, float]:
    """The papers' sums, one pair of galaxies at a time."""
    spread = real.std(axis=0, ddof=1)
    r, g = ((x / spread).tolist() for x in (real, fake))

    def apart(a: list[float], b: list[float]) -> float:
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5

    def reach(rows: list[list[float]]) -> list[float]:
        return [
            sorted(apart(a, b) for j, b in enumerate(rows) if j != i)[k - 1]
            for i, a in enumerate(rows)
        ]

    real_reach, fake_reach = reach(r), reach(g)
    precise = recalled = dense = covered = 0
    for b in g:
        balls = sum(apart(a, b) <= limit for a, limit in zip(r, real_reach, strict=True))
        precise, dense = precise + (balls > 0), dense + balls
    for a, limit in zip(r, real_reach, strict=True):
        recalled += any(apart(a, b) <= far for b, far in zip(g, fake_reach, strict=True))
        covered += any(apart(a, b) <= limit for b in g)
    return {
        "precision": precise / len(g),
        "recall": recalled / len(r),
        "density": dense / (k * len(g)),
        "coverage": covered / len(r),
    }


def by_sklearn(real: Rows, fake: Rows, k: int, scaled: bool) -> dict[str, float]:
    """The same from scikit-learn's neighbours."""
    neighbours = pytest.importorskip("sklearn.neighbors").NearestNeighbors
    if scaled:
        spread = np.maximum(real.std(axis=0, ddof=1), 0.1)
        real, fake = real / spread, fake / spread

    def balls(own: Rows, other: Rows) -> NDArray[np.bool_]:
        """(own, other): whether the ball of one holds the other."""
        limit = neighbours(n_neighbors=k).fit(own).kneighbors()[0][:, -1]
        distance, place = neighbours(n_neighbors=len(other)).fit(other).kneighbors(own)
        inside = np.zeros((len(own), len(other)), dtype=bool)
        np.put_along_axis(inside, place, distance <= limit[:, None], axis=1)
        return inside

    of_real, of_fake = balls(real, fake), balls(fake, real)
    return {
        "precision": of_real.any(0).mean(),
        "recall": of_fake.any(0).mean(),
        "density": of_real.sum() / (k * len(fake)),
        "coverage": of_real.any(1).mean(),
    }


@pytest.mark.parametrize(("n", "m", "k"), [(40, 30, 5), (30, 50, 3), (7, 6, 5)])
def test_equals_the_plain_sums(n: int, m: int, k: int) -> None:
    units = np.array([1.0, 50.0, 0.7, 9.0])
    real, fake = cloud(n, 1) * units + 300, cloud(m, 2, width=0.8, shift=0.5) * units + 300
    found = coverage_between(real, fake, k)
    assert found == pytest.approx(plain(real, fake, k), abs=1e-6)
    assert 0 < found["coverage"] < 1 or n == 7


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(("n", "m", "features"), [(300, 200, 64), (150, 250, 3)])
def test_equals_scikit_learn(n: int, m: int, features: int, scaled: bool) -> None:
    real = cloud(n, 3, features) * np.linspace(0.5, 4, features) + 20
    fake = cloud(m, 4, features, width=0.9, shift=0.1) * np.linspace(0.5, 4, features) + 20
    found = coverage_between(real, fake, scaled=scaled)
    assert found == pytest.approx(by_sklearn(real, fake, 5, scaled), abs=1e-6)
    assert all(value > 0 for value in found.values())


def test_many_rows_are_not_kept_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = cloud(80, 0, 8), cloud(50, 1, 8, width=0.8)
    whole = scores(COVERAGE, real, fake)
    monkeypatch.setattr(galgen.metrics.pairs, "KEPT", 10)
    monkeypatch.setattr(galgen.metrics.pairs, "_PAIRS", 100)
    assert scores(COVERAGE, real, fake) == whole


@pytest.mark.parametrize("listed", [1, 6, 20])
def test_neighbours_beyond_the_list_are_searched(
    monkeypatch: pytest.MonkeyPatch, listed: int
) -> None:
    real, fake = cloud(300, 0, 8), cloud(40, 1, 8, width=0.8)
    whole = scores(COVERAGE, real, fake)
    monkeypatch.setattr(galgen.metrics.coverage, "LISTED", listed)
    assert scores(COVERAGE, real, fake) == whole
    # A part of the real rows, with repeats, as the second set.
    one, two = np.random.default_rng(0).integers(300, size=(2, 60))
    plain = coverage_family(scaled=False)
    wanted = coverage_between(real[one], real[two], scaled=False)
    assert plain.over(real, fake)(one, two) == pytest.approx(wanted, abs=1e-9)


def test_equal_sets_have_everything() -> None:
    # Far from the origin, where distances of equal rows come out as rounding errors.
    for real in (cloud(60, 0), cloud(60, 0, 64, shift=1e4)):
        found = coverage_between(real, real)
        assert found["precision"] == found["recall"] == found["coverage"] == 1
        # Each galaxy lies in its own ball and in those that hold it among their five.
        assert found["density"] == pytest.approx(1 + 1 / 5)


def test_a_far_set_has_nothing() -> None:
    assert set(coverage_between(cloud(60, 0), cloud(60, 1, shift=100)).values()) == {0.0}


def test_a_collapsed_generator_is_precise_and_covers_little() -> None:
    real = cloud(300, 0)
    found = coverage_between(real, real.mean(0) + cloud(300, 1, width=0.2))
    assert found["precision"] == 1
    assert found["recall"] < 0.1
    assert found["coverage"] < 0.3
    assert found["density"] > 1.2


def test_half_the_kinds_are_covered_by_half() -> None:
    kinds = np.concatenate([cloud(200, 0), cloud(200, 1, shift=40)])
    one = cloud(200, 2)
    found = coverage_between(kinds, one)
    assert found["precision"] > 0.9
    assert found["recall"] == pytest.approx(0.5, abs=0.05)
    assert found["coverage"] == pytest.approx(0.5, abs=0.05)
    other = coverage_between(one, kinds)
    assert other["precision"] == pytest.approx(0.5, abs=0.05)
    assert other["recall"] > 0.9


def test_batches_add_up_and_real_ones_can_be_kept(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(40, seed=1), galaxies(30, seed=2, flux=2000.0)
    features = PhysicsFeatures.fit(real, ImageSpec(32, ("g", "r", "i")))
    metric = Coverage(features, reset_real_features=False)
    for part in real.split(7):
        metric.update(part, real=True)
    for part in fake.split(11):
        metric.update(part, real=False)
    expected = coverage_between(features(real), features(fake))
    assert {k: float(v) for k, v in metric.compute().items()} == pytest.approx(expected)
    assert not metric.state_dict()
    metric.reset()
    metric.update(features(real), real=False)
    assert float(metric.compute()["coverage"]) == 1


def test_neighbours_are_the_metrics_own() -> None:
    real, fake = cloud(40, 0), cloud(30, 1)
    metric = Coverage(Columns(), k=3, scaled=False)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found == pytest.approx(coverage_between(real, fake, 3, scaled=False))


def test_scores_of_equal_and_narrow_sets() -> None:
    real, equal = cloud(200, 0), cloud(100, 1)
    found = scores(COVERAGE, real, equal)
    assert tuple(found) == NAMES
    for name, score in found.items():
        assert score["n"] == 100, name
        assert score["z"] is not None
        assert abs(score["z"]) < 3.5
        assert score["interval"] is not None
        assert score["value"] is not None
        assert score["interval"][0] <= score["value"] <= score["interval"][1]
        assert score["interval"][1] <= 1 or name == "density"
    narrow = scores(COVERAGE, real, 0.3 * equal)
    assert narrow["recall"]["z"] is not None
    assert narrow["recall"]["z"] > 5
    assert narrow["density"]["z"] is not None
    assert narrow["density"]["z"] < -5
    assert narrow["coverage"]["value"] < found["coverage"]["value"]  # type: ignore[operator]


def test_too_few_galaxies_say_so() -> None:
    found = scores(COVERAGE, cloud(10, 0), cloud(30, 1))
    assert {score["value"] for score in found.values()} == {None}
    assert found["coverage"]["reason"] == "5 images are too few for 5 nearest neighbours of each"
    two = scores(COVERAGE, cloud(4, 0), cloud(2, 1))
    assert two["recall"]["reason"] == "2 images are too few for 5 nearest neighbours of each"


def test_constant_features_are_no_crash() -> None:
    same = np.ones((20, 3))
    found = scores(COVERAGE, same, same)
    assert found["precision"]["value"] == found["coverage"]["value"] == 1
    assert found["precision"]["z"] is None
