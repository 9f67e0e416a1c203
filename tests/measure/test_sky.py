"""The sky is that of numpy's own medians, whole images or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galgen.data.sersic import simulate
from galgen.data.sets import open_set
from galgen.measure.sky import estimate_sky


def expected(flux: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = flux.shape[-2:]
    edge = max(1, min(height, width) // 16)
    inner = np.zeros((height, width), dtype=bool)
    inner[edge : height - edge, edge : width - edge] = True
    rim = flux[..., ~inner]
    level = np.nanmedian(rim, axis=-1)
    noise = 1.4826 * np.nanmedian(np.abs(rim - level[..., None]), axis=-1)
    extent = np.nanmax(flux, axis=(-2, -1)) - np.nanmin(flux, axis=(-2, -1))
    return level, np.where(noise > 1e-5 * extent, noise, extent / 1000)


def check(flux: NDArray[np.float64]) -> None:
    sky = estimate_sky(flux)
    level, noise = expected(flux)
    np.testing.assert_array_equal(sky.level, level)
    np.testing.assert_array_equal(sky.noise, noise)


@pytest.mark.parametrize("shape", [(2, 1, 2, 2), (3, 2, 3, 3), (2, 3, 7, 10), (4, 2, 32, 32)])
@pytest.mark.parametrize("holes", [False, True])
def test_odd_and_even_rims(shape: tuple[int, ...], holes: bool) -> None:
    flux = np.random.default_rng(0).normal(5, 2, shape)
    if holes:
        flux[0, 0, 0, 1:] = np.nan
    check(flux)


def test_a_hole_changes_only_its_own_band() -> None:
    flux = simulate(4, size=32)[0].astype(np.float64)
    whole = estimate_sky(flux)
    flux[1, 0, :3] = np.nan
    other = estimate_sky(flux)
    same = np.ones((4, flux.shape[1]), dtype=bool)
    same[1, 0] = False
    for a, b in ((whole.level, other.level), (whole.noise, other.noise)):
        np.testing.assert_array_equal(a[same], b[same])
        assert a[1, 0] != b[1, 0]


@pytest.mark.parametrize("name", ["hsc_grizy_fits_32", "sdss_ugriz_fits", "ceers_7band_fits"])
def test_real_cutouts(name: str, real_data: Callable[[str], Path]) -> None:
    cutouts = open_set(real_data(name), count=20)
    flux = cutouts.read(range(len(cutouts))).astype(np.float64)
    check(flux)
    flux[::3, :, :2] = np.nan
    check(flux)


def test_bands_without_a_number_have_no_sky() -> None:
    flux = np.full((2, 1, 8, 8), np.nan)
    flux[1] = 3
    sky = estimate_sky(flux)
    assert sky.level[:, 0].tolist() == [0, 3]
    assert sky.noise[:, 0].tolist() == [0, 0]
