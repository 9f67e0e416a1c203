"""What galgen writes is valid FITS, says where it came from, and reads back the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from galgen.bands import ImageSpec
from galgen.errors import DataError, OutputError
from galgen.io import read_cutout
from galgen.io.header import read_provenance, write_galaxy

SPEC = ImageSpec(16, ("g", "r", "R"), "count", (27.0, 26.5, None), 0.168, (0.7, 0.6, 0.5))
FLUX = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
PROVENANCE = {
    "seed": 5,
    "index": 17,
    "truncation": 0.7,
    "label": "spiral",
    "conditions": {"mag_r": 18.25, "g-r": -0.5, "a name longer than eight": 3.0},
    "sweep": "mag_r",
    "sweep_value": 18.25,
    "model": "dcgan",
    "checkpoint": "0123456789abcdef" * 4,
    "images": 200_000,
    "version": "0.1.0",
    "stretch": {
        "kind": "asinh",
        "low": [0.0, -1.5e-7, 1 / 3],
        "scale": [1.0, 0.25, 2 / 3],
        "top": [40.0, 5.5, 1e3],
    },
    "survey": "it's a test of 'quotes' and of a text that does not fit on one card of 80 bytes",
}


@pytest.mark.parametrize("cube", [False, True])
def test_written_file_is_valid_and_reads_back(tmp_path: Path, cube: bool) -> None:
    path = tmp_path / "galaxy_000017.fits"
    write_galaxy(path, FLUX, SPEC, PROVENANCE, cube=cube)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.verify_checksum() for hdu in hdus] == [1] * len(hdus)
        assert [hdu.verify_datasum() for hdu in hdus] == [1] * len(hdus)
        assert hdus[0].header["SIMULATE"] is True
        assert all(len(card.image) % 80 == 0 for hdu in hdus for card in hdu.header.cards)
        image = hdus[0] if cube else hdus[2]
        assert image.header["WCSDUMMY"] is True
        assert image.header["BUNIT"] == "count"
        scale = proj_plane_pixel_scales(WCS(image.header).celestial) * 3600
        assert np.allclose(scale, 0.168)
        if not cube:
            assert hdus[0].data is None
            assert [hdu.header["EXTNAME"] for hdu in hdus[1:]] == ["g", "r", "R"]
            assert image.header["FILTER"] == "r"
            assert image.header["MAGZERO"] == 26.5
            assert "MAGZERO" not in hdus[3].header
    got = read_cutout(path)
    assert np.array_equal(got.pixels, FLUX)
    assert got.bands == SPEC.bands
    assert got.unit == "count"
    assert got.zero_points == SPEC.zero_points
    assert got.pixel_scale == 0.168
    assert got.psf_fwhm == SPEC.psf_fwhm
    back = read_provenance(path)
    assert back == PROVENANCE | {"stretch": back["stretch"]}
    for key in ("low", "scale", "top"):
        assert back["stretch"][key] == pytest.approx(PROVENANCE["stretch"][key], rel=1e-14)
    assert back["stretch"]["kind"] == "asinh"


@pytest.mark.parametrize("cube", [False, True])
def test_texts_that_are_not_ascii(tmp_path: Path, cube: bool) -> None:
    spec = ImageSpec(16, ("g", "été", "星"), "µJy")
    facts = {"label": "élliptique", "note": "zwei\nZeilen", "größe": "ß"}
    write_galaxy(tmp_path / "a.fits", FLUX, spec, facts, cube=cube)
    with fits.open(tmp_path / "a.fits") as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        assert (header["LABEL"], header["NOTE"]) == ("elliptique", "zwei?Zeilen")
        assert hdus[-1].header["BUNIT"] == "?Jy"
        names = header["BANDS"] if cube else ",".join(hdu.header["EXTNAME"] for hdu in hdus[1:])
        assert names == "g,ete,?"


def test_what_is_not_known_has_no_card(tmp_path: Path) -> None:
    spec = ImageSpec(16, ("R", "G", "B"), display=True)
    write_galaxy(tmp_path / "a.fits", FLUX, spec, {"seed": 0, "index": 1, "label": None})
    with fits.open(tmp_path / "a.fits") as hdus:
        for hdu in hdus:
            assert not {"MAGZERO", "PIXSCALE", "PSFFWHM", "LABEL", "CTYPE1"} & set(hdu.header)
        assert hdus[1].header["BUNIT"] == "display"
    assert read_provenance(tmp_path / "a.fits") == {"seed": 0, "index": 1}


def test_a_failed_write_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="make room"):
        write_galaxy(tmp_path / "missing" / "a.fits", FLUX, SPEC, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_galaxy(tmp_path / "a.fits", FLUX, SPEC, {})
    assert list(tmp_path.iterdir()) == []


def test_an_observed_file_has_no_provenance(tmp_path: Path) -> None:
    fits.PrimaryHDU(FLUX).writeto(tmp_path / "a.fits")
    with pytest.raises(DataError, match="not written by galgen"):
        read_provenance(tmp_path / "a.fits")


def test_samples_of_a_picture_model_stay_pictures(tmp_path: Path) -> None:
    spec = ImageSpec(16, ("R", "G", "B"), display=True)
    pixels = np.linspace(0, 255, 768, dtype=np.float32).reshape(3, 16, 16)
    for cube in (False, True):
        write_galaxy(tmp_path / "a.fits", pixels, spec, {}, cube=cube)
        back = read_cutout(tmp_path / "a.fits")
        assert (back.display, back.unit, back.bands) == (True, "display", ("R", "G", "B"))
        assert np.array_equal(back.pixels, pixels)
