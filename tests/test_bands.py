"""ImageSpec and the units of flux."""

from __future__ import annotations

import json

import pytest

from galgen.bands import ImageSpec, band_indices, parse_bands, zero_point_of_unit
from galgen.errors import ConfigError

GRIZY = ImageSpec(
    size=32,
    bands=("g", "r", "i", "z", "y"),
    unit="count",
    zero_points=(27.0, 27.0, 27.0, 27.0, None),
    pixel_scale=0.168,
    psf_fwhm=(0.7, 0.65, 0.6, 0.62, 0.64),
)


@pytest.mark.parametrize(
    ("unit", "zero_point"),
    [
        ("maggy", 0.0),
        ("nanomaggy", 22.5),
        ("nanomaggies", 22.5),
        ("nMgy", 22.5),
        ("Jy", 8.90),
        ("JY", 8.90),
        ("mJy", 16.40),
        ("MJy", -6.10),
        ("uJy", 23.90),
        (" nJy ", 31.40),
        ("count", None),
        ("MJY", None),
        ("", None),
        (None, None),
    ],
)
def test_zero_point_that_a_unit_implies(unit: str | None, zero_point: float | None) -> None:
    assert zero_point_of_unit(unit) == pytest.approx(zero_point, abs=0.001)


@pytest.mark.parametrize("unit", ["MJy/sr", "MJy / sr", "MJy sr-1"])
def test_surface_brightness_needs_the_pixel_scale(unit: str) -> None:
    assert zero_point_of_unit(unit) is None
    # the zero point that is usually quoted for NIRCam mosaics of 30 mas
    assert zero_point_of_unit(unit, pixel_scale=0.03) == pytest.approx(28.0865, abs=2e-4)


def test_spec_shape_and_defaults() -> None:
    spec = ImageSpec(size=48, bands=("J", "H"), unit="MJy/sr")
    assert spec.shape == (2, 48, 48)
    assert spec.n_bands == 2
    assert spec.zero_points == (None, None)
    assert spec.photometric


def test_display_images_are_not_photometric() -> None:
    assert not ImageSpec(size=32, bands=("R", "G", "B"), display=True).photometric


def test_spec_survives_json() -> None:
    assert ImageSpec.from_dict(json.loads(json.dumps(GRIZY.to_dict()))) == GRIZY
    bare = ImageSpec(size=16, bands=("I",), display=True)
    assert ImageSpec.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


def test_select_takes_the_facts_of_the_bands_along() -> None:
    chosen = GRIZY.select(("y", "g"))
    assert chosen.bands == ("y", "g")
    assert chosen.zero_points == (None, 27.0)
    assert chosen.psf_fwhm == (0.64, 0.7)
    assert (chosen.size, chosen.unit, chosen.pixel_scale) == (32, "count", 0.168)


def test_select_names_the_bands_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"no band 'u'.*g, r, i, z, y.*--bands"):
        GRIZY.select(("u",))


def test_replace_checks_again() -> None:
    assert GRIZY.replace(size=64).size == 64
    with pytest.raises(ConfigError, match="zero points"):
        GRIZY.replace(bands=("g", "r"))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"size": 0}, "positive"),
        ({"bands": ()}, "at least one band"),
        ({"bands": ("g", "g")}, "must differ"),
        ({"zero_points": (22.5,)}, "1 zero points for 2 bands"),
        ({"psf_fwhm": (1.0, 1.0, 1.0)}, "3 PSF widths for 2 bands"),
        ({"pixel_scale": 0.0}, "pixel scale"),
        ({"pixel_scale": float("nan")}, "pixel scale"),
    ],
)
def test_impossible_facts_are_refused(facts: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"size": 32, "bands": ("g", "r")}
    ImageSpec(**good)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        ImageSpec(**(good | facts))  # type: ignore[arg-type]


def test_spec_is_frozen_and_hashable() -> None:
    with pytest.raises(AttributeError):
        GRIZY.size = 64  # type: ignore[misc]
    assert hash(GRIZY) == hash(ImageSpec.from_dict(GRIZY.to_dict()))


def test_band_indices_fold_case_only_where_it_is_safe() -> None:
    assert band_indices(("F115W", "F150W"), ("f150w",)) == [1]
    # Cousins R and Sloan r are two bands
    assert band_indices(("r", "R"), ("R", "r")) == [1, 0]
    with pytest.raises(ConfigError, match="no band 'Ha'"):
        band_indices(("HA", "ha"), ("Ha",))


def test_parse_bands() -> None:
    assert parse_bands(None) is None
    assert parse_bands("g, r,i,") == ("g", "r", "i")
    assert parse_bands(["F115W", "F150W"]) == ("F115W", "F150W")
    with pytest.raises(ConfigError, match="--bands is empty"):
        parse_bands(" , ")
