"""The thesis' box, its 84.6 % and its failures."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.photometry import measure
from galgen.metrics.colour_magnitude import (
    COLOUR_MAGNITUDE,
    DETECTED,
    ColourMagnitude,
    fit_box,
    fraction_inside,
    points_of,
    why_not,
)
from galgen.metrics.scorecard import scores

GRI = ImageSpec(32, ("g", "r", "i"))


def gaussian(n: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2)) * (0.8, 0.2) + (20 + shift, 0.6)


def test_a_perfect_gaussian_generator_scores_846() -> None:
    real, fake = gaussian(100_000), gaussian(100_000, seed=1)
    assert fraction_inside(real, fake) == pytest.approx(0.846, abs=0.005)


@pytest.mark.parametrize("sigma", ["robust", "std"])
def test_box_of_a_gaussian(sigma: str) -> None:
    box = fit_box(gaussian(50_000), sigma)  # type: ignore[arg-type]
    np.testing.assert_allclose(box.centre, (20, 0.6), atol=0.02)
    np.testing.assert_allclose(box.half_width, (1.75 * 0.8, 1.75 * 0.2), rtol=0.02)


def test_a_few_stars_do_not_widen_the_box() -> None:
    points = gaussian(500)
    contaminated = np.concatenate([points, np.tile([5.0, 9.0], (15, 1))])
    robust = np.array(fit_box(contaminated).half_width) / fit_box(points).half_width
    plain = np.array(fit_box(contaminated, "std").half_width) / fit_box(points, "std").half_width
    assert robust.max() < 1.15
    assert plain.min() > 2


def test_failures_count_as_outside() -> None:
    real, fake = gaussian(1000), gaussian(1000, seed=1)
    fake[:500] = np.nan
    whole = fraction_inside(real, fake[500:])
    assert fraction_inside(real, fake) == pytest.approx(whole / 2)


def test_too_few_measured_galaxies_are_named() -> None:
    with pytest.raises(ValueError, match="only 1 real"):
        fit_box([[20.0, 0.5], [np.nan, np.nan]])


def test_one_band_does_not_apply(galaxies: Callable[..., Tensor]) -> None:
    spec = ImageSpec(32, ("r",))
    assert "no colour" in str(why_not(spec))
    assert why_not(GRI) is None
    metric = ColourMagnitude(spec)
    metric.update(galaxies(4, bands=1), real=True)
    metric.update(galaxies(4, bands=1), real=False)
    assert all(torch.isnan(v) for v in metric.compute().values())


def test_metric_over_batches(galaxies: Callable[..., Tensor]) -> None:
    real, fake = galaxies(40, seed=1), galaxies(24, seed=2)
    metric = ColourMagnitude(GRI)
    for part in real.split(9):
        metric.update(part, real=True)
    for part in fake.split(7):
        metric.update(part, real=False)
    values = metric.compute()
    points = [points_of(measure(x, GRI, method="aperture")) for x in (real, fake)]
    assert float(values["fraction"]) == pytest.approx(fraction_inside(*points), abs=1e-6)
    assert float(values["ratio"]) == pytest.approx(
        float(values["fraction"]) / float(values["real"]), rel=1e-5
    )


def test_order_of_batches_does_not_matter() -> None:
    real = torch.from_numpy(gaussian(101)).float()
    real[::7] = float("nan")
    values = []
    for order in (torch.arange(101), torch.arange(101).flip(0), torch.randperm(101)):
        metric = ColourMagnitude(GRI)
        metric.update(real[order], real=True)
        metric.update(real, real=False)
        values.append({k: float(v) for k, v in metric.compute().items()})
    assert values[0] == values[1] == values[2]


def test_a_shifted_set_is_seen_and_real_points_can_be_kept() -> None:
    metric = ColourMagnitude(GRI, reset_real_features=False)
    metric.update(torch.from_numpy(gaussian(2000)), real=True)
    metric.update(torch.from_numpy(gaussian(2000, 1)), real=False)
    good = metric.compute()
    metric.reset()
    metric.update(torch.from_numpy(gaussian(2000, 1, shift=3)), real=False)
    bad = metric.compute()
    assert float(good["ratio"]) == pytest.approx(1, abs=0.05)
    assert float(bad["ratio"]) < 0.2
    assert float(bad["real"]) == float(good["real"])


def test_nothing_generated_is_not_a_number() -> None:
    metric = ColourMagnitude(GRI)
    metric.update(torch.from_numpy(gaussian(50)), real=True)
    assert torch.isnan(metric.compute()["fraction"])


def test_scores_are_fractions_of_which_less_is_worse() -> None:
    good = scores(COLOUR_MAGNITUDE, gaussian(2000), gaussian(1000, 1))["colour_magnitude"]
    bad = scores(COLOUR_MAGNITUDE, gaussian(2000), gaussian(1000, 1, 0.8))["colour_magnitude"]
    assert good["value"] == pytest.approx(0.846, abs=0.03)
    assert good["floor"] == pytest.approx(0.846, abs=0.03)
    assert abs(good["z"] or 0) < 4
    assert (bad["z"] or 0) > 5
    failed = np.full((1000, 2), np.nan)
    nothing = scores(COLOUR_MAGNITUDE, gaussian(2000), failed)["colour_magnitude"]
    assert nothing["value"] == 0
    assert nothing["interval"] == [0, 0]
    unmeasured = scores(COLOUR_MAGNITUDE, failed, gaussian(1000))["colour_magnitude"]
    assert unmeasured.get("reason") == "only 0 real galaxies have a magnitude and a colour"


def test_detected_is_the_fraction_that_is_found() -> None:
    rng = np.random.default_rng(0)
    real, fake = (rng.random((n, 1)) < share for n, share in ((2000, 0.95), (1000, 0.7)))
    found = scores(DETECTED, real.astype(float), fake.astype(float))["detected"]
    assert found["value"] == pytest.approx(0.7, abs=0.04)
    assert found["floor"] == pytest.approx(0.95, abs=0.02)
    assert (found["z"] or 0) > 5
    every = scores(DETECTED, np.ones((40, 1)), np.ones((20, 1)))["detected"]
    assert (every["value"], every["floor"], every["z"]) == (1, 1, None)


@pytest.mark.parametrize("n", [0, 2])
def test_sets_without_a_galaxy_do_not_warn(n: int) -> None:
    metric = ColourMagnitude(GRI)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.update(torch.zeros(8, 3, 32, 32), real=True)
        metric.update(torch.ones(n, 3, 32, 32), real=False)
        assert all(torch.isnan(v) for v in metric.compute().values())
        score = metric.score()["colour_magnitude"]
    assert score["value"] is None
    assert score.get("reason")
