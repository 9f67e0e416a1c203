"""Floors, intervals and the sign of z."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from clouds import cloud
from galgen.metrics.coverage import COVERAGE
from galgen.metrics.extrapolation import EXTRAPOLATION
from galgen.metrics.frechet import FRECHET
from galgen.metrics.kernel import KERNEL
from galgen.metrics.scorecard import (
    FEW_BOOTSTRAPS,
    FEWEST_SPLITS,
    MANY,
    SPLITS,
    Family,
    Scale,
    Score,
    null,
    pooled_family,
    scores,
    single,
)

Rows = NDArray[np.float64]


def frechet(real: Rows, fake: Rows, seed: int = 0) -> Score:
    return scores(FRECHET, real, fake, seed=seed)["frechet"]


def mean_of_the_other(scale: Scale | None = None) -> Family:
    return single("mean", lambda _, other: float(other.mean()), scale)


def test_a_second_real_sample_is_at_the_floor() -> None:
    result = frechet(cloud(400, 0, 5), cloud(300, 1, 5))
    assert result["n"] == 200
    assert result["floor"] is not None
    assert result["value"] == pytest.approx(result["floor"], rel=0.5)
    assert result["z"] is not None
    assert abs(result["z"]) < 2.5
    assert set(result) == {"value", "floor", "interval", "z", "n"}
    json.dumps(result, allow_nan=False)


def test_a_different_set_is_far_above_it() -> None:
    result = frechet(cloud(400, 0, 5), cloud(300, 1, 5, shift=0.7))
    assert result["z"] is not None
    assert result["interval"] is not None
    assert result["z"] > 10
    # 5 features, each shifted by 0.7 standard deviations.
    assert result["value"] == pytest.approx(5 * 0.49, rel=0.25)
    assert result["interval"][0] < 5 * 0.49 < result["interval"][1]


def test_value_and_floor_use_equal_numbers() -> None:
    sizes = []

    def count(reference: Rows, other: Rows) -> float:
        sizes.append((len(reference), len(other)))
        return float(other.mean())

    family = single("count", count)
    assert scores(family, cloud(101, 0), cloud(30, 1))["count"]["n"] == 30
    assert scores(family, cloud(41, 0), cloud(30, 1))["count"]["n"] == 20
    assert set(sizes) == {(30, 30), (20, 20)}


def test_splits_do_not_overlap_and_are_enough() -> None:
    seen = []

    def remember(reference: Rows, other: Rows) -> float:
        seen.append((set(reference.tolist()), set(other.tolist())))
        return 1.0

    family = single("seen", remember)
    scores(family, np.arange(20.0), np.arange(100.0, 120.0), bootstraps=1)
    floors = [pair for pair in seen if max(pair[1]) < 100 and max(pair[0]) < 100]
    assert len(floors) == SPLITS
    assert all(not a & b for a, b in floors)
    with pytest.raises(ValueError, match="too few"):
        scores(family, np.arange(20.0), np.arange(20.0), splits=FEWEST_SPLITS - 1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(40):
        result = scores(mean_of_the_other(), cloud(200, seed), cloud(100, 1000 + seed))["mean"]
        assert result["interval"] is not None
        inside += result["interval"][0] <= 0 <= result["interval"][1]
    assert inside >= 33


def test_higher_is_better_turns_the_sign_and_bounds_clip() -> None:
    real, fake = cloud(200, 0), cloud(100, 1, shift=-1)
    worse = scores(mean_of_the_other(Scale(higher_is_better=True)), real, fake)["mean"]
    assert worse["z"] is not None
    assert worse["z"] > 5
    lower = scores(mean_of_the_other(), real, fake)["mean"]
    assert lower["z"] == -worse["z"]
    assert lower["interval"] is not None
    clipped = scores(mean_of_the_other(Scale(lowest=-1.1, highest=-1.05)), real, fake)["mean"]
    assert clipped["interval"] is not None
    assert lower["interval"][0] < -1.1 <= clipped["interval"][0]
    assert clipped["interval"][1] <= -1.05 < lower["interval"][1]


def test_same_seed_same_score() -> None:
    real, fake = cloud(60, 0), cloud(50, 1)
    assert frechet(real, fake, 3) == frechet(real, fake, 3)
    assert frechet(real, fake, 3) != frechet(real, fake, 4)


def test_what_does_not_apply_is_null_with_a_reason() -> None:
    few = frechet(cloud(3, 0), cloud(50, 1))
    assert few["value"] is None
    assert few["floor"] is None
    assert few["z"] is None
    assert few["n"] == 0
    assert "too few" in few["reason"]
    assert null("why")["reason"] == "why"

    def refuse(*_: Rows) -> float:
        raise ValueError("no galaxy was found")

    refused = scores(single("found", refuse), cloud(30, 0), cloud(30, 1))["found"]
    assert (refused["value"], refused["reason"]) == (None, "no galaxy was found")
    missing = scores(single("nan", lambda *_: float("nan")), cloud(30, 0), cloud(30, 1))["nan"]
    assert missing["value"] is None
    assert "not finite" in missing["reason"]


def test_a_floor_without_spread_has_no_z() -> None:
    family = single("far", lambda _, other: float(other.mean() > 5))
    result = scores(family, np.zeros(20), np.full(20, 9.0))["far"]
    assert result["value"] == 1
    assert result["floor"] == 0
    assert result["z"] is None


def test_bootstraps_are_the_familys_own() -> None:
    calls = []
    counted = Family(
        {"n": Scale()}, lambda a, b: {"n": float(calls.append(1) or a.mean())}, None, 7
    )
    scores(counted, cloud(20, 0), cloud(9, 1))
    assert len(calls) == 2 * SPLITS + 7
    calls.clear()
    scores(counted, cloud(20, 0), cloud(9, 1), bootstraps=3)
    assert len(calls) == 2 * SPLITS + 3


def test_of_many_rows_there_are_no_more_rounds_than_needed() -> None:
    calls = []
    counted = single("n", lambda a, b: float(calls.append(1) or a.mean()))
    found = scores(counted, cloud(MANY, 0, 1), cloud(10, 1, 1))["n"]
    assert len(calls) == 2 * FEWEST_SPLITS + FEW_BOOTSTRAPS
    assert found["z"] is not None


def test_a_pooled_family_sees_all_rows_once_and_equals_the_plain_one() -> None:
    pools = []

    def pooled(real: Rows, fake: Rows):  # type: ignore[no-untyped-def]
        pools.append((len(real), len(fake)))
        pool = np.concatenate([real, fake])
        return lambda one, two: {"apart": abs(float(pool[one].mean() - pool[two].mean()))}

    real, fake = cloud(50, 0), cloud(30, 1)
    family = pooled_family({"apart": Scale()}, pooled, 50)
    found = scores(family, real, fake)
    assert pools == [(50, 30)]
    plain = Family(family.scales, lambda a, b: {"apart": abs(float(a.mean() - b.mean()))}, None, 50)
    assert found == scores(plain, real, fake)
    assert family.between(real, fake) == plain.between(real, fake)


@pytest.mark.parametrize("name", ["frechet", "frechet_infinity", "kid", "recall", "coverage"])
def test_z_of_a_perfect_generator_is_about_a_standard_normal(name: str) -> None:
    families = (FRECHET, EXTRAPOLATION, KERNEL, COVERAGE)
    family = next(f for f in families if name in f.scales)
    z = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        real, fake = rng.standard_t(5, size=(200, 20)), rng.standard_t(5, size=(90, 20))
        z.append(scores(family, real, fake, seed=seed, bootstraps=2)[name]["z"])
    values = np.array(z, dtype=float)
    assert abs(values.mean()) < 0.8
    assert 0.2 < values.std() < 1.7
    assert np.abs(values).max() < 4
