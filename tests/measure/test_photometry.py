"""Photometry against known fluxes, photutils itself, and images that hold nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.errors import ConfigError
from galgen.measure.photometry import (
    COSMOLOGY,
    Method,
    absolute_magnitude,
    magnitude,
    measure,
)
from galgen.metrics.magnitudes import catalogue_magnitudes

METHODS = ["kron", "dilated", "aperture"]
GRI = ImageSpec(32, ("g", "r", "i"), "nanomaggy", (22.5, 22.5, 22.5))


@pytest.mark.parametrize("method", METHODS)
def test_known_fluxes_come_back(galaxies: Callable[..., Tensor], method: Method) -> None:
    columns = measure(galaxies(20, scatter=0.0), GRI, method=method)
    assert columns["detected"].all()
    truth = 22.5 - 2.5 * np.log10([3000.0, 6000.0, 9000.0])
    for band, expected in zip(GRI.bands, truth, strict=True):
        assert np.median(columns[f"mag_{band}"]) == pytest.approx(expected, abs=0.03)
    assert np.median(columns["colour"]) == pytest.approx(2.5 * np.log10(2), abs=0.01)
    assert np.abs(columns["x"] - 15.5).max() < 0.5
    assert (columns["magnitude"] == columns["mag_r"]).all()


def test_kron_is_that_of_photutils(galaxies: Callable[..., Tensor]) -> None:
    is_that_of_photutils(galaxies(1), GRI)


def test_so_it_is_among_neighbours_and_at_the_rim(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(3, size=64)
    # Eight in a row, opposite ones in the second image, one that the aperture meets, and a rim.
    for k in range(8):
        images[:, :, 3:7, 4 + 7 * k : 7 + 7 * k] += 60
    images[1, :, 57:61, 20:44] += 60
    images[1, :, 22:25, 38:42] += 60
    images[1, :, 39:42, 22:26] += 60
    images[2] = torch.roll(images[2], 14, dims=1)
    images[2, :, :, -4:] += 60
    is_that_of_photutils(images, GRI.replace(size=64))


def is_that_of_photutils(images: Tensor, spec: ImageSpec) -> None:
    from photutils.segmentation import SourceCatalog, detect_sources
    from scipy.ndimage import gaussian_filter

    from galgen.measure.photometry import estimate_sky, reference_image

    pixels = images.double().numpy()
    sky = estimate_sky(pixels)
    residual = pixels - sky.level[:, :, None, None]
    references = reference_image(residual, sky.noise)
    columns = measure(images, spec)
    assert columns["detected"].all()
    for k, reference in enumerate(references):
        smooth = gaussian_filter(reference, 1.0, truncate=3.0)
        threshold = 3 * estimate_sky(smooth[None, None]).noise[0, 0]
        segments = detect_sources(smooth, threshold, max(5, spec.size // 8))
        detection = SourceCatalog(reference, segments)
        place = round(float(columns["y"][k])), round(float(columns["x"][k]))
        row = segments.get_index(segments.data[place])
        for c, band in enumerate(spec.bands):
            other = SourceCatalog(residual[k, c], segments, detection_catalog=detection)
            want = float(other.kron_flux[row])
            assert columns[f"flux_{band}"][k] == pytest.approx(want, rel=1e-9)
        half = float(detection.flux_radius(0.5)[row].value)
        assert columns["r_half"][k] == pytest.approx(half, rel=1e-9)
        assert columns["radius"][k] == pytest.approx(detection.kron_aperture[row].a, rel=1e-9)


def test_a_neighbour_far_brighter_is_not_the_galaxy(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(4, scatter=0.0, flux=1000.0)
    alone = measure(images, GRI)
    images[:, :, 2:5, 2:5] += 500
    columns = measure(images, GRI)
    assert np.abs(columns["x"] - 15.5).max() < 1.5
    assert np.abs(columns["mag_r"] - alone["mag_r"]).max() < 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("display", [False, True])
def test_images_that_hold_nothing(method: Method, display: bool) -> None:
    rng = np.random.default_rng(1)
    images = np.zeros((7, 2, 24, 24), dtype=np.float32)
    images[1] = 7
    images[2] = np.nan
    images[3] = -3
    images[4] = rng.normal(size=images[4].shape) * 0.01
    images[5] = np.inf
    images[6, 0] = np.nan
    spec = ImageSpec(24, ("a", "b"), display=display)
    columns = measure(images, spec, method=method)
    assert not columns["detected"].any()
    for name, column in columns.items():
        assert len(column) == 7
        assert name == "detected" or np.isnan(column).all()


def test_pure_noise_is_rarely_a_galaxy() -> None:
    rng = np.random.default_rng(2)
    for size, n in ((32, 300), (128, 20)):
        noise = rng.normal(size=(n, 3, size, size))
        spec = GRI.replace(size=size)
        assert measure(noise, spec, method="aperture")["detected"].mean() < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_odd_but_real_images(galaxies: Callable[..., Tensor], method: Method) -> None:
    images = galaxies(5, scatter=0.0)
    clean = measure(images, GRI, method=method)
    pedestal = measure(images + 1000, GRI, method=method)
    np.testing.assert_allclose(pedestal["mag_r"], clean["mag_r"], atol=1e-3)
    noiseless = measure(galaxies(5, scatter=0.0, noise=0.0), GRI, method=method)
    assert np.abs(noiseless["mag_r"] - clean["mag_r"]).max() < 0.1
    holes = images.clone()
    holes[:, :, 3, :] = float("nan")
    patched = measure(holes, GRI, method=method)
    assert np.abs(patched["mag_r"] - clean["mag_r"]).max() < 0.1
    clipped = measure(images.clamp(0, 255).round(), GRI.replace(display=True), method=method)
    assert clipped["detected"].all()
    assert np.isfinite(clipped["mag_r"]).all()


def test_a_band_without_flux_fails_alone(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(3)
    images[:, 0] = -5 * images[:, 1]
    images[:, 2] *= 3
    columns = measure(images, GRI)
    assert columns["detected"].all()
    assert np.isnan(columns["mag_g"]).all()
    assert np.isnan(columns["colour"]).all()
    assert np.isfinite(columns["mag_i"]).all()


def test_display_and_unknown_zero_points_are_instrumental(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(2)
    for spec in (GRI.replace(display=True), GRI.replace(zero_points=(None, None, None))):
        np.testing.assert_allclose(
            measure(images, spec)["mag_r"], measure(images, GRI)["mag_r"] - 22.5, atol=0.02
        )


def test_one_band_has_no_colour(galaxies: Callable[..., Tensor]) -> None:
    columns = measure(galaxies(2, bands=1), ImageSpec(32, ("r",)))
    assert "colour" not in columns
    assert np.isfinite(columns["magnitude"]).all()


def test_magnitudes() -> None:
    values = magnitude([1.0, 100.0, 0.0, -1.0, np.nan], 22.5)
    np.testing.assert_allclose(values[:2], [22.5, 17.5])
    assert np.isnan(values[2:]).all()
    assert magnitude(10.0, None) == pytest.approx(-2.5)


def test_absolute_magnitude_is_that_of_astropy() -> None:
    from astropy.cosmology import WMAP9, Planck18

    assert COSMOLOGY == "Planck18"
    z = np.array([0.001, 0.05, 0.7, 3.0])
    for name, cosmology in (("Planck18", Planck18), ("WMAP9", WMAP9)):
        found = absolute_magnitude(np.full(4, 20.0), z, name)
        np.testing.assert_allclose(found, 20 - cosmology.distmod(z).value, rtol=1e-12)
    np.testing.assert_array_equal(absolute_magnitude(20.0, z), 20 - Planck18.distmod(z).value)
    assert np.isnan(absolute_magnitude([20.0, 20.0, 20.0], [0.0, np.nan, -1.0])).all()
    with pytest.raises(ConfigError, match="no cosmology 'Planck81': take one of"):
        absolute_magnitude(20.0, 0.1, "Planck81")


def test_absolute_magnitude_has_the_ten_parsecs_once() -> None:
    # At z << 1 the distance is c z / H0: m - M = 5 log10(d / 10 pc).
    from astropy.cosmology import Planck18

    d = 299792.458 * 0.001 / Planck18.H0.value * 1e6
    found = float(absolute_magnitude(20.0, 0.001))
    assert found == pytest.approx(20 - 5 * np.log10(d / 10), abs=0.01)
    # SCIENCE 1.T: the thesis takes away the modulus and adds 5 mag again.
    thesis = 20 - float(Planck18.distmod(0.001).value) + 5
    assert found == pytest.approx(thesis - 5.0, abs=1e-9)


def test_absolute_magnitude_is_a_column(galaxies: Callable[..., Tensor]) -> None:
    columns = measure(galaxies(2), GRI, redshift=[0.1, 0.2])
    modulus = columns["magnitude"] - columns["absolute_magnitude"]
    np.testing.assert_allclose(modulus, [38.4, 40.0], atol=0.15)


def test_the_cosmology_of_a_column_can_be_chosen(galaxies: Callable[..., Tensor]) -> None:
    images = galaxies(2)
    here, there = (
        measure(images, GRI, redshift=[0.1, 0.2], cosmology=name) for name in (COSMOLOGY, "WMAP5")
    )
    moved = there["absolute_magnitude"] - here["absolute_magnitude"]
    assert (np.abs(moved) > 0.01).all()
    assert (np.abs(moved) < 0.2).all()


def test_wrong_shapes_and_methods_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        measure(torch.zeros(2, 2, 32, 32), GRI)
    with pytest.raises(ValueError, match="kron, dilated or aperture, not 'petrosian'"):
        measure(torch.zeros(2, 3, 32, 32), GRI, method="petrosian")  # type: ignore[arg-type]


def test_a_segment_grows_until_its_flux_does_not() -> None:
    from scipy.ndimage import binary_dilation

    from galgen.measure.apertures import dilated

    rows, columns = np.indices((33, 33)) - 16
    radius = np.hypot(rows, columns)
    labels = (radius < 3).astype(np.int32)
    labels[12:20, 22:25] = 2
    # Each ring of pixels adds 20 % of the flux so far, four times, then nothing.
    reference, segment = labels.astype(float) * (labels == 1), labels == 1
    steps = [segment]
    for k in range(6):
        grown = binary_dilation(steps[-1], np.ones((3, 3))) & (labels != 2)
        ring = grown & ~steps[-1]
        reference[ring] = 0.2 * reference[steps[-1]].sum() / ring.sum() if k < 4 else 0.0
        steps.append(grown)
    reference[labels == 2] = 50.0
    bands = np.stack([reference, np.ones_like(reference)])
    x, y, size, half, ellipticity, flux, pixels = dilated(bands, reference, labels, 1)
    # Four that grow and the one that shows that it is enough; the neighbour's pixels never count.
    assert pixels == steps[5].sum()
    assert flux == pytest.approx(reference[steps[5]].sum())
    assert (labels == 2)[steps[5]].sum() == 0
    assert size == pytest.approx(np.sqrt(pixels / np.pi))
    assert (x, y) == pytest.approx((16, 16))
    assert ellipticity == pytest.approx(0, abs=1e-9)
    inside = reference[steps[5] & (radius < half)].sum()
    assert inside == pytest.approx(flux / 2, rel=0.2)
    # Light without end stops after six.
    steep = 1.2 ** np.abs([rows, columns]).max(axis=0)
    alone = (labels == 1).astype(np.int32)
    last = dilated(np.ones((1, 33, 33)), steep, alone, 1)[5]
    assert last == binary_dilation(alone, np.ones((3, 3)), iterations=6).sum()


@pytest.mark.parametrize(
    ("method", "bias", "scatter", "colour"),
    [
        ("kron", 0.035, 0.04, 0.01),
        ("dilated", 0.02, 0.04, 0.01),
        ("aperture", 0.06, 0.08, 0.013),
    ],
)
def test_against_the_truth_of_bright_galaxies(
    method: Method, bias: float, scatter: float, colour: float
) -> None:
    flux, truth = simulate(150, size=64, seed=7)
    about = sersic_spec(64)
    bright = np.minimum(truth["snr_g"], truth["snr_r"]).astype(float) > 50
    assert bright.sum() > 100
    truth = {name: column[bright] for name, column in truth.items()}
    found = catalogue_magnitudes(measure(flux[bright], about, method=method), truth, about)
    assert found["mag_r"]["failures"] == 0
    assert abs(found["mag_r"]["bias"]) < bias
    assert found["mag_r"]["scatter"] < scatter
    assert abs(found["g-r"]["bias"]) < 0.005
    assert found["g-r"]["scatter"] < colour


@pytest.mark.parametrize("method", METHODS)
def test_two_odd_images_warn_of_nothing(method: Method) -> None:
    import warnings

    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 3, 32, 32))
    images[0, :, 14:18, 15] += 1e6
    images[1] = 0
    images[1, :, 16, 16] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns = measure(images, GRI, method=method)
        assert len(measure(images[:0], GRI, method=method)["x"]) == 0
    assert columns["detected"].tolist() == [True, True]
    assert np.isfinite(columns["mag_r"]).all()
    assert np.isfinite(columns["r_half"]).all()


def test_on_real_galaxies(real_data: Callable[[str], Path]) -> None:
    from astropy.io import fits

    paths = sorted(real_data("hsc_grizy_fits_32").glob("*.fits"))[:40]
    images = np.stack([fits.getdata(path).astype(np.float32) for path in paths])
    spec = ImageSpec(32, ("g", "r", "i", "z", "y"), "count", (27.0,) * 5, 0.168)
    kron, circle = (measure(images, spec, method=m) for m in ("kron", "aperture"))
    assert kron["detected"].mean() > 0.5
    good = np.isfinite(kron["colour"]) & np.isfinite(circle["colour"])
    assert abs(np.median(kron["colour"][good] - circle["colour"][good])) < 0.05
    assert 15 < np.median(kron["magnitude"][good]) < 28
