"""Named quantities against the simulator's truth, and what cannot be measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate, spec
from galgen.errors import ConfigError
from galgen.measure.quantities import measure_numbers, why_not

GRI = ImageSpec(32, ("g", "r", "i"), "nanomaggy", (22.5, 22.5, 22.5), pixel_scale=0.2)


@pytest.fixture(scope="module")
def measured() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    flux, truth = simulate(150, size=32, seed=3)
    names = ("mag_r", "g-r", "r_half", "ellipticity")
    found = measure_numbers(flux, spec(32), names)
    want = np.column_stack(
        [truth["mag_r"], truth["mag_g"] - truth["mag_r"], truth["r_half"], truth["ellipticity"]]
    )
    assert found.shape == want.shape
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    return found, want


# A Kron aperture misses some percent of the light, and the PSF of 0.7" widens galaxies.
@pytest.mark.parametrize(
    ("column", "bias", "scatter", "correlation"),
    [
        pytest.param(0, (0.0, 0.08), 0.12, 0.99, id="magnitude"),
        pytest.param(1, (-0.02, 0.02), 0.08, 0.98, id="colour"),
        pytest.param(2, (0.05, 0.2), 0.12, 0.9, id="half-light radius"),
        pytest.param(3, (-0.2, -0.03), 0.25, 0.6, id="ellipticity"),
    ],
)
def test_against_the_truth(
    measured: tuple[np.ndarray, dict[str, np.ndarray]],
    column: int,
    bias: tuple[float, float],
    scatter: float,
    correlation: float,
) -> None:
    found, want = (table[:, column] for table in measured)
    assert bias[0] < float((found - want).mean()) < bias[1]
    assert float((found - want).std()) < scatter
    assert np.corrcoef(found, want)[0, 1] > correlation


def test_the_radius_is_in_arcsec_where_the_scale_is_known_else_in_pixels() -> None:
    flux, _ = simulate(3, size=32)
    arcsec = measure_numbers(flux, GRI, ["r_half"])
    pixels = measure_numbers(flux, GRI.replace(pixel_scale=None), ["r_half"])
    np.testing.assert_allclose(arcsec, 0.2 * pixels)


def test_the_order_of_names_chunks_and_tensors_change_nothing() -> None:
    flux, _ = simulate(70, size=16)
    about = spec(16)
    done: list[int] = []
    one = measure_numbers(torch.from_numpy(flux), about, ["g-i", "mag_i"], progress=done.append)
    other = measure_numbers(flux[::-1].copy(), about, ["mag_i", "g-i"])[::-1, ::-1]
    np.testing.assert_array_equal(one, other)
    assert sum(done) == 70
    assert len(done) > 1


def test_what_is_not_detected_is_nan() -> None:
    flux, _ = simulate(2, size=32)
    flux[1] = 0
    values = measure_numbers(flux, GRI, ["mag_r", "r_half"])
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()


def test_pictures_have_instrumental_magnitudes() -> None:
    flux, _ = simulate(2, size=32)
    about = ImageSpec(32, ("R", "G", "B"), display=True)
    values = measure_numbers(np.clip(40 * flux, 0, 255), about, ["mag_R", "mag_r", "B-R"])
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values[:, 0], values[:, 1])
    assert why_not("mag_r", about) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mag_z", "no band 'z'"),
        ("g-z", "the bands are g, r, i"),
        ("g-g", "difference of a band and itself"),
        ("redshift", "can be measured"),
        ("mag_", "can be measured"),
        ("-", "can be measured"),
    ],
)
def test_what_cannot_be_measured_says_so(name: str, words: str) -> None:
    reason = why_not(name, GRI)
    assert reason is not None
    assert words in reason
    with pytest.raises(ConfigError, match=re.escape(reason)):
        measure_numbers(np.zeros((1, 3, 32, 32)), GRI, [name])


def test_bands_with_a_minus_in_their_name() -> None:
    about = ImageSpec(16, ("F606W-deep", "F814W"), "nanomaggy", (22.5, 22.5))
    assert why_not("F606W-deep-F814W", about) is None
    flux = np.abs(simulate(1, size=16, bands=("g", "r"))[0])
    colour, blue, red = measure_numbers(
        flux, about, ["F606W-deep-F814W", "mag_F606W-deep", "mag_F814W"]
    )[0]
    assert colour == pytest.approx(blue - red)
