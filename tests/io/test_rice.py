"""Compressed galaxies: what astropy reads is what was measured, and every file follows from it."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from galgen.bands import ImageSpec
from galgen.io import read_cutout
from galgen.io.galaxyfile import Encoded, GalaxyWriter
from galgen.io.header import read_provenance
from galgen.io.rice import dither_seed
from galgen.io.sums import image_sums, read_sums, verify

SPEC = ImageSpec(32, ("g", "r", "R"), "nanomaggy", (22.5, 22.5, None), 0.396, (1.1, 1.0, 0.9))
SHARED: dict[str, Any] = {
    "seed": 5,
    "checkpoint": "0123456789abcdef" * 4,
    "stretch": {"kind": "asinh", "low": [0.0] * 3, "scale": [0.5] * 3, "top": [4.0] * 3},
}
FACTS: dict[str, Any] = {"index": 12345, "label": "spiral", "conditions": {"mag_r": 18.25}}


def galaxy(noise: float = 0.1, size: int = 32) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    light = 10 * np.exp(-np.hypot(x, y) / 4)[None] * np.array([1.0, 1.5, 2.0])[:, None, None]
    grain = np.random.default_rng(0).normal(0, 1, (3, size, size)) * noise
    return np.asarray(light + grain, dtype=np.float32)


def write(path: Path, flux: np.ndarray, cube: bool, facts: dict[str, Any] = FACTS) -> Encoded:
    spec = SPEC.replace(size=flux.shape[-1])
    found = GalaxyWriter(spec, SHARED, cube=cube, compress="rice").encode(flux, facts)
    path.write_bytes(found.data)
    return found


def read(path: Path) -> np.ndarray:
    """As astropy has it; both sums of each HDU of the file hold, and nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
            hdus.verify("exception")
            assert all((h.verify_checksum(), h.verify_datasum()) == (1, 1) for h in hdus)
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert hdus[0].data is None
            images = [np.array(hdu.data, dtype=np.float32) for hdu in hdus[1:]]
    return images[0] if images[0].ndim == 3 else np.stack(images)


@pytest.mark.parametrize("cube", [False, True])
def test_what_is_read_is_what_was_measured(tmp_path: Path, cube: bool) -> None:
    path, flux = tmp_path / "galaxy_012345.fits.fz", galaxy(size=64)
    found = write(path, flux, cube)
    back = read(path)
    assert found.pixels is not None
    assert found.error is not None
    assert back.tobytes() == found.pixels.tobytes()
    plain = GalaxyWriter(SPEC.replace(size=64), SHARED, cube=cube).encode(flux, FACTS).data
    assert len(found.data) < 0.7 * len(plain)
    for k, error in enumerate(found.error):
        difference = back[k].astype(np.float64) - flux[k]
        assert error.rms == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-9)
        assert error.largest == np.abs(difference).max()
        # A step is 1/16 of the noise, and rounding's error 1/sqrt(12) of a step.
        assert 0.7 < error.rms / (0.1 / 16 / np.sqrt(12)) < 1.3
        sums = back[k].sum(dtype=np.float64), flux[k].sum(dtype=np.float64)
        assert error.magnitude == pytest.approx(-2.5 * np.log10(sums[0] / sums[1]), abs=1e-12)
        assert abs(error.magnitude) < 1e-3
        with fits.open(path) as hdus:
            header = hdus[1 if cube else 1 + k].header
            names = (
                (f"RRMS{k}", f"RMAX{k}", f"RMAG{k}") if cube else ("RICERMS", "RICEMAX", "RICEMAG")
            )
            for name, value in zip(names, (error.rms, error.largest, error.magnitude), strict=True):
                assert header[name] == pytest.approx(value, rel=1e-3)
                assert header.comments[name]


@pytest.mark.parametrize("cube", [False, True])
def test_headers_say_what_uncompressed_files_say(tmp_path: Path, cube: bool) -> None:
    path, flux = tmp_path / "a.fits.fz", galaxy()
    found = write(path, flux, cube)
    plain = tmp_path / "a.fits"
    plain.write_bytes(GalaxyWriter(SPEC, SHARED, cube=cube).encode(flux, FACTS).data)
    assert read_provenance(path) == read_provenance(plain) == SHARED | FACTS
    one, two = read_cutout(path), read_cutout(plain)
    assert found.pixels is not None
    assert one.pixels.tobytes() == found.pixels.tobytes()
    for fact in ("bands", "unit", "zero_points", "pixel_scale", "psf_fwhm", "display", "native"):
        assert getattr(one, fact) == getattr(two, fact), fact
    # The sums of the pixels before compression.
    assert read_sums(path) == read_sums(plain) == image_sums(flux, SPEC.bands, cube)
    with fits.open(plain) as hdus:
        told = [hdu.header["DATASUM"] for hdu in hdus if hdu.data is not None]
    assert [str(total) for _, total in read_sums(path)] == told
    assert verify(path) is None


@pytest.mark.parametrize("cube", [False, True])
def test_bytes_follow_from_the_galaxy(
    tmp_path: Path, cube: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flux = galaxy()
    flux[1] = 0
    first = write(tmp_path / "a.fits.fz", flux, cube).data
    # A band without noise is kept by gzip, which notes the time.
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    assert write(tmp_path / "b.fits.fz", flux, cube).data == first
    other = write(tmp_path / "c.fits.fz", flux, cube, FACTS | {"index": 12346})
    assert not np.array_equal(read(tmp_path / "c.fits.fz"), read(tmp_path / "a.fits.fz"))
    assert other.error is not None


def test_a_cube_and_its_bands_apart_hold_the_same_pixels(tmp_path: Path) -> None:
    for index in (0, 1, 3332, 3333, 10**6):
        facts = FACTS | {"index": index}
        write(tmp_path / "a.fits.fz", galaxy(), False, facts)
        write(tmp_path / "b.fits.fz", galaxy(), True, facts)
        assert read(tmp_path / "a.fits.fz").tobytes() == read(tmp_path / "b.fits.fz").tobytes()


def test_seeds_of_the_dithering_are_those_of_the_standard() -> None:
    for bands in (1, 3, 7):
        seeds = [dither_seed(index, bands) for index in range(30_000)]
        assert min(seeds) == 1
        assert max(seeds) + bands - 1 == 10_000
        assert len(set(seeds[: 9_000 // bands])) == 9_000 // bands


@pytest.mark.parametrize("cube", [False, True])
def test_images_that_cannot_be_rounded_are_kept(tmp_path: Path, cube: bool) -> None:
    path = tmp_path / "a.fits.fz"
    flat = np.zeros((3, 32, 32), np.float32)
    flat[1], flat[2] = 3.3, -1e-30
    infinite = galaxy()
    infinite[0, 3, 4], infinite[1, 5, 5] = np.inf, -np.inf
    infinite[2] = 0
    bright = galaxy(1e-9)
    bright[:, 16, 16] = 1e9
    for flux in (flat, infinite, np.full_like(flat, np.nan), bright):
        found = write(path, flux, cube)
        assert found.pixels is not None
        assert found.error is not None
        back = read(path)
        assert back.tobytes() == found.pixels.tobytes()
        for k, error in enumerate(found.error):
            same = np.array_equal(back[k], flux[k], equal_nan=True)
            assert same == (error.rms == 0), "the error that is stated"
            assert same or flux is infinite or flux is bright
        assert verify(path) is None
    write(path, infinite, cube)
    assert np.array_equal(np.isinf(read(path)), np.isinf(infinite))


@pytest.mark.parametrize("cube", [False, True])
def test_blank_pixels_stay_blank_and_count_for_no_error(tmp_path: Path, cube: bool) -> None:
    flux = galaxy()
    flux[0, 3:7, 4], flux[2, :, 0] = np.nan, np.nan
    found = write(tmp_path / "a.fits.fz", flux, cube)
    back = read(tmp_path / "a.fits.fz")
    assert np.array_equal(np.isnan(back), np.isnan(flux))
    assert found.error is not None
    for k, error in enumerate(found.error):
        assert (
            0 < error.rms == pytest.approx(np.sqrt(np.nanmean((back[k] - flux[k]) ** 2)), rel=1e-4)
        )
    sky = -np.abs(galaxy())
    found = write(tmp_path / "b.fits.fz", sky, cube)
    assert found.error is not None
    # The sum of negative light has no magnitude, and no card.
    assert [error.magnitude for error in found.error] == [None] * 3
    header = fits.getheader(tmp_path / "b.fits.fz", 1)
    assert not [card for card in header if card.startswith(("RICEMAG", "RMAG"))]


@pytest.mark.parametrize("cube", [False, True])
def test_any_size_and_number_of_bands(tmp_path: Path, cube: bool) -> None:
    rng = np.random.default_rng(0)
    for bands, size in ((1, 1), (1, 7), (2, 33), (7, 20), (12, 9)):
        spec = ImageSpec(size, tuple(f"b{k}" for k in range(bands)), "Jy")
        flux = rng.normal(size=(bands, size, size)).astype(np.float32)
        found = GalaxyWriter(spec, {}, cube=cube, compress="rice").encode(flux[:, ::-1], {})
        path = tmp_path / "a.fits.fz"
        path.write_bytes(found.data)
        assert found.pixels is not None
        assert read(path).tobytes() == found.pixels.tobytes()
        assert np.abs(read(path) - flux[:, ::-1]).max() < 0.1
        assert read_cutout(path).bands == spec.bands or bands == 1
