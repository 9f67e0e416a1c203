"""How far generated galaxies lie apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from galgen.metrics.diversity import DIVERSITY, diversity_between
from galgen.metrics.scorecard import scores


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)) * np.arange(1, 7)


def test_it_is_the_ratio_of_the_distances_of_all_pairs() -> None:
    real, fake = rows(80, 0), rows(60, 1) * 0.4
    unit = real.std(0, ddof=1)
    far = [np.sqrt(np.mean(pdist(x / unit) ** 2)) for x in (real, fake)]
    assert diversity_between(real, fake)["diversity"] == pytest.approx(far[1] / far[0])


def test_a_collapsed_set_is_seen_and_a_fresh_one_is_not() -> None:
    real = rows(600, 0)
    fresh = scores(DIVERSITY, real, rows(300, 1))["diversity"]
    assert fresh["value"] == pytest.approx(1, abs=0.05)
    assert abs(fresh["z"]) < 3
    narrow = scores(DIVERSITY, real, rows(300, 1) * 0.5)["diversity"]
    assert narrow["value"] == pytest.approx(0.5, abs=0.03)
    assert narrow["z"] > 5


def test_equal_images_get_a_sentence() -> None:
    same = np.ones((40, 6))
    assert "alike" in scores(DIVERSITY, same, rows(20, 0))["diversity"]["reason"]
    assert scores(DIVERSITY, rows(40, 0), same)["diversity"]["value"] == 0
