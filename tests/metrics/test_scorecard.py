"""Floors, intervals and the sign of z."""

from __future__ import annotations

import json

import numpy as np
import pytest

from galgen.metrics.scorecard import (
    SPLITS,
    colour_magnitude_score,
    frechet_score,
    nearest_score,
    null,
    score,
)


def rows(n: int, seed: int, shift: float = 0.0, features: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, features)) + shift


def test_a_second_real_sample_is_at_the_floor() -> None:
    result = frechet_score(rows(400, 0), rows(300, 1))
    assert result["n"] == 200
    assert result["floor"] is not None
    assert result["value"] == pytest.approx(result["floor"], rel=0.5)
    assert result["z"] is not None
    assert abs(result["z"]) < 2.5
    assert set(result) == {"value", "floor", "interval", "z", "n"}
    json.dumps(result, allow_nan=False)


def test_a_different_set_is_far_above_it() -> None:
    result = frechet_score(rows(400, 0), rows(300, 1, shift=0.7))
    assert result["z"] is not None
    assert result["interval"] is not None
    assert result["z"] > 10
    # 5 features, each shifted by 0.7 standard deviations.
    assert result["value"] == pytest.approx(5 * 0.49, rel=0.25)
    assert result["interval"][0] < 5 * 0.49 < result["interval"][1]


def test_value_and_floor_use_equal_numbers() -> None:
    sizes = []

    def count(reference: np.ndarray, other: np.ndarray) -> float:
        sizes.append((len(reference), len(other)))
        return float(other.mean())

    assert score(count, rows(101, 0), rows(30, 1))["n"] == 30
    assert score(count, rows(41, 0), rows(30, 1))["n"] == 20
    assert set(sizes) == {(30, 30), (20, 20)}


def test_splits_do_not_overlap_and_are_enough() -> None:
    seen = []

    def remember(reference: np.ndarray, other: np.ndarray) -> float:
        seen.append((set(reference.tolist()), set(other.tolist())))
        return 1.0

    score(remember, np.arange(20.0), np.arange(100.0, 120.0), bootstraps=0 + 1)
    floors = [pair for pair in seen if max(pair[1]) < 100 and max(pair[0]) < 100]
    assert len(floors) >= SPLITS
    assert all(not a & b for a, b in floors[:SPLITS])
    with pytest.raises(ValueError, match="too few"):
        score(remember, np.arange(20.0), np.arange(20.0), splits=SPLITS - 1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(40):
        result = score(lambda _, b: float(b.mean()), rows(200, seed), rows(100, 1000 + seed))
        assert result["interval"] is not None
        inside += result["interval"][0] <= 0 <= result["interval"][1]
    assert inside >= 33


def test_higher_is_better_turns_the_sign() -> None:
    real = np.random.default_rng(0).normal(size=(400, 2))
    good, bad = real[:200] * 1.0, real[:200] + 3
    worse = colour_magnitude_score(real, bad)
    assert worse["z"] is not None
    assert worse["z"] > 5
    assert worse["value"] is not None
    assert worse["value"] < 0.3
    equal = colour_magnitude_score(real, good)
    assert equal["z"] is not None
    assert abs(equal["z"]) < 2
    assert equal["interval"] is not None
    assert 0 <= equal["interval"][0] <= equal["interval"][1] <= 1


def test_copies_are_worse_than_held_out_galaxies() -> None:
    rng = np.random.default_rng(0)
    held, fresh = rng.uniform(1, 2, 100), rng.uniform(1, 2, 100)
    copies = nearest_score(held, rng.uniform(0, 0.2, 100))
    assert copies["z"] is not None
    assert copies["z"] > 5
    honest = nearest_score(held, fresh)
    assert honest["z"] is not None
    assert abs(honest["z"]) < 3


def test_same_seed_same_score() -> None:
    real, fake = rows(60, 0), rows(50, 1)
    assert frechet_score(real, fake, 3) == frechet_score(real, fake, 3)
    assert frechet_score(real, fake, 3) != frechet_score(real, fake, 4)


def test_what_does_not_apply_is_null_with_a_reason() -> None:
    few = frechet_score(rows(3, 0), rows(50, 1))
    assert few["value"] is None
    assert few["floor"] is None
    assert few["z"] is None
    assert few["n"] == 0
    assert "too few" in few["reason"]
    unmeasured = colour_magnitude_score(np.full((40, 2), np.nan), rows(40, 1, features=2))
    assert unmeasured["value"] is None
    assert "magnitude" in unmeasured["reason"]
    assert null("why")["reason"] == "why"


def test_a_floor_without_spread_has_no_z() -> None:
    result = score(lambda a, b: float(b.mean() > 5), np.zeros(20), np.full(20, 9.0))
    assert result["value"] == 1
    assert result["floor"] == 0
    assert result["z"] is None


@pytest.mark.parametrize("kind", ["frechet", "colour", "nearest"])
def test_z_of_a_perfect_generator_is_about_a_standard_normal(kind: str) -> None:
    z = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        real, fake = rng.standard_t(5, size=(200, 20)), rng.standard_t(5, size=(90, 20))
        if kind == "frechet":
            z.append(frechet_score(real, fake, seed)["z"])
        elif kind == "colour":
            z.append(colour_magnitude_score(real[:, :2], fake[:, :2], seed)["z"])
        else:
            z.append(nearest_score(np.exp(real[:, 0]), np.exp(fake[:, 0]), seed)["z"])
    values = np.array(z, dtype=float)
    assert abs(values.mean()) < 0.8
    assert 0.2 < values.std() < 1.7
    assert np.abs(values).max() < 4
