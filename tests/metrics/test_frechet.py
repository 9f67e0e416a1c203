"""The Frechet distance against scipy and known answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import Tensor, nn

from clouds import Linear, cloud, correlated
from galgen.bands import ImageSpec
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frechet import (
    FRECHET,
    FrechetDistance,
    frechet_between,
    frechet_distance,
    frechet_family,
    gaussian,
    gaussian_of,
)
from galgen.metrics.pairs import MIN_SCALE
from galgen.metrics.scorecard import scores


def published(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The textbook formula with scipy's general matrix root."""
    one, two = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + np.trace(one + two - 2 * sqrtm(one @ two).real))


@pytest.mark.parametrize(
    ("n", "m", "features"), [(300, 200, 1), (300, 200, 5), (300, 200, 40), (41, 400, 40)]
)
def test_equals_the_general_root(n: int, m: int, features: int) -> None:
    a, b = correlated(n, 1, features), correlated(m, 2, features, shift=0.5)
    assert frechet_between(a, b, scaled=False) == pytest.approx(published(a, b), rel=1e-6)
    spread = np.maximum(a.std(0, ddof=1), MIN_SCALE)
    wanted = published(a / spread, b / spread)
    assert frechet_between(a, b) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (15, 15), (12, 300), (300, 12), (2, 5)])
def test_fewer_images_than_features_equal_it_too(n: int, m: int) -> None:
    a, b = cloud(n, 1, 40), cloud(m, 2, 40, shift=0.3)
    found = frechet_distance(*(gaussian(torch.from_numpy(x)) for x in (a, b)))
    one, two = (np.cov(x, rowvar=False) for x in (a, b))
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ two @ root).clip(0)).sum()
    shift = a.mean(0) - b.mean(0)
    wanted = float(shift @ shift + np.trace(one + two) - 2 * cross)
    assert found == pytest.approx(wanted, rel=1e-6)
    assert found == pytest.approx(published(a, b), rel=1e-6)


def test_gaussians_with_a_known_answer() -> None:
    # Diagonal covariances: sum of (mu1 - mu2)^2 + (sigma1 - sigma2)^2.
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double() * np.sqrt(5 / 2)
    one = corners * torch.tensor([1.0, 2.0, 3.0])
    two = corners * torch.tensor([2.0, 2.0, 1.0])
    mean = torch.tensor([1.0, 0.0, 2.0])
    assert frechet_distance(gaussian(one + mean), gaussian(two)) == pytest.approx(5 + 1 + 0 + 4)


def test_equal_sets_are_at_zero() -> None:
    for a in (cloud(50, 0, 20), cloud(6, 0, 20), np.ones((8, 3))):
        assert frechet_between(a, a) == pytest.approx(0, abs=1e-9)


def test_units_of_features_do_not_matter() -> None:
    a, b = cloud(100, 0), cloud(80, 1, shift=0.3)
    factors = np.array([1.0, 1e3, 50.0, 7.0])
    assert frechet_between(a * factors, b * factors) == pytest.approx(frechet_between(a, b))
    assert frechet_between(10 * a, 10 * b, scaled=False) == pytest.approx(
        100 * frechet_between(a, b, scaled=False)
    )
    # A shift by one standard deviation in one feature is a distance of 1.
    shifted = a.copy()
    shifted[:, 1] += a[:, 1].std(ddof=1)
    assert frechet_between(a, shifted) == pytest.approx(1, rel=1e-6)


def test_a_constant_feature_does_not_divide_by_zero() -> None:
    a = cloud(50, 0, 3)
    a[:, 2] = 4
    assert frechet_between(a, a + 1e-6) < 1e-3
    assert FRECHET.between(np.ones((9, 3)), np.ones((9, 3)))["frechet"] == 0


def test_positions_that_repeat_are_rows_that_repeat() -> None:
    pool = torch.from_numpy(cloud(30, 0, 50))
    drawn = np.random.default_rng(0).integers(30, size=30)
    other = gaussian(torch.from_numpy(cloud(20, 1, 50)))
    assert len(set(drawn.tolist())) < 30
    found = frechet_distance(gaussian_of(pool, drawn), other)
    assert found == pytest.approx(frechet_distance(gaussian(pool[drawn]), other), rel=1e-9)


@pytest.mark.parametrize("family", [FRECHET, frechet_family(scaled=False)])
def test_the_pool_gives_what_the_sets_give(family: object) -> None:
    a, b = 3 * cloud(40, 0) + 7, cloud(30, 1)
    pooled = family.over(a, b)  # type: ignore[attr-defined]
    whole = family.between(a, b)["frechet"]  # type: ignore[attr-defined]
    assert pooled(np.arange(40), np.arange(40, 70))["frechet"] == pytest.approx(whole, rel=1e-12)
    # Units are those of the whole real set, for every split.
    part = frechet_between(a[:10], b[:10], scaled=False)
    if family is FRECHET:
        spread = a.std(0, ddof=1)
        part = frechet_between(a[:10] / spread, b[:10] / spread, scaled=False)
    found = pooled(np.arange(10), np.arange(40, 50))["frechet"]
    assert found == pytest.approx(part, rel=1e-9)


def test_batches_add_up(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(60, seed=1), galaxies(40, seed=2, flux=1000.0)
    features = PhysicsFeatures.fit(real, ImageSpec(32, ("g", "r", "i")))
    metric = FrechetDistance(features)
    for part in real.split(7):
        metric.update(part, real=True)
    for part in fake.split(11):
        metric.update(part, real=False)
    expected = frechet_between(features(real), features(fake))
    assert float(metric.compute()["frechet"]) == pytest.approx(expected, rel=1e-6)
    again = FrechetDistance(features)
    again.update(features(real), real=True)
    again.update(features(fake), real=False)
    assert float(again.compute()["frechet"]) == pytest.approx(expected, rel=1e-6)


def test_the_extractor_stays_out_of_checkpoints() -> None:
    metric = FrechetDistance(Linear())
    holder = nn.ModuleDict({"metric": metric})
    assert not list(holder.parameters())
    assert not holder.state_dict()
    metric.update(torch.randn(5, 3, 4, 4), real=True)
    assert sum(len(block) for block in metric.real_rows) == 5


def test_too_few_images_and_broken_numbers_are_sentences() -> None:
    metric = FrechetDistance(Linear())
    metric.update(torch.randn(5, 4), real=True)
    metric.update(torch.randn(1, 4), real=False)
    with pytest.raises(ValueError, match="two images of each set, got 1"):
        metric.compute()
    broken = cloud(8, 0)
    broken[3, 1] = np.nan
    score = scores(FRECHET, cloud(9, 1), broken)["frechet"]
    assert score["value"] is None
    assert score["reason"] == "the features of some images are not finite"


def test_two_generated_and_four_real_images_have_a_score() -> None:
    score = scores(FRECHET, cloud(4, 0, 40), cloud(2, 1, 40))["frechet"]
    assert score["n"] == 2
    assert score["value"] is not None
    assert np.isfinite(score["value"])
