"""Sets as the rest of galgen sees them: facts, labels, groups, crops, and every bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galgen.data import loading
from galgen.data.sets import ArraySet, open_set
from galgen.errors import ConfigError, DataError, UserError

BANDS3 = "g,r,i"


def pixels_of(path: Path, *shape: int) -> np.ndarray:
    return np.random.default_rng(list(path.name.encode())).normal(size=shape).astype(np.float32)


def put(path: Path, *shape: int, **cards: object) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels_of(path, *(shape or (3, 16, 16)))
    cards = {"BANDS": BANDS3, "BUNIT": "nanomaggy"} | cards
    fits.PrimaryHDU(pixels, fits.Header(list(cards.items()))).writeto(path)
    return pixels


def folder(root: Path, count: int = 8, **cards: object) -> Path:
    for k in range(count):
        put(root / f"galaxy_{k}.fits", **cards)
    return root


def draw(path: Path, side: int = 40, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_csv(path: Path, *rows: str) -> None:
    path.write_text("\n".join(rows) + "\n")


def test_a_folder_of_fits_becomes_a_set(tmp_path: Path) -> None:
    source = folder(tmp_path / "hsc", PIXSCALE=0.2)
    cutouts = open_set(source)
    assert len(cutouts) == 8
    assert cutouts.name == "hsc"
    assert cutouts.spec.bands == ("g", "r", "i")
    assert cutouts.spec.shape == (3, 16, 16)
    assert cutouts.spec.unit == "nanomaggy"
    assert cutouts.spec.zero_points == (22.5,) * 3
    assert cutouts.spec.pixel_scale == 0.2
    assert list(cutouts.groups) == list(cutouts.names)
    assert cutouts.labels is None
    assert cutouts.bad == []
    got = cutouts.read([7, 0])
    assert got.dtype == np.float32
    assert np.array_equal(got[1], pixels_of(source / "galaxy_0.fits", 3, 16, 16))
    assert any("size 16" in note for note in cutouts.notes)


def test_crop_and_margin_come_from_the_files(tmp_path: Path) -> None:
    source = folder(tmp_path / "a")
    whole = open_set(source).read(range(8))
    cropped = open_set(source, crop=8)
    assert cropped.spec.size == 8
    assert cropped.max_margin == 4
    assert np.array_equal(cropped.read(range(8)), whole[:, :, 4:12, 4:12])
    assert np.array_equal(cropped.read([3], margin=3), whole[3:4, :, 1:15, 1:15])
    with pytest.raises(ValueError, match="margin 5"):
        cropped.read([0], margin=5)


def test_flux_is_never_resampled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never resampled"):
        open_set(folder(tmp_path), crop=16, size=8)


def test_pictures_are_cropped_and_resized(tmp_path: Path) -> None:
    for k in range(4):
        draw(tmp_path / f"{k}.png", 40, seed=k)
    cutouts = open_set(tmp_path, crop=20, size=10)
    assert cutouts.spec.display
    assert cutouts.spec.shape == (3, 10, 10)
    source = np.moveaxis(np.asarray(Image.open(tmp_path / "2.png"), np.float32), -1, 0)
    blocks = source[:, 10:30, 10:30].reshape(3, 10, 2, 10, 2).mean((2, 4))
    assert np.allclose(cutouts.read([2])[0], blocks, rtol=1e-5)
    assert cutouts.max_margin == 5
    wide = source[:, 6:34, 6:34].reshape(3, 14, 2, 14, 2).mean((2, 4))
    assert np.allclose(cutouts.read([2], margin=2)[0], wide, rtol=1e-5)
    assert open_set(tmp_path).spec.size == 40
    with pytest.raises(ConfigError, match="no flux"):
        open_set(tmp_path, unit="nanomaggy")


def test_bands_select_order_and_name(tmp_path: Path) -> None:
    source = folder(tmp_path / "named")
    every = open_set(source).read([0, 1])
    some = open_set(source, bands=("i", "g"))
    assert some.spec.bands == ("i", "g")
    assert np.array_equal(some.read([0, 1]), every[:, [2, 0]])
    plain = folder(tmp_path / "unnamed", BANDS="")
    with pytest.raises(ConfigError, match=r"--bands"):
        open_set(plain)
    assert open_set(plain, bands="u,v,w").spec.bands == ("u", "v", "w")


def test_one_file_per_band(tmp_path: Path) -> None:
    for band in "rg":
        for k in range(3):
            put(tmp_path / band / f"x{k}.fits", 12, 12, BANDS="", FILTER=band)
    cutouts = open_set(tmp_path, size=8)
    assert cutouts.spec.bands == ("g", "r")
    assert cutouts.max_margin == 2
    expected = pixels_of(tmp_path / "r" / "x1.fits", 12, 12)[2:10, 2:10]
    assert np.array_equal(cutouts.read([1])[0, 1], expected)
    assert open_set(tmp_path, bands=("r",)).spec.shape == (1, 12, 12)


def test_labels_from_folders_and_tables(tmp_path: Path) -> None:
    for name, count in (("FRII", 2), ("FRI", 3)):
        for k in range(count):
            draw(tmp_path / "classes" / name / f"{name}-{k}.png", seed=k)
    cutouts = open_set(tmp_path / "classes")
    assert cutouts.classes == ("FRI", "FRII")
    assert cutouts.labels is not None
    assert cutouts.labels.dtype == np.int64
    assert cutouts.labels.tolist() == [0, 0, 0, 1, 1]
    source = folder(tmp_path / "flat", 4)
    write_csv(
        source / "labels.csv", "file,kind", *(f"galaxy_{k}.fits,{'ab'[k % 2]}" for k in range(3))
    )
    cutouts = open_set(source, labels="labels.csv:kind")
    assert cutouts.classes == ("a", "b")
    assert cutouts.labels is not None
    assert cutouts.labels.tolist() == [0, 1, 0]
    assert cutouts.bad == [(str(source / "galaxy_3.fits"), "no label in labels.csv:kind")]
    with pytest.raises(ConfigError, match=r"no column 'kin'.*did you mean 'kind'"):
        open_set(source, labels="labels.csv:kin")
    with pytest.raises(ConfigError, match="FILE:COLUMN"):
        open_set(source, labels="labels.csv")
    with pytest.raises(
        DataError, match=r"--labels o.*table other\.csv is neither.*: there is labels\.csv"
    ):
        open_set(source, labels="other.csv:kind")
    with pytest.raises(DataError, match=r"data\.select: .*label\.csv.*did you mean labels\.csv\?"):
        open_set(source, select="label.csv:kind==a")


def test_groups_selection_and_redshift(tmp_path: Path) -> None:
    source = folder(tmp_path / "a", 6, Z=0.5)
    scenes = ["43158172147384603", "43158172147384604"]
    write_csv(
        source / "catalog.csv",
        "name,scene,snr,flag,z",
        *(f"galaxy_{k},{scenes[k % 2]},{k * 5.0},{k % 3},{k / 10}" for k in range(6)),
    )
    cutouts = open_set(
        source, group="catalog.csv:scene", select="catalog.csv:snr>=5,flag!=2", redshift="header:z"
    )
    assert list(cutouts.names) == ["galaxy_1", "galaxy_3", "galaxy_4"]
    assert list(cutouts.groups) == [scenes[1], scenes[1], scenes[0]]
    assert cutouts.catalogue["redshift"].tolist() == [0.5] * 3
    assert cutouts.catalogue["snr"].tolist() == [5.0, 15.0, 20.0]
    assert cutouts.catalogue["scene"].dtype == np.int64
    assert open_set(source, select="flag==0").catalogue["z"].tolist() == [0.0, 0.3]
    for select, message in (
        ("snr>many", "no number"),
        ("snr", "no comparison"),
        ("snr>1000", "leaves none"),
        ("__import__('os')", "no comparison"),
        ("name>a", "use == or !="),
    ):
        with pytest.raises(ConfigError, match=message):
            open_set(source, select=f"catalog.csv:{select}")
    with pytest.raises(DataError, match="gives no value for 6 of 6"):
        open_set(source, group="header:SCENE")


def test_a_fits_catalogue_among_the_images(tmp_path: Path) -> None:
    source = folder(tmp_path / "a", 3)
    Table({"file": [f"galaxy_{k}.fits" for k in range(3)], "mag": [20.0, 21.0, 22.0]}).write(
        source / "catalogue.fits"
    )
    cutouts = open_set(source, select="mag<21.5")
    assert len(cutouts) == 2
    assert cutouts.catalogue["mag"].tolist() == [20.0, 21.0]


def test_facts_that_headers_lack(tmp_path: Path) -> None:
    source = folder(tmp_path, BUNIT="")
    bare = open_set(source)
    assert bare.spec.unit == "unknown"
    assert bare.spec.zero_points == (None,) * 3
    assert any("data.unit" in note for note in bare.notes)
    told = open_set(source, unit="MJy/sr", pixscale=0.03, psf_fwhm=[0.1, 0.2, 0.3])
    assert told.spec.zero_points[0] == pytest.approx(28.0866, abs=1e-4)
    assert told.spec.psf_fwhm == (0.1, 0.2, 0.3)
    assert open_set(source, magzero=27).spec.zero_points == (27.0,) * 3
    with pytest.raises(ConfigError, match="2 numbers for 3 bands"):
        open_set(source, magzero=(27, 26))


def test_mixed_units_and_zero_points(tmp_path: Path) -> None:
    source = folder(tmp_path / "units", 4)
    put(source / "other.fits", BUNIT="count")
    with pytest.raises(DataError, match=r"mixes flux units .*4 in nanomaggy, 1 in count"):
        open_set(source)
    assert open_set(source, unit="nanomaggy").spec.unit == "nanomaggy"
    source = folder(tmp_path / "zeros", 4, MAGZERO=25.0)
    put(source / "other.fits", MAGZERO=26.0)
    with pytest.raises(DataError, match="mixes zero points"):
        open_set(source)


def test_bad_files_are_listed_with_their_reason(tmp_path: Path) -> None:
    source = folder(tmp_path, 30)
    good = (source / "galaxy_0.fits").read_bytes()
    (source / "cut.fits").write_bytes(good[:4000])
    (source / "text.fits").write_text("no FITS")
    fits.HDUList([fits.PrimaryHDU()]).writeto(source / "none.fits")
    for name, change in (("nan", np.nan), ("inf", np.inf)):
        pixels = put(source / f"{name}.fits")
        pixels[1, 8, 8] = change
        with fits.open(source / f"{name}.fits", mode="update") as hdus:
            hdus[0].data = pixels
    header = fits.Header([("BANDS", BANDS3), ("BUNIT", "nanomaggy")])
    fits.PrimaryHDU(np.full((3, 16, 16), 2.0, np.float32), header).writeto(source / "flat.fits")
    pixels = pixels_of(source / "edge.fits", 3, 16, 16)
    pixels[2, :, :3] = 0
    fits.PrimaryHDU(pixels, header).writeto(source / "edge.fits")
    put(source / "two.fits", 2, 16, 16, BANDS="g,r")
    put(source / "small.fits", 3, 12, 12)
    cutouts = open_set(source)
    assert len(cutouts) == 30
    reasons = {Path(file).stem: reason for file, reason in cutouts.bad}
    for name, word in (
        ("cut", "truncated"),
        ("text", "no FITS file"),
        ("none", "without an image"),
        ("nan", "1 pixels that are NaN"),
        ("inf", "infinite"),
        ("flat", "constant: every pixel is 2"),
        ("edge", "blank: 19 %"),
        ("two", "bands g, r where most files have g, r, i"),
        ("small", "12 x 12 pixels, fewer than the 16"),
    ):
        assert word in reasons.pop(name), name
    assert reasons == {}
    with pytest.raises(DataError, match=r"9 of 39 galaxies cannot be used.*bad_fraction=0\.24"):
        open_set(source, bad_fraction=0.2)
    assert len(open_set(source, bad_fraction=0.24)) == 30


def test_a_bad_edge_outside_the_crop_is_no_flaw(tmp_path: Path) -> None:
    source = folder(tmp_path, 4)
    with fits.open(source / "galaxy_2.fits", mode="update") as hdus:
        hdus[0].data[:, 0] = np.nan
        hdus[0].data[:, 15] = 0
    assert [Path(f).stem for f, _ in open_set(source).bad] == ["galaxy_2"]
    cropped = open_set(source, crop=8)
    assert cropped.bad == []
    assert np.isfinite(cropped.read([2], margin=4)).all()


def test_scattered_zeros_of_integers_and_of_quantised_files_are_flux(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    header = fits.Header([("FILTER", "r")])
    for name, sigma in (("fz", 1.0), ("int", 3.0)):
        source = tmp_path / name
        source.mkdir()
        for k in range(12):
            pixels = rng.normal(0, sigma, (64, 64)).astype(np.float32)
            # A third of the images only, or the rule would give way to what most images are.
            if name == "fz" and k < 4:
                pixels = np.round(pixels * 4) / 4
                hdus = [fits.PrimaryHDU(), fits.CompImageHDU(pixels, header)]
                fits.HDUList(hdus).writeto(source / f"{k}.fits.fz")
                continue
            if name == "int" and k < 4:
                pixels = pixels.round()
            fits.PrimaryHDU(pixels, header).writeto(source / f"{k}.fits")
        cutouts = open_set(source)
        assert cutouts.bad == []
        assert (cutouts.read([0]) == 0).mean() > 0.02


def test_zeros_that_most_images_have_are_flux(tmp_path: Path) -> None:
    header = fits.Header([("BANDS", BANDS3)])
    for k in range(5):
        pixels = pixels_of(tmp_path / str(k), 3, 16, 16).clip(0)
        pixels[:, :4] = 0
        fits.PrimaryHDU(pixels, header).writeto(tmp_path / f"{k}.fits")
    cutouts = open_set(tmp_path)
    assert len(cutouts) == 5
    assert any("taken for flux" in note for note in cutouts.notes)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    for source, message in (
        (tmp_path, "holds no image"),
        (tmp_path / "nowhere", "does not exist"),
        ("sersik", "did you mean the built-in set sersic"),
    ):
        with pytest.raises(DataError, match=message):
            open_set(source)
    (tmp_path / "bad").mkdir()
    for k in range(3):
        (tmp_path / "bad" / f"{k}.jpg").write_text("a text file")
    with pytest.raises(DataError, match=r"no image that can be used.*no JPG, PNG or TIFF"):
        open_set(tmp_path / "bad")
    with pytest.raises(DataError, match="fewer than the 64 asked for"):
        open_set(folder(tmp_path / "small"), size=64)
    draw(tmp_path / "tiny" / "a.png", 20)
    with pytest.raises(DataError, match="fewer than the 64 asked for"):
        open_set(tmp_path / "tiny", size=64)


def test_every_message_is_one_sentence(tmp_path: Path) -> None:
    for options in ({"crop": 0}, {"size": -1}, {"bands": ""}, {"crop": 8, "size": 4}):
        with pytest.raises(UserError) as caught:
            open_set(folder(tmp_path / f"{len(str(options))}{next(iter(options))}"), **options)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")


def test_a_count_is_drawn_by_seed(tmp_path: Path) -> None:
    source = folder(tmp_path, 20)
    some = open_set(source, count=5, seed=1)
    assert len(some) == 5
    assert list(some.names) == sorted(some.names)
    assert list(open_set(source, count=5, seed=1).names) == list(some.names)
    assert list(open_set(source, count=5, seed=2).names) != list(some.names)
    assert len(open_set(source, count=100)) == 20


def test_a_set_larger_than_memory_reads_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path, 6)
    kept = open_set(source).read([1, 4])
    monkeypatch.setattr(loading, "KEEP_BYTES", 1000)
    cutouts = open_set(source)
    assert any("read from its files" in note for note in cutouts.notes)
    assert np.array_equal(cutouts.read([1, 4]), kept)
    (source / "galaxy_4.fits").write_text("gone bad meanwhile")
    with pytest.raises(DataError, match=r"galaxy_4\.fits"):
        cutouts.read([4])


def test_array_set_gives_its_rim_as_margin() -> None:
    spec = open_set("sersic", count=3, size=16).spec
    pixels = np.arange(2 * 3 * 20 * 20, dtype=np.float32).reshape(2, 3, 20, 20)
    cutouts = ArraySet(pixels, spec, "memory", ["a", "b"])
    assert cutouts.max_margin == 2
    assert np.array_equal(cutouts.read([1])[0], pixels[1, :, 2:18, 2:18])
    assert np.array_equal(cutouts.read([1], margin=2)[0], pixels[1])


def test_sersic_by_name() -> None:
    cutouts = open_set("sersic", count=5, size=24, bands=("u", "r"), seed=3)
    assert cutouts.spec.shape == (2, 24, 24)
    assert cutouts.catalogue["mag_r"].shape == (5,)
    more = open_set("sersic", count=8, size=24, bands=("u", "r"), seed=3)
    assert np.array_equal(more.read([4]), cutouts.read([4]))
    with pytest.raises(ConfigError, match=r"data\.labels is for folders"):
        open_set("sersic", labels="a.csv:b")


def test_real_hsc(real_data) -> None:
    cutouts = open_set(
        real_data("hsc_grizy_fits_32"),
        group="header:SCENE",
        select="catalog.csv:i_peak_snr>10,bright_pixel_flag==0",
    )
    assert cutouts.spec.bands == ("g", "r", "i", "z", "y")
    assert cutouts.spec.zero_points == (27.0,) * 5
    assert len(cutouts) == 84
    assert len(set(cutouts.groups)) == 51
    assert (cutouts.catalogue["i_peak_snr"] > 10).all()


def test_real_ceers_finds_the_mosaic_edges(real_data) -> None:
    cutouts = open_set(real_data("ceers_7band_fits"), crop=100)
    assert len(cutouts.bad) == 11
    assert all("blank" in reason for _, reason in cutouts.bad)
    single = open_set(real_data("ceers_one_file_per_band"), crop=100)
    assert single.spec.bands == cutouts.spec.bands
    shared = [name for name in single.names if name in cutouts.names]
    assert len(shared) >= 5
    one = single.read([list(single.names).index(name) for name in shared])
    assert np.array_equal(one, cutouts.read([list(cutouts.names).index(name) for name in shared]))


def test_real_sdss_and_galaxy_zoo(real_data) -> None:
    sdss = open_set(real_data("sdss_ugriz_fits"))
    assert sdss.spec.unit == "nanomaggy"
    assert sdss.spec.pixel_scale == 0.396
    zoo = open_set(real_data("gz1_jpg"), labels="labels.csv:label", crop=212, size=32, count=60)
    assert set(zoo.classes) <= {
        "edge_on", "elliptical", "merger", "spiral_anticlockwise", "spiral_clockwise"
    }  # fmt: skip
    assert zoo.spec.shape == (3, 32, 32)
    radio = open_set(real_data("radio_first_png") / "valid", crop=150, size=32)
    assert radio.classes == ("Bent", "Compact", "FRI", "FRII")
    assert radio.name == "radio_first_png-valid"
    assert radio.spec.n_bands == 1


def test_labels_none_leaves_the_classes_of_folders_alone(tmp_path: Path) -> None:
    for k, name in enumerate(("spiral", "elliptical")):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(k).integers(0, 255, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    assert open_set(tmp_path).classes == ("elliptical", "spiral")
    without = open_set(tmp_path, labels="none")
    assert (without.classes, without.labels, len(without)) == ((), None, 2)
