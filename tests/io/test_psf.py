"""Widths and files to kernels: what the kernels are, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galgen.bands import ImageSpec
from galgen.errors import ConfigError, DataError
from galgen.io.psf import BETA, Psf, read_psf

SPEC = ImageSpec(64, ("g", "r", "i"), "nanomaggy", pixel_scale=0.2, psf_fwhm=(0.8, 0.7, 0.6))
ANY = ImageSpec(64, ("g", "r", "i"))


def known(text: object, spec: ImageSpec = SPEC) -> Psf:
    psf = read_psf(text, spec)  # type: ignore[arg-type]
    assert psf is not None
    assert psf.kernels.shape[1] == psf.kernels.shape[2]
    assert psf.kernels.shape[1] % 2 == 1
    assert np.allclose(psf.kernels.sum(axis=(1, 2)), 1, rtol=0, atol=1e-12)
    return psf


def by_quadrature(side: int, value: object, steps: int = 200) -> np.ndarray:
    """A radial function summed over many points of each pixel, with the sum 1."""
    axis = (np.arange(side * steps) + 0.5) / steps - side / 2
    values = value(np.hypot(axis[:, None], axis))  # type: ignore[operator]
    kernel = values.reshape(side, steps, side, steps).sum(axis=(1, 3))
    return kernel / kernel.sum()


@pytest.mark.parametrize("fwhm", [0.3, 1.0, 3.5])
def test_gaussian_over_each_pixel(fwhm: float) -> None:
    psf = known(f"{fwhm}px", ANY)
    want = by_quadrature(psf.kernels.shape[1], lambda r: np.exp(-4 * math.log(2) * (r / fwhm) ** 2))
    assert np.abs(psf.kernels - want).max() < 1e-5 * want.max()
    assert (psf.kind, psf.fwhm) == ("gaussian", None)


@pytest.mark.parametrize(("text", "beta"), [("moffat:3px", BETA), ("moffat:3px,beta=4.765", 4.765)])
def test_moffat_over_each_pixel(text: str, beta: float) -> None:
    psf = known(text, ANY)
    core = 3 / (2 * math.sqrt(2 ** (1 / beta) - 1))
    want = by_quadrature(psf.kernels.shape[1], lambda r: (1 + (r / core) ** 2) ** -beta, steps=64)
    assert np.abs(psf.kernels - want).max() < 1e-4 * want.max()
    assert psf.kind == "moffat"


def test_the_width_is_the_full_width_at_half_maximum() -> None:
    for text in ("8px", "moffat:8px", "moffat:8px,beta=1.5"):
        row = known(text, ImageSpec(128, ("g",))).kernels[0]
        middle = len(row) // 2
        assert row[middle, middle + 4] / row[middle, middle] == pytest.approx(0.5, abs=0.02)


def test_sizes_hold_nearly_all_of_the_light_and_fit_the_image() -> None:
    for fwhm in (0.5, 1.5, 4.0):
        side = known(f"{fwhm}px", ANY).kernels.shape[1]
        sigma = fwhm / 2.35482
        inside = [math.erf(s / 2 / sigma / math.sqrt(2)) ** 2 for s in (side - 2, side)]
        assert inside[0] < 0.9999 <= inside[1]
    assert known("moffat:9px", ImageSpec(32, ("g",))).kernels.shape[1] == 31
    assert known("moffat:9px", ImageSpec(33, ("g",))).kernels.shape[1] == 33


def test_every_way_to_write_widths() -> None:
    same = known("0.7").kernels
    for text in (0.7, "3.5px", "gaussian:0.7", "g=0.7,r=0.7,i=0.7", [0.7, 0.7, 0.7], " 0.7 "):
        assert np.allclose(known(text).kernels, same, atol=1e-12)
    assert known("0.7").fwhm == pytest.approx((0.7, 0.7, 0.7))
    several = known("0.8,0.7,0.6")
    assert not np.allclose(several.kernels[0], several.kernels[1])
    for text in (
        "i=0.6,g=0.8,r=0.7",
        "auto",
        "AUTO",
        "gaussian:G=0.8,R=3.5px,i=0.6",
        [0.8, 0.7, 0.6],
    ):
        assert np.allclose(known(text).kernels, several.kernels, atol=1e-12)
        assert known(text).fwhm == pytest.approx((0.8, 0.7, 0.6))
    wings = known("moffat:g=0.8,beta=3,r=0.7,i=0.6")
    assert np.array_equal(wings.kernels, known("moffat:0.8,0.7,0.6,beta=3").kernels)
    point = np.zeros_like(known("0.8,0,0.6").kernels[1])
    point[len(point) // 2, len(point) // 2] = 1
    assert np.array_equal(known("0.8,0,0.6").kernels[1], point)
    assert read_psf("none", SPEC) is None
    assert read_psf("None", SPEC) is None


@pytest.mark.parametrize(
    ("text", "spec", "words"),
    [
        ("auto", ANY, "do not say how wide"),
        ("0.7", ANY, r"do not have, so give the width in pixels .0.7px."),
        ("moffat:0.7", ANY, "pixel scale"),
        ("wide", SPEC, "wide is no number"),
        ("airy:0.7", SPEC, "airy is no shape"),
        ("", SPEC, "nothing is no number"),
        ("nan", SPEC, "nan is no number"),
        ("-0.7", SPEC, "0 .no PSF. or more"),
        ("0.7,0.6", SPEC, "one for each of g, r, i"),
        ("0.7,r=0.6", SPEC, "one for each of g, r, i"),
        ("g=0.7,r=0.6", SPEC, "give a width for i too"),
        ("g=0.7,r=0.6,z=0.6", SPEC, "the bands are g, r, i"),
        ("moffat:0.7,beta=1", SPEC, "beta must be above 1"),
        ("moffat:0.7,beta=x", SPEC, "x is no number"),
        ("0.7,beta=3", SPEC, "one for each"),
        ("moffat:beta=3", SPEC, "one for each"),
        ("40px", SPEC, "40 px FWHM does not fit into images of 64 px"),
        ("40", SPEC, "a plain number is in arcsec"),
        ("psf.png", SPEC, "psf.png is no number"),
    ],
)
def test_what_is_not_understood(text: str, spec: ImageSpec, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read_psf(text, spec, "--psf")
    assert str(caught.value).startswith("--psf")
    assert str(caught.value).count(". ") == 0


def test_training_can_set_the_pixel_scale() -> None:
    with pytest.raises(ConfigError, match=r"so set data.pixscale, or .* .0.7px."):
        read_psf("0.7", ANY)


def blob(shape: tuple[int, int], centre: tuple[float, float], sigma: float = 1.5) -> np.ndarray:
    y, x = np.indices(shape)
    return np.exp(-((y - centre[0]) ** 2 + 1.3 * (x - centre[1]) ** 2) / 2 / sigma**2)


def write(path: Path, *images: tuple[np.ndarray, str], **cards: object) -> str:
    hdus = [fits.PrimaryHDU()]
    for data, name in images:
        hdu = fits.ImageHDU(data.astype(np.float32))
        hdu.header["EXTNAME"] = name
        hdu.header.update(cards)
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return str(path)


def test_one_image_serves_all_bands(tmp_path: Path) -> None:
    image = blob((21, 21), (10, 10)).astype(np.float32)
    fits.PrimaryHDU(image * 30).writeto(tmp_path / "a.fits")
    named = write(tmp_path / "b.fits", (image * 30, "PSF"))
    for path in (str(tmp_path / "a.fits"), named):
        psf = known(path)
        assert (psf.kind, psf.fwhm) == ("image", None)
        for kernel in psf.kernels:
            assert np.allclose(kernel, image / image.astype(float).sum(), rtol=1e-6)


def test_a_cube_and_an_hdu_per_band(tmp_path: Path) -> None:
    planes = [blob((19, 19), (9, 9), s) for s in (1.0, 1.5, 2.0)]
    want = np.stack([plane / plane.sum() for plane in planes])
    cube = np.stack(planes).astype(np.float32)
    fits.PrimaryHDU(cube).writeto(tmp_path / "cube.fits")
    hdu = fits.PrimaryHDU(cube[::-1])
    hdu.header["BANDS"] = "i,r,g"
    hdu.writeto(tmp_path / "named.fits")
    files = [
        str(tmp_path / "cube.fits"),
        str(tmp_path / "named.fits"),
        write(tmp_path / "hdus.fits", (planes[2], "i"), (planes[0], "g"), (planes[1], "R")),
        # Sides differ from band to band, and there is one more than needed.
        write(tmp_path / "sides.fits", (np.pad(planes[0], 3), "g"), (planes[1], "r"),
              (planes[2], "i"), (planes[2], "z")),
    ]  # fmt: skip
    for path in files:
        kernels = known(path).kernels
        margin = (kernels.shape[1] - 19) // 2
        inner = kernels[:, margin : margin + 19, margin : margin + 19]
        assert np.allclose(inner, want, rtol=1e-5, atol=1e-9), path


def test_kernels_are_put_in_the_middle_of_an_odd_square(tmp_path: Path) -> None:
    # A Fourier transform's convention: the centre at pixel n / 2 of an even number.
    path = write(tmp_path / "even.fits", (blob((20, 23), (10, 11)), "PSF"))
    kernel = known(path).kernels[0]
    assert kernel.shape == (23, 23)
    assert np.unravel_index(kernel.argmax(), kernel.shape) == (11, 11)


def test_wide_files_are_cut_to_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.fits", (blob((99, 99), (49, 49)), "PSF"))
    assert known(path).kernels.shape == (3, 63, 63)
    assert known(path, SPEC.replace(size=33)).kernels.shape == (3, 33, 33)
    wide = write(tmp_path / "wider.fits", (blob((99, 99), (49, 49), 15), "PSF"))
    with pytest.raises(DataError, match=r"too wide for images of 32 px: \d\d% of its light"):
        read_psf(wide, SPEC.replace(size=32))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (blob((20, 20), (9.5, 9.5)), "9.50 of 20 pixels along y"),
        (blob((21, 21), (10, 10.4)), "10.40 of 21 pixels along x"),
        (blob((41, 41), (20, 14)), "14.00 of 41 pixels along x"),
        (np.where(np.eye(9) > 0, np.nan, 1.0), "NaN"),
        (-blob((9, 9), (4, 4)), "sum of -"),
        (np.zeros((9, 9)), "sum of 0"),
        (np.ones(9), "no image of two or three axes"),
        (np.ones((2, 9, 9)), "no kernel for each of g, r, i"),
    ],
)
def test_files_that_are_no_psf(tmp_path: Path, image: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_psf(write(tmp_path / "psf.fits", (image, "PSF")), SPEC)


def test_other_mistakes_with_files(tmp_path: Path) -> None:
    good = blob((9, 9), (4, 4))
    with pytest.raises(DataError, match=r"^model.options.psf none\.fits does not exist"):
        read_psf("none.fits", SPEC)
    with pytest.raises(DataError, match=r"^--psf none\.fits does not exist"):
        read_psf("none.fits", SPEC, "--psf")
    with pytest.raises(DataError, match="no kernel for each"):
        read_psf(write(tmp_path / "two.fits", (good, "g"), (good, "r")), SPEC)


def test_a_psf_of_other_pixels_is_brought_to_those_of_the_images(tmp_path: Path) -> None:
    """A Gaussian of 0.8 arcsec, integrated over the file's pixels, is the same on the images'."""
    want = known("0.8").kernels[0]
    for scale, side in ((0.05, 81), (0.07, 57), (0.3, 15)):
        made = read_psf(f"{0.8 / scale}px", ImageSpec(side, ("g",)))
        assert made is not None
        path = write(tmp_path / f"{side}.fits", (made.kernels[0], "PSF"), PIXSCALE=scale)
        kernel = known(path).kernels[0]
        r = min(len(kernel), len(want)) // 2
        inner = [k[len(k) // 2 - r :, len(k) // 2 - r :][: 2 * r + 1, : 2 * r + 1]
                 for k in (kernel, want)]  # fmt: skip
        assert np.abs(inner[0] - inner[1]).sum() < (0.02 if scale > 0.2 else 2e-3), scale
    # A WCS says it too, and a file or a model without a scale is taken as it is.
    native = blob((21, 21), (10, 10))
    hdu = fits.PrimaryHDU(native)
    hdu.header.update({"CTYPE1": "RA---TAN", "CD1_1": -0.1 / 3600, "CD2_2": 0.1 / 3600})
    hdu.header.update({"CD1_2": 0.0, "CD2_1": 0.0})
    hdu.writeto(tmp_path / "wcs.fits")
    half = known(str(tmp_path / "wcs.fits")).kernels[0]
    # Less a twelfth for the old pixels, and with one for the new.
    assert second(half) == pytest.approx((second(native) - 1 / 12) / 4 + 1 / 12, rel=1e-3)
    for path, spec in ((write(tmp_path / "plain.fits", (native, "PSF")), SPEC),
                       (str(tmp_path / "wcs.fits"), ANY),
                       (str(tmp_path / "wcs.fits"), SPEC.replace(pixel_scale=0.1005))):  # fmt: skip
        assert second(known(path, spec).kernels[0]) == pytest.approx(second(native), rel=1e-5)


def second(kernel: np.ndarray) -> float:
    """Second moment along x in pixels squared."""
    x = np.arange(kernel.shape[1]) - kernel.shape[1] // 2
    return float((kernel.sum(axis=0) * x**2).sum() / kernel.sum())
