"""Choice of reader by the file's name, and .npy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from galgen.errors import ConfigError, DataError
from galgen.io import centre_crop, file_kind, image_stem, read_cutout


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("a.fits", "fits", "a"),
        ("frame-r-001.FITS.gz", "fits", "frame-r-001"),
        ("a.b.fit.fz", "fits", "a.b"),
        ("x.npy", "npy", "x"),
        ("x.JPEG", "raster", "x"),
        ("x.tiff", "raster", "x"),
        ("catalog.csv", None, "catalog.csv"),
        ("a.tar.gz", None, "a.tar.gz"),
    ],
)
def test_kind_and_stem(name: str, kind: str | None, stem: str) -> None:
    assert file_kind(name) == kind
    assert image_stem(name) == stem


def test_npy_of_bands_and_of_one_plane(tmp_path: Path) -> None:
    cube = np.arange(3 * 6 * 8, dtype=">f8").reshape(3, 6, 8)
    np.save(tmp_path / "a.npy", cube)
    got = read_cutout(tmp_path / "a.npy", bands=("g", "r", "z"), crop=4)
    assert got.pixels.dtype == np.float32
    assert got.bands == ("g", "r", "z")
    assert np.array_equal(got.pixels, cube[:, 1:5, 2:6])
    np.save(tmp_path / "b.npy", cube[0])
    assert read_cutout(tmp_path / "b.npy").bands is None
    with pytest.raises(ConfigError, match="--bands"):
        read_cutout(tmp_path / "a.npy")


def test_npy_that_is_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "deep.npy", np.ones((2, 2, 2, 2)))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00")
    for name in ("deep", "text", "pickle", "cut"):
        with pytest.raises(DataError, match=rf"{name}\.npy"):
            read_cutout(tmp_path / f"{name}.npy")


def test_centre_crop_of_odd_and_even_sides() -> None:
    plane = np.arange(25).reshape(5, 5)
    assert centre_crop(plane, 3).tolist() == plane[1:4, 1:4].tolist()
    assert centre_crop(plane, 2).tolist() == plane[1:3, 1:3].tolist()
    with pytest.raises(DataError, match="fewer than the 6"):
        centre_crop(plane, 6)
