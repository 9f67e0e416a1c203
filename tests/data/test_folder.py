"""What lies in a folder: bands, classes, one file per galaxy, and what is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galgen.data.folder import scan_folder
from galgen.errors import DataError


def put(path: Path, *shape: int, **cards: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).normal(size=shape or (8, 8))
    fits.PrimaryHDU(pixels.astype(np.float32), fits.Header(list(cards.items()))).writeto(path)
    return path


def draw(path: Path, channels: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (8, 8, 3) if channels == 3 else (8, 8)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)).save(path)
    return path


def test_one_file_per_galaxy_sorted_and_other_files_passed_over(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        put(tmp_path / f"{name}.fits", 3, 8, 8, BANDS="g,r,i")
    (tmp_path / "catalogue.fits").write_bytes(b"a table, not an image")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.fits").write_text("hello")
    index = scan_folder(tmp_path)
    assert [entry.name for entry in index.entries] == ["a", "b", "c"]
    assert index.bands is None
    assert index.classes == ()


def test_folders_of_bands_by_agreeing_names(tmp_path: Path) -> None:
    for band in ("f200w", "f115w"):
        for galaxy in (1, 2, 3):
            put(tmp_path / band / f"ceers_{band}_{galaxy}.fits")
    index = scan_folder(tmp_path)
    assert index.bands == ("F115W", "F200W")
    assert [entry.name for entry in index.entries] == ["ceers_1", "ceers_2", "ceers_3"]
    assert [f.parent.name for f in index.entries[0].files] == ["f115w", "f200w"]
    assert any("sub-folders are bands" in note for note in index.notes)


def test_bands_are_listed_by_wavelength_and_equal_names_agree(tmp_path: Path) -> None:
    for band in ("i", "u", "g"):
        for galaxy in ("x", "y"):
            put(tmp_path / band / f"{galaxy}.fits")
    assert scan_folder(tmp_path).bands == ("u", "g", "i")


def test_a_galaxy_that_lacks_a_band_is_listed_as_bad(tmp_path: Path) -> None:
    for galaxy in ("x", "y", "z"):
        put(tmp_path / "g" / f"{galaxy}.fits")
        if galaxy != "y":
            put(tmp_path / "r" / f"{galaxy}.fits")
    index = scan_folder(tmp_path)
    assert [entry.name for entry in index.entries] == ["x", "z"]
    assert index.bad == ((str(tmp_path / "g" / "y.fits"), "no file of y in band r"),)


def test_folders_of_classes(tmp_path: Path) -> None:
    for name, count in (("FRI", 3), ("FRII", 2)):
        for k in range(count):
            draw(tmp_path / name / f"{name}_{k}.png", 1)
    index = scan_folder(tmp_path)
    assert index.classes == ("FRI", "FRII")
    assert index.bands is None
    assert index.entries[0].name == "FRI/FRI_0"
    assert [entry.folder for entry in index.entries] == ["FRI"] * 3 + ["FRII"] * 2


def test_classes_of_numbered_colour_images_are_not_bands(tmp_path: Path) -> None:
    for name in ("spiral", "elliptical"):
        for k in range(4):
            draw(tmp_path / name / f"{k}.png")
    assert scan_folder(tmp_path).classes == ("elliptical", "spiral")


def test_bands_by_name_in_one_flat_folder(tmp_path: Path) -> None:
    for galaxy in ("001", "002"):
        for band in "rgi":
            put(tmp_path / f"cutout_{galaxy}_{band}.fits")
    index = scan_folder(tmp_path)
    assert index.bands == ("g", "r", "i")
    assert [entry.name for entry in index.entries] == ["cutout_001", "cutout_002"]
    assert index.entries[1].files[2].name == "cutout_002_i.fits"


def test_numbers_and_cubes_are_no_bands(tmp_path: Path) -> None:
    for k in range(4):
        put(tmp_path / "numbers" / f"hsc_{k}.fits")
        put(tmp_path / "cubes" / f"x_{'griz'[k]}.fits", 2, 8, 8, BANDS="u,v")
    assert scan_folder(tmp_path / "numbers").bands is None
    assert scan_folder(tmp_path / "cubes").bands is None
    assert len(scan_folder(tmp_path / "cubes").entries) == 4


def test_previews_beside_fits_are_noted(tmp_path: Path) -> None:
    for k in range(3):
        put(tmp_path / f"{k}.fits", 2, 8, 8, BANDS="g,r")
        draw(tmp_path / f"{k}.jpg")
    index = scan_folder(tmp_path)
    assert index.kind == "fits"
    assert len(index.entries) == 3
    assert any("3 raster files" in note for note in index.notes)


def test_one_name_in_two_files_is_bad(tmp_path: Path) -> None:
    put(tmp_path / "a.fits")
    put(tmp_path / "a.fit")
    index = scan_folder(tmp_path)
    assert len(index.entries) == 1
    assert index.bad[0][1] == "same name as a.fit"


@pytest.mark.parametrize("formats", [("fits", "png", "jpg"), ("png", "jpg"), ("npy", "jpg")])
def test_one_stem_in_several_formats_is_one_galaxy(
    tmp_path: Path, formats: tuple[str, ...]
) -> None:
    for k in range(3):
        path = tmp_path / f"galaxy_{k:06d}"
        for ending in formats:
            if ending == "fits":
                put(path.with_suffix(".fits"), 3, 8, 8, BANDS="g,r,i")
            elif ending == "npy":
                np.save(path.with_suffix(".npy"), np.ones((3, 8, 8)))
            else:
                draw(path.with_suffix(f".{ending}"))
    draw(tmp_path / "overview.png")
    index = scan_folder(tmp_path)
    assert [entry.name for entry in index.entries] == [f"galaxy_{k:06d}" for k in range(3)]
    assert {entry.files[0].suffix for entry in index.entries} == {f".{formats[0]}"}
    assert index.bad == ()
    assert any(f"{formats[0]} files are read" in note for note in index.notes)


def test_a_picture_of_another_format_without_a_twin_stays(tmp_path: Path) -> None:
    for k in range(3):
        draw(tmp_path / f"{k}.png")
    draw(tmp_path / "0.jpg")
    draw(tmp_path / "7.jpg")
    index = scan_folder(tmp_path)
    assert [entry.files[0].name for entry in index.entries] == ["0.png", "1.png", "2.png", "7.jpg"]
    assert index.bad == ()


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        scan_folder(tmp_path)
    (tmp_path / "galaxies").mkdir()
    with pytest.raises(DataError, match=r"galaxie does not exist; did you mean .*galaxies"):
        scan_folder(tmp_path / "galaxie")
    with pytest.raises(DataError, match="did you mean the built-in set hubble"):
        scan_folder("hubbel")
    with pytest.raises(DataError, match="is a file: give the folder"):
        scan_folder(draw(tmp_path / "a.png"))
    draw(tmp_path / "deep" / "train" / "spiral" / "a.png")
    with pytest.raises(DataError, match=r"two levels down: open .*train instead"):
        scan_folder(tmp_path / "deep")


def test_real_folders(real_data) -> None:
    index = scan_folder(real_data("ceers_one_file_per_band"))
    assert index.bands == ("F115W", "F150W", "F200W", "F277W", "F356W", "F410M", "F444W")
    assert [entry.name for entry in index.entries][:2] == ["ceers_10983", "ceers_11097"]
    assert scan_folder(real_data("radio_first_png") / "valid").classes == (
        "Bent",
        "Compact",
        "FRI",
        "FRII",
    )
    assert scan_folder(real_data("hsc_grizy_fits_32")).bands is None
