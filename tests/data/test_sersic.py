"""The simulated set: flux, sizes, colours and repeatability against independent integrals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammainc, gammaincinv

from galgen.data.sersic import default_depth, simulate, spec
from galgen.data.sersic_light import wavelength
from galgen.data.sersic_profile import levy_density, sersic_gaussians
from galgen.data.sersic_render import render
from galgen.errors import ConfigError

HUBBLE = ("F814W", "F606W", "F450W")


@pytest.mark.parametrize(
    ("band", "nm"),
    [
        ("g", 477), ("HSC-G", 530), ("hsc_g", 477), ("Y", 1020), ("y", 975), ("Ks", 2150),
        ("F435W", 435), ("f814w", 814), ("ACS_F850LP", 850), ("F300W", 300), ("F105W", 1050),
        ("F160W", 1600), ("F070W", 700), ("F115W", 1150), ("F200W", 2000), ("F277W", 2770),
        ("F322W2", 3220), ("F410M", 4100), ("F444W", 4440), ("F1000W", 10000), ("620nm", 620),
        ("1.5um", 1500), ("R", 640), ("SDSS.r", 620),
    ],
)  # fmt: skip
def test_wavelength_of_a_band_by_its_name(band: str, nm: float) -> None:
    assert wavelength(band) == nm


@pytest.mark.parametrize("band", ["", "foo", "F12W", "0", "g1", "nm", "1nm", "F814"])
def test_an_unknown_band_gets_the_forms_that_are_understood(band: str) -> None:
    with pytest.raises(ConfigError, match=r"F606W.*620nm.*--bands"):
        simulate(1, bands=("g", band))


def test_levy_density_of_one_half_has_a_closed_form() -> None:
    s = np.geomspace(0.02, 100, 50)
    want = s**-1.5 * np.exp(-0.25 / s) / (2 * np.sqrt(np.pi))
    np.testing.assert_allclose(levy_density(s, 0.5), want, rtol=1e-6)


@pytest.mark.parametrize(("n", "nodes"), [(1.0, 7), (1.0, 12), (2.0, 12), (4.0, 12), (5.0, 12)])
def test_gaussians_add_up_to_a_sersic_profile(n: float, nodes: int) -> None:
    sigma, weight = sersic_gaussians(n, nodes)
    assert weight.sum() == pytest.approx(1.0)
    assert (weight > 0).all()
    r = np.geomspace(0.05, 6.0, 60)
    growth = (weight * -np.expm1(-0.5 * (r[:, None] / sigma) ** 2)).sum(1)
    want = gammainc(2 * n, gammaincinv(2 * n, 0.5) * r ** (1 / n))
    np.testing.assert_allclose(growth, want, atol=0.006)


@pytest.mark.parametrize("psf_sigma", [0.0, 0.4, 1.0, 2.0])
def test_rendering_integrates_gaussians_over_pixels(psf_sigma: float) -> None:
    """Against the error function, for a round source off the middle of a pixel."""
    from scipy.special import ndtr

    x, y, own = 0.37, -1.21, 0.8
    numbers = (np.full((1, 1), v) for v in (x, y, own**2, 0.0, own**2))
    got = render(*numbers, flux=np.ones((1, 2, 1)), size=15, psf_sigma=psf_sigma)
    sigma = np.hypot(own, psf_sigma)
    edges = np.arange(16) - 7.5
    column, row = (np.diff(ndtr((edges - c) / sigma)) for c in (x, y))
    # without a PSF the source is widened by a tenth of a pixel
    tolerance = 1.5e-3 if psf_sigma else 1e-2
    np.testing.assert_allclose(got[0, 1], row[:, None] * column, atol=tolerance * row.max())
    np.testing.assert_array_equal(got[0, 0], got[0, 1])


@pytest.mark.parametrize("psf", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("bands", [("r",), ("g", "r", "i"), ("u", "g", "r", "i", "z", "J", "K")])
def test_flux_in_a_large_frame_is_the_true_magnitude(psf: float, bands: tuple[str, ...]) -> None:
    flux, truth = simulate(8, size=200, frame=20, bands=bands, psf_fwhm=psf, noise=False)
    for c, band in enumerate(bands):
        want = 10 ** (-0.4 * (truth[f"mag_{band}"] - 22.5))
        np.testing.assert_allclose(flux[:, c].sum((1, 2), dtype=float), want, rtol=0.01)


def test_half_light_radius_is_that_of_the_image() -> None:
    size, scale = 144, 0.1
    flux, truth = simulate(
        30, size=size, frame=48, bands=("r",), pixel_scale=scale, psf_fwhm=0, noise=False
    )
    axis = np.arange(size) - (size - 1) / 2
    inside = []
    for image, x, y, r in zip(
        flux[:, 0], truth["x"], truth["y"], truth["r_half_pixels"], strict=True
    ):
        distance = np.hypot(axis[:, None] - y, axis - x)
        order = np.argsort(distance, axis=None)
        total = 10 ** (-0.4 * (truth["mag_r"][len(inside)] - 22.5))
        growth = np.cumsum(image.ravel()[order]) / total
        inside.append(np.interp(r, distance.ravel()[order], growth))
    # irregular galaxies are counted as rings of Gaussians, which is rougher
    assert np.abs(np.median(inside) - 0.5) < 0.015
    assert np.abs(np.array(inside) - 0.5).max() < 0.08
    np.testing.assert_allclose(truth["r_half"], truth["r_half_pixels"] * scale)


def test_effective_index_follows_the_bulge() -> None:
    _, truth = simulate(600)
    index = truth["sersic_n_effective"]
    disk = (truth["bulge_fraction"] < 0.1) & truth["spiral"]
    bulge = truth["bulge_fraction"] > 0.9
    assert np.median(index[disk]) == pytest.approx(1.0, abs=0.4)
    assert np.median(index[bulge] / truth["sersic_n"][bulge]) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("noise", [True, False])
def test_a_galaxy_is_the_same_whatever_is_asked_with_it(noise: bool) -> None:
    flux, truth = simulate(150, size=16, noise=noise)
    for start, n in [(0, 1), (37, 1), (63, 2), (149, 1), (5, 90), (64, 64), (1, 149)]:
        part, rows = simulate(n, size=16, start=start, noise=noise)
        np.testing.assert_array_equal(part, flux[start : start + n])
        for name, column in rows.items():
            np.testing.assert_array_equal(column, truth[name][start : start + n])
    assert (truth["index"] == np.arange(150)).all()


def test_another_seed_is_another_set_and_no_two_galaxies_are_alike() -> None:
    one, _ = simulate(30, size=16)
    two, truth = simulate(30, size=16, seed=1)
    flat = np.concatenate([one, two]).reshape(60, -1)
    assert len(np.unique(flat, axis=0)) == 60
    assert (truth["seed"] == 1).all()


def test_parameters_do_not_depend_on_size_and_bands() -> None:
    _, small = simulate(20, size=32, bands=("g", "r"))
    _, large = simulate(20, size=64, bands=("r", "z", "H"))
    for name in ("kind", "bulge_fraction", "sersic_n", "position_angle"):
        np.testing.assert_array_equal(small[name], large[name])
    np.testing.assert_allclose(2 * small["r_half"], large["r_half"])
    np.testing.assert_allclose(small["mag_r"] - large["mag_r"], 5 * np.log10(2))


def test_noise_has_the_depth_that_was_asked_for() -> None:
    depth, fwhm, scale = 24.0, 0.8, 0.2
    options = {"size": 32, "frame": 12, "bands": ("r",), "psf_fwhm": fwhm, "pixel_scale": scale}
    noisy, _ = simulate(60, depth=depth, **options)
    clean, _ = simulate(60, noise=False, **options)
    sigma = (noisy - clean)[:, :, :4].std()
    # a PSF-weighted measurement of a point source has variance sigma^2 / sum(psf^2)
    axis = np.arange(33) - 16
    psf = np.exp(-0.5 * (axis**2 + axis[:, None] ** 2) * (2.3548 * scale / fwhm) ** 2)
    psf /= psf.sum()
    limit = 5 * sigma / np.sqrt((psf**2).sum())
    assert 22.5 - 2.5 * np.log10(limit) == pytest.approx(depth, abs=0.03)


def test_bright_pixels_have_photon_noise() -> None:
    noisy, _ = simulate(300, bands=("r",), depth=25)
    clean, _ = simulate(300, bands=("r",), noise=False)
    deviation = noisy - clean
    bright = clean > np.quantile(clean, 0.999)
    assert deviation[bright].std() > 2 * deviation[clean < np.quantile(clean, 0.3)].std()


def test_signal_to_noise_is_that_of_the_noise_added() -> None:
    clean, truth = simulate(400, noise=False, depth=23.5)
    noisy, again = simulate(400, depth=23.5)
    np.testing.assert_array_equal(truth["snr"], again["snr"])
    weight = clean / (clean**2).sum((2, 3), keepdims=True)
    measured = (noisy * weight).sum((2, 3))
    # for sky-limited sources the matched filter has an error of 1 / snr
    for c, band in enumerate("gri"):
        faint = truth[f"snr_{band}"] < 60
        pull = (measured[faint, c] - 1) * truth[f"snr_{band}"][faint]
        assert faint.sum() > 50
        assert pull.std() == pytest.approx(1.0, abs=0.2)
    combined = sum(truth[f"snr_{b}"] ** 2 for b in "gri")
    np.testing.assert_allclose(truth["snr"] ** 2, combined)


def test_colours_have_a_red_sequence_and_a_blue_cloud() -> None:
    _, truth = simulate(1500)
    colour = truth["mag_g"] - truth["mag_r"]
    early, spiral, late = (colour[truth["kind"] == k] for k in range(3))
    assert np.median(early) > np.median(spiral) + 0.3
    assert np.median(spiral) > np.median(late)
    low_redshift = (truth["kind"] == 0) & (truth["redshift"] < 0.25)
    bright = truth["mag_r"] < np.median(truth["mag_r"][low_redshift])
    assert np.std(colour[low_redshift & bright]) < 0.25
    assert 0.5 < np.median(colour[low_redshift]) < 1.2


def test_bulges_are_redder_than_disks_in_the_image() -> None:
    flux, truth = simulate(200, size=48, noise=False)
    axis = np.arange(48) - 23.5
    distance = np.hypot(axis, axis[:, None])
    chosen = truth["spiral"] & (truth["bulge_fraction"] > 0.15)
    r_half = truth["r_half_pixels"][chosen]
    ratios = []
    for image, r in zip(flux[chosen], r_half, strict=True):
        inner, outer = distance < r, (distance > 1.5 * r) & (distance < 3 * r)
        ratios.append(
            image[2, inner].sum() / image[0, inner].sum()
            / (image[2, outer].sum() / image[0, outer].sum())
        )  # fmt: skip
    assert len(ratios) > 10
    assert np.mean(np.array(ratios) > 1) > 0.9


def test_all_kinds_and_inclinations_occur() -> None:
    _, truth = simulate(500)
    share = np.bincount(truth["kind"], minlength=3) / 500
    assert (share > 0.1).all()
    assert truth["ellipticity"].min() >= 0
    assert truth["ellipticity"].max() > 0.75
    assert ((truth["position_angle"] >= 0) & (truth["position_angle"] < 180)).all()
    assert np.isnan(truth["pitch"][~truth["spiral"]]).all()
    assert set(truth["n_arms"][truth["spiral"]]) == {2, 3, 4}


def test_position_angle_and_ellipticity_are_those_of_the_image() -> None:
    flux, truth = simulate(80, size=72, frame=36, bands=("r",), psf_fwhm=0.2, noise=False)
    axis = np.arange(72) - 35.5
    smooth = (truth["bulge_fraction"] > 0.8) & (truth["ellipticity"] > 0.3)
    assert smooth.sum() > 3
    for image, x, y, angle in zip(
        flux[smooth, 0],
        *(truth[k][smooth] for k in ("x", "y", "position_angle")),
        strict=True,
    ):
        dx, dy = axis - x, axis[:, None] - y
        xx, yy, xy = ((image * m).sum() for m in (dx**2, dy**2, dx * dy))
        got = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 180
        assert abs((got - angle + 90) % 180 - 90) < 3


@pytest.mark.parametrize(
    ("bands", "scale", "fwhm"),
    [
        (("g", "r", "i"), 0.2, 0.7),
        (HUBBLE, 0.05, 0.1),
        (("F115W", "F444W"), 0.03, 0.07),
        (("F435W", "g"), 0.2, 0.7),
    ],
)
def test_spec_knows_the_telescope_from_the_bands(
    bands: tuple[str, ...], scale: float, fwhm: float
) -> None:
    about = spec(40, bands)
    assert about.shape == (len(bands), 40, 40)
    assert about.pixel_scale == scale
    assert about.psf_fwhm == (fwhm,) * len(bands)
    assert about.unit == "nanomaggy"
    assert set(about.zero_points) == {22.5}
    assert about.photometric
    assert len(default_depth(bands, scale)) == len(bands)


def test_each_band_has_its_own_psf() -> None:
    flux, _ = simulate(20, bands=("r", "i"), psf_fwhm=(0.5, 1.5), noise=False)
    peak = flux.max((2, 3)) / flux.sum((2, 3))
    assert (peak[:, 0] > 1.2 * peak[:, 1]).all()
    alone, _ = simulate(20, bands=("i",), psf_fwhm=1.5, noise=False)
    np.testing.assert_allclose(flux[:, 1:], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_bands", [1, 3, 5, 7])
def test_any_number_of_bands_and_odd_sizes(n_bands: int) -> None:
    bands = ("u", "g", "r", "i", "z", "y", "J")[:n_bands]
    flux, truth = simulate(3, size=17, bands=bands)
    assert flux.shape == (3, n_bands, 17, 17)
    assert flux.dtype == np.float32
    assert np.isfinite(flux).all()
    assert all(len(column) == 3 for column in truth.values())


def test_jwst_galaxies_are_bright_enough_to_see() -> None:
    _, truth = simulate(50, bands=("F115W", "F200W", "F444W"))
    assert np.median(truth["snr"]) > 20


def test_none_asked_for_is_none_with_the_same_columns() -> None:
    flux, truth = simulate(0)
    assert flux.shape == (0, 3, 32, 32)
    assert truth.keys() == simulate(1)[1].keys()
    assert all(len(column) == 0 for column in truth.values())


@pytest.mark.parametrize(
    "options",
    [
        {"n": -1}, {"start": -1}, {"seed": -1}, {"size": 3}, {"bands": ()}, {"bands": ("g", "g")},
        {"pixel_scale": 0}, {"pixel_scale": float("nan")}, {"psf_fwhm": -1},
        {"psf_fwhm": (1, 2)}, {"depth": (25, 26)}, {"depth": float("nan")}, {"frame": 0},
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    n = int(str(options.pop("n", 1)))
    with pytest.raises(ConfigError):
        simulate(n, **options)  # type: ignore[arg-type]
