"""Twins within a generated set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galgen.metrics.repeats import REPEATS, Repeats, twin_distances
from galgen.metrics.scorecard import scores


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 8)) + 100


def test_distances_are_those_of_every_pair() -> None:
    x = rows(300, 0)
    every = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(every, np.inf)
    nearest = np.sort(every, axis=1)
    assert twin_distances(x) == pytest.approx(nearest[:, 0] / nearest[:, 9], rel=1e-3)


def test_the_same_image_drawn_twice_is_no_twin() -> None:
    x = rows(50, 0)
    twice = np.arange(50).repeat(2)
    assert (twin_distances(x[twice], twice) > 0.05).all()
    assert (twin_distances(x[twice]) == 0).all()


def test_one_repeated_galaxy_in_ten_stands_out_and_real_ones_do_not() -> None:
    real, fake = rows(800, 0), rows(400, 1)
    fresh = scores(REPEATS, real, fake)["repeats"]
    assert fresh["value"] == pytest.approx(0.01, abs=0.02)
    assert abs(fresh["z"]) < 3
    fake[:40] = fake[40:80] + np.random.default_rng(2).normal(size=(40, 8)) * 0.01
    repeated = scores(REPEATS, real, fake)["repeats"]
    assert repeated["value"] == pytest.approx(0.2, abs=0.03)
    assert repeated["z"] > 5
    low, high = repeated["interval"]
    assert low < 0.2 < high < 0.35


def test_few_images_get_a_sentence() -> None:
    found = scores(REPEATS, rows(30, 0), rows(30, 1))["repeats"]
    assert found["value"] is None
    assert "20 images" in found["reason"]


class Columns:
    name, n_features = "columns", 8

    def __call__(self, flux: torch.Tensor) -> torch.Tensor:
        return flux.flatten(1)[:, :8]


def test_metric_over_batches() -> None:
    metric = Repeats(Columns())
    real, fake = (torch.from_numpy(rows(64, s)).float() for s in (0, 1))
    fake[:8] = fake[8:16]
    for part in real.split(16):
        metric.update(part.view(-1, 2, 2, 2), real=True)
    metric.update(fake, real=False)
    assert float(metric.compute()["repeats"]) >= 0.25
