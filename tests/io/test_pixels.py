"""Light on pixels of another size: all of it, where it was, and not smeared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from galgen.io.pixels import rebinning


def gaussian(n: int, ratio: float, fwhm: float, centre: float) -> np.ndarray:
    """Light of a Gaussian on n pixels of that size about 0."""
    edges = ratio * (np.arange(n + 1) - n / 2) - centre
    sums = [math.erf(x * 2 * math.sqrt(math.log(2)) / fwhm) / 2 for x in edges]
    return np.diff(sums)


@pytest.mark.parametrize("ratio", [0.5, 0.63, 1.0, 1.5, 2.4])
@pytest.mark.parametrize("odd", [False, True])
def test_a_gaussian_is_as_it_would_be_on_the_new_pixels(ratio: float, odd: bool) -> None:
    new = 2 * int(32 / ratio) - odd
    got = rebinning(64, new, ratio, False) @ gaussian(64, 1.0, 3.0, 0.3)
    want = gaussian(new, ratio, 3.0, 0.3)
    assert np.abs(got - want).sum() < 2e-3
    assert got.sum() == pytest.approx(1, abs=1e-9)


def test_all_of_the_light_is_kept_whatever_it_looks_like() -> None:
    random = np.random.default_rng(1)
    light = np.pad(random.normal(0, 1, 21), 20)
    for ratio, new in ((0.37, 165), (1.0, 62), (1.7, 36), (3.1, 20)):
        matrix = rebinning(61, new, ratio, False)
        assert matrix.shape == (new, 61)
        assert (matrix @ light).sum() == pytest.approx(light.sum(), abs=1e-6)


def test_a_flat_sky_stays_flat_up_to_the_edges() -> None:
    for ratio, new in ((0.37, 111), (1.7, 24), (1.7, 26), (1.0, 40)):
        seen = rebinning(41, new, ratio, True) @ np.full(41, 2.5)
        # A new pixel across the field's edge holds its part of the field.
        ends = np.clip(ratio * (np.arange(new + 1) - new / 2), -20.5, 20.5)
        assert np.abs(seen - 2.5 * np.diff(ends)).max() < 1e-9


def test_the_same_pixels_are_cut_or_padded_bit_by_bit() -> None:
    assert np.array_equal(rebinning(8, 8, 1.0, True), np.eye(8))
    assert np.array_equal(rebinning(8, 4, 1.0, True), np.eye(8)[2:6])
    dark = rebinning(4, 8, 1.0, False) @ np.arange(1.0, 5)
    assert np.array_equal(dark, [0, 0, 1, 2, 3, 4, 0, 0])
