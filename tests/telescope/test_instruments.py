"""Presets: their bands by any name, their noise in a model's unit, and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from galgen.bands import ImageSpec, zero_point_of_unit
from galgen.errors import ConfigError
from galgen.telescope import Telescope, instruments, prepare
from galgen.telescope.instruments import Filter, preset, resolve
from galgen.telescope.noise import Noise

NAMES = ["sdss", "hsc", "des", "lsst", "euclid-vis", "hst-acs", "jwst-nircam"]


def spec(*bands: str, scale: float = 0.1, zero: float = 22.5) -> ImageSpec:
    return ImageSpec(64, bands, "nanomaggy", (zero,) * len(bands), scale, (0.02,) * len(bands))


def sigma(telescope: Telescope, about: ImageSpec) -> np.ndarray:
    """Noise of the empty sky per pixel, in the model's unit."""
    made = resolve(telescope, about)
    assert made.noise is not None
    noise = Noise.read_text(made.noise, about.bands)
    sky, gain, read = (np.array(part) for part in (noise.sky, noise.gain, noise.read))
    return np.sqrt(sky / gain + (read / gain) ** 2)


def test_every_preset_says_where_its_numbers_are_from() -> None:
    assert list(instruments()) == NAMES
    for name, found in instruments().items():
        assert found.name == name
        assert len(found.source) > 80
        assert 0.02 < found.pixel_scale < 0.5
        for band in found.bands.values():
            assert isinstance(band, Filter)
            assert 0.03 < band.fwhm < 2
            assert 20 < band.zero < 30
            assert 17 < band.sky < 24
            assert band.exposure * band.times > 50
            assert band.detector >= found.pixel_scale


def test_bands_by_any_name() -> None:
    sdss = instruments()["sdss"]
    for name in ("r", "R", " r ", "SDSS-r", "hsc_r", "DECam.R"):
        assert sdss.band(name) is sdss.bands["r"]
    assert sdss.band("F814W") is None
    assert sdss.band("gr") is None
    acs = instruments()["hst-acs"]
    assert acs.band("ACS_F814W") is acs.band("f814w") is acs.bands["F814W"]
    vis = instruments()["euclid-vis"]
    assert vis.band("IE") is vis.band("euclid-vis") is vis.bands["VIS"]


def test_a_preset_becomes_numbers_and_can_be_overridden() -> None:
    about = spec("g", "r")
    made = resolve(Telescope.of(instrument="HSC"), about)
    assert (made.name, made.instrument, made.psf) == ("hsc", None, "g=0.79,r=0.75")
    assert made.pixel_scale == 0.168
    own = Telescope.of(instrument="hsc", psf="0.8", noise="sigma=0.1", pixel_scale=0.2)
    made = resolve(own, about)
    assert (made.psf, made.noise, made.pixel_scale) == ("0.8", "sigma=0.1", 0.2)
    view = prepare(own, about, layered=True, grained=True)
    assert view.spec.size == 32
    assert view.spec.psf_fwhm == pytest.approx((0.8, 0.8))
    assert view.cards["telescope"] == "hsc"


def test_noise_is_that_of_the_electrons() -> None:
    """A source and its noise in electrons by hand."""
    about = spec("r", zero=27.0, scale=0.2)
    lsst = instruments()["lsst"].bands["r"]
    seconds = lsst.exposure * lsst.times
    sky = 10 ** (0.4 * (lsst.zero - lsst.sky)) * 0.04 * seconds
    electrons = np.sqrt(sky + lsst.times * lsst.read**2)
    unit = 10 ** (0.4 * (lsst.zero - 27.0)) * seconds
    assert sigma(Telescope.of(instrument="lsst"), about) == pytest.approx([electrons / unit])
    # Half a pixel has a quarter of the sky and, of a finer detector, half of the read noise.
    fine = sigma(Telescope.of(instrument="lsst", pixel_scale=0.1), about)
    assert fine == pytest.approx([electrons / unit / 2])


def test_surface_brightness_has_the_same_noise_in_magnitudes() -> None:
    bands = ("F200W", "F444W")
    flux = spec(*bands, scale=0.04)
    zero = zero_point_of_unit("MJy/sr", 0.04)
    bright = ImageSpec(64, bands, "MJy/sr", (zero, zero), 0.04, (0.02, 0.02))
    webb = Telescope.of(instrument="jwst-nircam", pixel_scale=0.08)
    zero = zero_point_of_unit("MJy/sr", 0.08)
    assert zero is not None
    in_flux = sigma(webb, bright) * 10 ** (0.4 * (22.5 - zero))
    assert in_flux == pytest.approx(sigma(webb, flux), rel=1e-5)


@pytest.mark.parametrize(
    ("asked", "about", "words"),
    [
        ({"instrument": "hubble"}, spec("r"), "--instrument hubble: .*choose of sdss, hsc"),
        ({"instrument": "eucild-vis"}, spec("r"), "did you mean euclid-vis"),
        ({"instrument": "des"}, spec("r", "K", "u"), "has no band K, u, only g, r, i, z: use"),
        (
            {"instrument": "hsc"},
            spec("r").replace(zero_points=(None,)),
            "zero point .* in r is not",
        ),
        ({"instrument": "hsc"}, spec("r").replace(pixel_scale=None), "how large .* not known"),
        ({"instrument": "hsc"}, ImageSpec(8, ("r",), display=True), "makes pictures"),
    ],
)
def test_what_cannot_be(asked: dict[str, str], about: ImageSpec, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        resolve(Telescope.of(**asked), about)
    assert str(caught.value).count(". ") == 0


def test_without_zero_points_the_noise_can_be_said() -> None:
    about = spec("r").replace(zero_points=(None,))
    assert resolve(Telescope.of(instrument="hsc", noise="sigma=1"), about).noise == "sigma=1"
    assert preset("Euclid_VIS").name == "euclid-vis"


def test_sdss_has_the_noise_of_sdss(real_data: object) -> None:
    """Sky of real cutouts of one field, by the differences of neighbours along the edges."""
    folder = real_data("sdss_ugriz_fits")  # type: ignore[operator]
    from galgen.io import read_cutout

    found = []
    for path in sorted(folder.glob("*.fits"))[:40]:
        flux = read_cutout(path).pixels.astype(float)
        steps = np.diff(flux, axis=2)[:, :, ::2]
        edge = np.concatenate([steps[:, :4], steps[:, -4:]], axis=1).reshape(len(flux), -1)
        found.append(1.4826 * np.median(np.abs(edge), axis=1) / np.sqrt(2))
    about = spec("u", "g", "r", "i", "z", scale=0.396)
    ratio = np.median(found, axis=0) / sigma(Telescope.of(instrument="sdss"), about)
    assert ratio[2] == pytest.approx(1, abs=0.1)
    assert ((ratio > 0.7) & (ratio < 1.4)).all()


def test_the_command_names_them_all(repository: Path) -> None:
    assert ", ".join(NAMES) in (repository / "cli" / "galgen_cli" / "sample.py").read_text()


def test_the_page_lists_what_the_file_says(repository: Path) -> None:
    page = (repository / "docs" / "telescopes.md").read_text()
    rows = [
        re.split(r"\s*\|\s*", line)[1:-1] for line in page.splitlines() if line.startswith("| `")
    ]
    listed = {
        (row[0].strip("`"), row[1]): [float(cell) for cell in row[2:]]
        for row in rows
        if len(row) == 8 and row[0].strip("`") in NAMES
    }
    want = {
        (name, band): [p.pixel_scale, f.fwhm, f.zero, f.exposure * f.times, f.sky, f.read]
        for name, p in instruments().items()
        for band, f in p.bands.items()
    }
    assert listed.keys() == want.keys()
    for key, numbers in want.items():
        assert listed[key] == pytest.approx(numbers), key
