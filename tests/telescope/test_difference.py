"""The kernel between two PSFs, where there is one, and the reasons where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.signal import fftconvolve

from galgen.bands import ImageSpec
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.errors import ConfigError
from galgen.io.psf import read_psf
from galgen.telescope.difference import difference_kernels, widths

SPEC = ImageSpec(64, ("g", "r"), "nanomaggy", (22.5, 22.5), 0.2, (0.7, 0.8))


def kernels_of(text: str, spec: ImageSpec = SPEC) -> np.ndarray:
    psf = read_psf(text, spec)
    assert psf is not None
    return psf.kernels


def apart(own: str, wanted: str, spec: ImageSpec = SPEC) -> np.ndarray:
    """Sum of |P0 * K - P1| per band."""
    made, _ = difference_kernels(wanted, own, spec)
    assert made.shape[1] % 2 == 1
    assert made.shape[1] <= spec.size
    assert np.allclose(made.sum(axis=(1, 2)), 1, rtol=0, atol=1e-12)
    seen = np.stack([fftconvolve(k, p) for k, p in zip(made, kernels_of(own, spec), strict=True)])
    want = kernels_of(wanted, spec)
    side = max(seen.shape[1], want.shape[1])
    seen, want = (np.pad(k, ((0, 0), *[((side - k.shape[1]) // 2,) * 2] * 2)) for k in (seen, want))
    return np.abs(seen - want).sum(axis=(1, 2))


@pytest.mark.parametrize(
    ("own", "wanted", "most"),
    [
        ("0.7", "1.2", 1e-3),
        ("0.7", "0.72", 1e-3),
        ("g=0.7,r=0.8", "g=0.8,r=0.8", 1e-3),
        # Kernels of Moffat functions leave half a per cent of the light out.
        ("moffat:0.7", "moffat:1.0", 1e-2),
        ("0.7", "moffat:1.2", 1e-2),
        ("moffat:0.7", "1.4", 1e-2),
    ],
)
def test_own_psf_and_kernel_make_the_wanted_one(own: str, wanted: str, most: float) -> None:
    assert apart(own, wanted).max() < most


def test_gaussians_differ_by_a_gaussian() -> None:
    made, psf = difference_kernels("1.3", "0.5", SPEC)
    want = np.hypot(1.2, 0)
    # Not integrated over the pixels a second time: its second moment is that of the difference.
    x = np.arange(made.shape[1]) - made.shape[1] // 2
    moment = (made[0].sum(axis=0) * x**2).sum()
    assert moment == pytest.approx((want / 0.2 / 2.35482) ** 2, rel=2e-3)
    assert (psf.fwhm, psf.kind) == (pytest.approx((1.3, 1.3)), "gaussian")


def test_the_same_psf_is_no_change() -> None:
    for own, wanted in (
        ("0.7", "0.7"),
        (None, "auto"),
        ("moffat:0.9", "moffat:0.9"),
        ("none", "none"),
    ):
        made, _ = difference_kernels(wanted, own, SPEC)
        assert made.shape == (2, 1, 1)
    assert np.array_equal(difference_kernels("1.0", "none", SPEC)[0], kernels_of("1.0"))


def test_files_differ_too(tmp_path: Path) -> None:
    names = []
    for k, text in enumerate(("0.7", "1.1")):
        names.append(str(tmp_path / f"{k}.fits"))
        fits.PrimaryHDU(kernels_of(text)[0]).writeto(names[-1])
    for own, wanted in ((names[0], names[1]), ("0.7", names[1]), (names[0], "1.1")):
        assert apart(own, wanted).max() < 5e-3
    # The same from a file and from a number: next to no change.
    made, _ = difference_kernels("0.7", names[0], SPEC)
    assert made[0].max() > 0.95
    assert widths_of(names[0]) == pytest.approx([3.6, 3.6], abs=0.2)
    with pytest.raises(ConfigError, match=r"wider than .* and cannot be sharpened"):
        difference_kernels(names[0], names[1], SPEC)


def widths_of(name: str) -> list[float]:
    psf = read_psf(name, SPEC)
    assert psf is not None
    return widths(psf)


@pytest.mark.parametrize(
    ("own", "wanted", "words"),
    [
        (None, "0.6", r"^--psf 0\.6: in g .* PSF of 0\.7 arcsec FWHM already, .* wider than 0\.6"),
        (None, "g=0.9,r=0.75", r"in r .* PSF of 0\.8 arcsec FWHM already, .* than 0\.75"),
        ("1.0", "g=1.1,r=0.9", "in r .* of 1 arcsec"),
        (None, "none", "without a PSF layer, .* cannot be taken off"),
        ("0.7", "moffat:0.75", "sharper in its core"),
        ("moffat:0.7", "0.72", "sharper in its core"),
        (None, "9", "45 px FWHM does not fit into images of 64 px"),
        ("wide", "1", "^sample.own_psf wide"),
    ],
)
def test_where_there_is_none(own: str | None, wanted: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        difference_kernels(wanted, own, SPEC)
    assert str(caught.value).count(". ") == 0


def test_an_own_psf_that_is_not_known() -> None:
    spec = SPEC.replace(psf_fwhm=None)
    with pytest.raises(ConfigError, match=r"not known, so say it with --set sample.own_psf=0.7"):
        difference_kernels("1.0", None, spec)
    assert difference_kernels("1.0", "0.7", spec)[0].shape[1] > 1
    pixels = ImageSpec(64, ("g",))
    with pytest.raises(ConfigError, match=r"carry a PSF of 3 px FWHM already, .* than 2"):
        difference_kernels("2px", "3px", pixels)


def test_a_galaxy_under_the_wider_psf_is_what_it_would_have_been() -> None:
    """Simulated galaxies under both PSFs, the wider one made of the narrower one."""
    options = {"size": 64, "bands": ("g", "r"), "pixel_scale": 0.2, "noise": False, "frame": 40}
    narrow, _ = simulate(6, psf_fwhm=0.6, **options)  # type: ignore[arg-type]
    wide, _ = simulate(6, psf_fwhm=1.1, **options)  # type: ignore[arg-type]
    made, _ = difference_kernels("1.1", None, sersic_spec(64, ("g", "r"), 0.2, 0.6))
    for galaxy, want in zip(narrow.astype(float), wide.astype(float), strict=True):
        seen = np.stack([fftconvolve(x, k, "same") for x, k in zip(galaxy, made, strict=True)])
        assert np.abs(seen - want).sum() < 2e-3 * want.sum()
