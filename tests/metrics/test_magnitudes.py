"""Catalogue against measured magnitudes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from galgen.data.sersic import simulate, spec
from galgen.measure.photometry import measure
from galgen.metrics.magnitudes import CatalogueMagnitudes, agreement, catalogue_magnitudes


def test_a_known_bias_scatter_and_outliers_come_back() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(18, 24, 20_000)
    measured = truth + 0.03 + rng.normal(0, 0.05, len(truth))
    measured[:1000] += 2
    measured[1000:1300] = np.nan
    truth[2000:2100] = np.nan
    found = agreement(measured, truth)
    assert found["n"] == 19_600
    assert found["failures"] == 300
    assert found["bias"] == pytest.approx(0.03, abs=0.01)
    # The robust scatter grows a little with 5 % of outliers; a standard deviation would be 0.44.
    assert found["scatter"] == pytest.approx(0.05, rel=0.12)
    assert found["outliers"] == pytest.approx(1000 / 19_600)
    json.dumps(found, allow_nan=False)


def test_nothing_to_compare_says_why() -> None:
    assert agreement([np.nan, np.nan], [20.0, 21.0])["reason"] == "no galaxy was measured"
    found = agreement([20.0], [np.nan])
    assert found["reason"] == "the catalogue has no value"
    assert found["bias"] is None
    json.dumps(found, allow_nan=False)
    with pytest.raises(ValueError, match="no pairs"):
        agreement([1.0, 2.0], [1.0])


def test_against_the_truth_of_simulated_galaxies() -> None:
    flux, truth = simulate(40, size=64, seed=2)
    about = spec(64)
    found = catalogue_magnitudes(measure(flux, about), truth, about)
    assert list(found) == ["mag_g", "mag_r", "mag_i", "g-r", "r-i"]
    for name, row in found.items():
        assert row["n"] == 40
        assert abs(row["bias"]) < (0.06 if name.startswith("mag") else 0.01)
    shifted = {**truth, "mag_r": np.asarray(truth["mag_r"], dtype=float) - 0.1}
    moved = catalogue_magnitudes(measure(flux, about), shifted, about)
    assert moved["mag_r"]["bias"] == pytest.approx(found["mag_r"]["bias"] + 0.1)
    assert moved["g-r"]["bias"] == pytest.approx(found["g-r"]["bias"] - 0.1)
    assert moved["mag_g"] == found["mag_g"]


def test_bands_that_cannot_be_compared_have_no_entry() -> None:
    flux, truth = simulate(2, size=32)
    about = spec(32)
    columns = measure(flux, about)
    only = {"mag_g": truth["mag_g"], "mag_i": truth["mag_i"]}
    assert list(catalogue_magnitudes(columns, only, about)) == ["mag_g", "mag_i", "g-i"]
    assert catalogue_magnitudes(columns, {}, about) == {}
    assert catalogue_magnitudes(columns, truth, about.replace(display=True)) == {}
    unknown = about.replace(zero_points=(22.5, None, 22.5))
    assert "mag_r" not in catalogue_magnitudes(columns, truth, unknown)


def test_metric_over_batches_is_the_whole() -> None:
    flux, truth = simulate(30, size=32, seed=4)
    flux[3] = 0
    about = spec(32)
    metric = CatalogueMagnitudes(about)
    for k in range(0, 30, 7):
        rows = slice(k, k + 7)
        given = {name: column[rows] for name, column in truth.items()}
        metric.update(torch.from_numpy(flux[rows]), given)
    whole = catalogue_magnitudes(measure(flux, about), truth, about)
    values = metric.compute()
    assert float(values["failures_mag_r"]) == 1
    for name, row in whole.items():
        assert float(values[f"bias_{name}"]) == pytest.approx(row["bias"], abs=1e-5)
        assert float(values[f"scatter_{name}"]) == pytest.approx(row["scatter"], abs=1e-5)
    metric.reset()
    assert metric.result() == {}
    with pytest.raises(ValueError, match="2 values for 1 images"):
        metric.update(torch.zeros(1, 3, 32, 32), {"mag_g": [20.0, 21.0]})
