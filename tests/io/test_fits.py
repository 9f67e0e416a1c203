"""FITS layouts that surveys and simulations deliver, and files that are none."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galgen.errors import ConfigError, DataError
from galgen.io import hdu as reader
from galgen.io import read_cutout
from galgen.io.fits import read_fits


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write(path: Path, *hdus: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU) -> Path:
    fits.HDUList(list(hdus)).writeto(path)
    return path


def cards(**values: object) -> fits.Header:
    return fits.Header(list(values.items()))


def primary(data: np.ndarray | None, **values: object) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(data, cards(**values))


def extension(data: np.ndarray, **values: object) -> fits.ImageHDU:
    return fits.ImageHDU(data, cards(**values))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "u1"])
def test_every_type_gives_the_same_numbers_as_astropy(tmp_path: Path, dtype: str) -> None:
    pixels = (100 * image(12, 10)).clip(0, 250).astype(dtype)
    path = write(tmp_path / "a.fits", primary(pixels))
    got = read_fits(path)
    assert got.pixels.dtype == np.float32
    assert got.pixels.dtype.isnative
    assert np.array_equal(got.pixels[0], fits.getdata(path).astype(np.float32))
    assert got.native == (12, 10)


def test_scaled_integers_and_blank(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.array([[0, 10], [-7, 32767]], np.int16))
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 100.0, -7
    path = tmp_path / "scaled.fits"
    hdu.writeto(path)
    # astropy scales on writing; the raw integers are put back so that the cards apply to them.
    raw = bytearray(path.read_bytes())
    raw[2880:2888] = np.array([0, 10, -7, 32767], ">i2").tobytes()
    path.write_bytes(raw)
    got = read_fits(path).pixels[0]
    assert np.array_equal(got, [[100.0, 105.0], [np.nan, 16483.5]], equal_nan=True)


def test_gzip_and_tile_compression(tmp_path: Path) -> None:
    pixels = image(3, 40, 40)
    plain = write(tmp_path / "a.fits", primary(pixels, BANDS="g,r,i"))
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert np.array_equal(read_cutout(packed).pixels, pixels)
    counts = np.arange(1600, dtype=np.int16).reshape(40, 40)
    rice = tmp_path / "b.fits.fz"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(counts, cards(FILTER="r"), compression_type="RICE_1")]
    ).writeto(rice)
    got = read_cutout(rice)
    assert np.array_equal(got.pixels[0], counts)
    assert got.bands == ("r",)


def test_a_cube_of_bands_is_selected_and_ordered_by_name(tmp_path: Path) -> None:
    pixels = image(3, 8, 8)
    path = write(tmp_path / "a.fits", primary(pixels, BANDS="g,r,i", MAGZERO=27.0))
    assert read_fits(path).bands == ("g", "r", "i")
    got = read_fits(path, bands=("i", "g"))
    assert got.bands == ("i", "g")
    assert np.array_equal(got.pixels, pixels[[2, 0]])
    assert got.zero_points == (27.0, 27.0)
    with pytest.raises(ConfigError, match=r"a\.fits.*no band 'z'"):
        read_fits(path, bands=("z",))


@pytest.mark.parametrize(
    "header",
    [{"BANDS": "grz"}, {"BANDS": "g, r, z"}, {"BAND0": "g", "BAND1": "r", "BAND2": "z"}],
)
def test_cards_that_name_the_planes_of_a_cube(tmp_path: Path, header: dict[str, str]) -> None:
    path = write(tmp_path / "a.fits", primary(image(3, 8, 8), **header))
    assert read_fits(path).bands == ("g", "r", "z")


def test_an_unnamed_cube_asks_for_bands(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", primary(image(4, 8, 8)))
    with pytest.raises(ConfigError, match="--bands"):
        read_fits(path)
    assert read_fits(path, bands=("g", "r", "i", "z")).bands == ("g", "r", "i", "z")
    with pytest.raises(ConfigError, match=r"4 planes.*gives 2"):
        read_fits(path, bands=("g", "r"))


def test_sdss_frame_tables_and_sky_are_left_out(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("ALLSKY", "E", array=np.ones(3))])
    path = write(
        tmp_path / "frame.fits",
        primary(image(9, 11), BUNIT="nanomaggy", FILTER="r"),
        extension(image(11)),
        table,
    )
    got = read_fits(path)
    assert got.pixels.shape == (1, 9, 11)
    assert got.bands == ("r",)
    assert got.unit == "nanomaggy"
    assert got.zero_points == (22.5,)


def test_legacy_cutout_with_inverse_variance_and_maskbits(tmp_path: Path) -> None:
    pixels = image(3, 8, 8)
    path = write(
        tmp_path / "legacy.fits",
        primary(pixels, BANDS="grz", SURVEY="LegacySurvey", IMAGETYP="IMAGE"),
        extension(image(3, 8, 8, seed=1), IMAGETYP="INVVAR"),
        extension(image(3, 8, 8, seed=2), IMAGETYP="MASKBITS"),
    )
    got = read_fits(path)
    assert np.array_equal(got.pixels, pixels)
    assert got.zero_points == (22.5,) * 3


def test_hsc_image_mask_and_variance(tmp_path: Path) -> None:
    pixels = image(8, 8)
    path = write(
        tmp_path / "hsc.fits",
        primary(None, FLUXMAG0=63095734448.0194, FILTER="HSC-I"),
        extension(pixels, EXTNAME="IMAGE", EXTTYPE="IMAGE"),
        extension(np.ones((8, 8), np.int32), EXTNAME="MASK", EXTTYPE="MASK"),
        extension(image(8, 8, seed=1), EXTNAME="VARIANCE", EXTTYPE="VARIANCE"),
    )
    got = read_fits(path)
    assert np.array_equal(got.pixels[0], pixels)
    assert got.bands == ("HSC-I",)
    assert got.zero_points == pytest.approx((27.0,))
    assert got.unit == "count"


def test_one_image_hdu_per_band_in_its_own_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits",
        primary(None),
        extension(image(8, 8), EXTNAME="r", MAGZERO=25.0),
        extension(image(8, 8, seed=5), EXTNAME="weight_r"),
        extension(image(8, 8, seed=1), EXTNAME="g", MAGZERO=26.0),
    )
    got = read_fits(path)
    assert got.bands == ("r", "g")
    assert got.zero_points == (25.0, 26.0)
    assert np.array_equal(got.pixels[1], image(8, 8, seed=1))
    assert read_fits(path, bands=("G",)).zero_points == (26.0,)


def test_two_unnamed_images_give_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", primary(image(8, 8)), extension(image(8, 8, seed=1)))
    got = read_fits(path)
    assert got.bands is None
    assert np.array_equal(got.pixels[0], image(8, 8))


def test_radiative_transfer_takes_the_broadband_cube_without_scattering(tmp_path: Path) -> None:
    names = fits.Column("filter", "20A", array=["sdss/g_SDSS.res", "sdss/r_SDSS.res"])
    table = fits.BinTableHDU.from_columns([names], name="FILTERS")
    path = write(
        tmp_path / "broadband.fits",
        primary(None),
        table,
        extension(image(2, 8, 8, seed=1), EXTNAME="CAMERA1-BROADBAND-NONSCATTER"),
        extension(image(2, 8, 8, seed=2), EXTNAME="CAMERA0-BROADBAND", IMUNIT="W/m/m2/sr"),
        extension(image(2, 8, 8), EXTNAME="CAMERA0-BROADBAND-NONSCATTER", IMUNIT="W/m/m2/sr"),
    )
    got = read_fits(path)
    assert np.array_equal(got.pixels, image(2, 8, 8))
    assert got.bands == ("g_SDSS", "r_SDSS")
    assert got.unit == "W/m/m2/sr"


def test_pixel_scale_by_card_cd_or_pc(tmp_path: Path) -> None:
    tan = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    turned = {"CD1_1": 3e-5, "CD1_2": 4e-5, "CD2_1": 4e-5, "CD2_2": -3e-5}
    diagonal = {"CDELT1": -1e-4, "CDELT2": 1e-4}
    for name, header, scale in (
        ("card", {"PIXSCALE": 0.262, **tan, **diagonal}, 0.262),
        ("cd", {**tan, **turned}, 0.18),
        ("pc", {**tan, **diagonal}, 0.36),
        ("none", diagonal, None),
    ):
        path = write(tmp_path / f"{name}.fits", primary(image(4, 4), **header))
        assert read_fits(path).pixel_scale == pytest.approx(scale), name


def test_surface_brightness_gets_its_zero_point_from_the_pixel_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", primary(image(4, 4), BUNIT="MJy/sr", PIXSCALE=0.03))
    assert read_fits(path).zero_points == pytest.approx((28.0866,), abs=1e-4)


def test_crop_is_central_and_never_larger(tmp_path: Path) -> None:
    pixels = image(2, 9, 12)
    path = write(tmp_path / "a.fits", primary(pixels, BANDS="g,r"))
    assert np.array_equal(read_fits(path, crop=4).pixels, pixels[:, 2:6, 4:8])
    with pytest.raises(DataError, match="12 x 9 pixels, fewer than the 10"):
        read_fits(path, crop=10)


def test_the_plain_reader_gives_what_astropy_gives(tmp_path: Path) -> None:
    pixels = image(3, 16, 16)
    pixels[0, 0, 0] = np.nan
    note = "a long note that must be carried on to the next card, since it's 'quoted' " * 2
    path = write(
        tmp_path / "a.fits",
        primary(pixels, BANDS="g,r,i", BUNIT="nJy", RA=12.5, N=3, OK=True, NOTE=note, E=1e-30),
        extension(pixels[0], EXTNAME="MASK"),
    )
    plain = reader._plain(path.read_bytes(), path)
    slow = reader._astropy(path.read_bytes())
    assert [i.shape for i in plain.images] == [i.shape for i in slow.images]
    for a, b in zip(plain.images, slow.images, strict=True):
        assert np.array_equal(a.load(), b.load(), equal_nan=True)
    assert plain.primary == {k: slow.primary[k] for k in plain.primary}
    assert plain.primary["NOTE"] == note.rstrip()


def test_missing_truncated_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_fits(tmp_path / "nowhere.fits")
    path = write(tmp_path / "a.fits", primary(image(3, 64, 64), BANDS="g,r,i"))
    for name, size in (("data", 20_000), ("header", 1000)):
        cut = tmp_path / f"{name}.fits"
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DataError, match="truncated"):
            read_fits(cut)
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(path.read_bytes())[:3000])
    with pytest.raises(DataError, match=r"cut\.fits\.gz"):
        read_fits(tmp_path / "cut.fits.gz")
    (tmp_path / "text.fits").write_text("not a FITS file at all\n" * 500)
    with pytest.raises(DataError, match="no FITS file"):
        read_fits(tmp_path / "text.fits")
    (tmp_path / "empty.fits").write_bytes(b"")
    with pytest.raises(DataError, match="no FITS file"):
        read_fits(tmp_path / "empty.fits")


def test_fits_without_an_image(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.ones(3))])
    with pytest.raises(DataError, match="without an image"):
        read_fits(write(tmp_path / "table.fits", primary(None), table))


def test_a_header_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", primary(image(4, 4)))
    raw = path.read_bytes().replace(
        b"NAXIS1  =                    4", b"NAXIS1  =           4000000000"
    )
    path.write_bytes(raw)
    with pytest.raises(DataError, match="truncated"):
        read_fits(path)


def test_real_layouts(real_data) -> None:
    for folder, bands, unit, zero, scale in (
        ("hsc_grizy_fits_32", "g r i z y", "count", 27.0, 0.168),
        ("sdss_ugriz_fits", "u g r i z", "nanomaggy", 22.5, 0.396),
        ("ceers_7band_fits", "F115W F150W F200W F277W F356W F410M F444W", None, None, 0.03),
    ):
        for path in sorted(real_data(folder).glob("*.fits"))[:20]:
            got = read_fits(path)
            expected = fits.getdata(path).astype(np.float32)
            assert np.array_equal(got.pixels, expected, equal_nan=True)
            assert got.bands == tuple(bands.split())
            assert got.unit == unit
            assert got.zero_points == (zero,) * len(expected)
            assert got.pixel_scale == scale
