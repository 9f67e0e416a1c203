"""Requested numbers against measured ones."""

from __future__ import annotations

import numpy as np
import pytest

from galgen.data import sersic
from galgen.measure.quantities import measure_numbers
from galgen.metrics.requested import follow


def test_a_known_bias_scatter_and_slope_come_back() -> None:
    rng = np.random.default_rng(0)
    asked = rng.uniform(18, 22, 4000)
    measured = 20 + 0.8 * (asked - 20) + 0.3 + rng.normal(0, 0.1, 4000)
    found = follow(asked, measured)
    assert found["n"] == 4000
    assert found["failures"] == 0
    assert found["bias"] == pytest.approx(0.3, abs=0.02)
    assert found["mean"] == pytest.approx(0.3, abs=0.02)
    assert found["slope"] == pytest.approx(0.8, abs=0.01)
    variance = 0.8**2 * 16 / 12
    assert found["r2"] == pytest.approx(variance / (variance + 0.1**2), abs=0.005)
    # About measured = requested the bias and the slope count too.
    missed = 0.3**2 + 0.2**2 * 16 / 12 + 0.1**2
    assert found["r2_identity"] == pytest.approx(1 - missed / (variance + 0.1**2), abs=0.01)
    assert found["std"] == pytest.approx(np.hypot(0.1, 0.2 * 4 / np.sqrt(12)), rel=0.05)
    assert found["r2_shuffled"] < 0.002


def test_scatter_and_bias_hold_out_against_outliers() -> None:
    rng = np.random.default_rng(0)
    asked = rng.normal(size=1000)
    measured = asked + rng.normal(0, 0.1, 1000)
    measured[:100] += 50
    found = follow(asked, measured)
    assert found["bias"] == pytest.approx(0, abs=0.05)
    assert found["scatter"] == pytest.approx(0.1, rel=0.3)
    assert found["mean"] > 4
    assert found["std"] > 10


def test_a_generator_that_does_not_listen_scores_nothing() -> None:
    rng = np.random.default_rng(0)
    found = follow(rng.normal(size=500), rng.normal(size=500))
    assert found["r2"] < 0.02
    assert found["r2_shuffled"] == pytest.approx(1 / 499, abs=0.002)


def test_a_line_of_its_own_is_not_the_request() -> None:
    asked = np.linspace(18, 22, 50)
    assert follow(asked, 40 - asked)["r2"] == pytest.approx(1)
    assert follow(asked, 40 - asked)["r2_identity"] == pytest.approx(-3)
    assert follow(asked, asked + 5)["r2"] == pytest.approx(1)
    assert follow(asked, asked + 5)["r2_identity"] < -10
    assert follow(asked, asked)["r2_identity"] == 1


def test_failures_are_counted_and_what_was_not_asked_for_is_not() -> None:
    nan = np.nan
    found = follow(np.array([1.0, 2, 3, 4, nan]), np.array([1.5, nan, 3.5, 4.5, 7]))
    assert found["n"] == 3
    assert found["failures"] == 1
    assert found["bias"] == pytest.approx(0.5)
    assert found["r2"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("asked", "measured"),
    [([], []), ([1.0], [2.0]), ([1.0, 1, 1], [1.0, 2, 3]), ([1.0, 2, 3], [0.1, 0.1, 0.1])],
)
def test_what_too_few_or_equal_numbers_leave_open_is_none(
    asked: list[float], measured: list[float]
) -> None:
    found = follow(np.array(asked), np.array(measured))
    assert found["r2"] is None
    assert found["r2_identity"] is None
    assert found["slope"] is None
    assert (found["bias"] is None) == (not asked)


def test_the_catalogue_of_simulated_galaxies_against_what_is_measured() -> None:
    about = sersic.spec(32, ("g", "r"))
    flux, truth = sersic.simulate(150, size=32, bands=("g", "r"))
    names = ("mag_r", "g-r", "r_half")
    measured = measure_numbers(flux, about, names)
    asked = np.column_stack(
        [truth["mag_r"], truth["mag_g"] - truth["mag_r"], truth["r_half"]]
    ).astype(np.float64)
    magnitude, colour, size = (follow(asked[:, k], measured[:, k]) for k in range(3))
    assert magnitude["failures"] < 10
    assert magnitude["r2"] > 0.95
    assert abs(magnitude["bias"]) < 0.1
    assert colour["r2"] > 0.8
    # The point spread function makes every galaxy larger than it is.
    assert size["bias"] > 0
    assert size["r2"] > 0.5
    for found in (magnitude, colour, size):
        assert found["r2_shuffled"] < 0.03
