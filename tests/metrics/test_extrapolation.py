"""The extrapolated Frechet distance: near 0 where the plain one is at its floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clouds import Columns, cloud, correlated
from galgen.metrics.extrapolation import (
    EXTRAPOLATION,
    FrechetInfinity,
    extrapolation_family,
    frechet_infinity,
    parts,
)
from galgen.metrics.frechet import FRECHET
from galgen.metrics.scorecard import scores


@pytest.mark.parametrize(("n", "features"), [(500, 64), (250, 64), (120, 64)])
def test_two_real_samples_are_near_zero(n: int, features: int) -> None:
    values, floors = [], []
    for seed in range(10):
        a, b = (correlated(n, 10 * seed + k, features) for k in (0, 1))
        values.append(EXTRAPOLATION.between(a, b)["frechet_infinity"])
        floors.append(FRECHET.between(a, b)["frechet"])
    assert np.mean(floors) > 1
    assert abs(np.mean(values)) < 0.1 * np.mean(floors)
    # No bias to either side.
    assert abs(np.mean(values)) < 3.5 * np.std(values, ddof=1) / len(values) ** 0.5


def test_a_shift_comes_out_as_it_is() -> None:
    a, b = cloud(1000, 0, 32), cloud(1000, 1, 32, shift=0.25)
    found = EXTRAPOLATION.between(a, b)["frechet_infinity"]
    assert found == pytest.approx(32 * 0.25**2, rel=0.15)
    plain = extrapolation_family(scaled=False).between(5 * a, 5 * b)["frechet_infinity"]
    assert plain == pytest.approx(25 * 32 * 0.25**2, rel=0.15)


def test_sets_of_unequal_size_are_both_extrapolated() -> None:
    a, b = cloud(1200, 0, 32), cloud(300, 1, 32)
    plain = FRECHET.between(a, b)["frechet"]
    assert abs(EXTRAPOLATION.between(a, b)["frechet_infinity"]) < 0.4 * plain


def test_sizes_are_equally_far_apart_and_not_below_the_features() -> None:
    assert parts(900, 64) == pytest.approx([1, 3 / 5, 3 / 7, 1 / 3])
    found = parts(100, 50) * 100
    assert found[-1] == pytest.approx(50)
    assert np.diff(1 / found) == pytest.approx(np.full(3, 1 / 300))
    with pytest.raises(ValueError, match=r"95 images are too few .* of 64 features: it takes 96"):
        parts(95, 64)
    assert len(parts(96, 64)) == 4


def test_the_line_through_its_points_is_followed_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    import galgen.metrics.extrapolation as module

    # Two numbers that stand for Gaussians: how many rows each subset has.
    monkeypatch.setattr(module, "gaussian_of", lambda pool, rows: len(rows))
    monkeypatch.setattr(module, "frechet_distance", lambda one, two: 7 + 30 / one + 30 / two)
    rows = np.arange(400)
    found = frechet_infinity(torch.zeros(800, 4), rows, rows + 400)
    assert found == pytest.approx(7, abs=0.01)


def test_the_score_is_the_same_each_time() -> None:
    real, fake = cloud(200, 0, 8), cloud(90, 1, 8, shift=1)
    one, two = (scores(EXTRAPOLATION, real, fake, seed=3) for _ in range(2))
    assert one == two
    score = one["frechet_infinity"]
    assert score["z"] is not None
    assert score["z"] > 10
    assert score["floor"] == pytest.approx(0, abs=0.2)


def test_too_few_images_are_a_sentence() -> None:
    score = scores(EXTRAPOLATION, cloud(40, 0, 40), cloud(20, 1, 40))["frechet_infinity"]
    assert score["value"] is None
    assert "20 images are too few" in score["reason"]
    two = scores(EXTRAPOLATION, cloud(4, 0, 1), cloud(2, 1, 1))["frechet_infinity"]
    assert "2 images are too few" in two["reason"]


def test_metric_equals_the_family() -> None:
    real, fake = cloud(60, 0), cloud(50, 1)
    metric = FrechetInfinity(Columns())
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    found = float(metric.compute()["frechet_infinity"])
    assert np.isfinite(found)
    again = FrechetInfinity(Columns())
    again.update(torch.from_numpy(fake[::-1].copy()), real=False)
    again.update(torch.from_numpy(real[::-1].copy()), real=True)
    assert float(again.compute()["frechet_infinity"]) == found
