"""Whether a file is whole is found by its sums alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galgen.bands import ImageSpec
from galgen.errors import DataError
from galgen.io.galaxyfile import GalaxyWriter
from galgen.io.sums import image_sums, read_sums, verify

SPEC = ImageSpec(16, ("g", "été"), "nanomaggy", (22.5, 22.5), 0.396)
FLUX = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32)


@pytest.fixture(params=["bands", "cube", "rice", "rice cube"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    compress = "rice" if "rice" in request.param else None
    writer = GalaxyWriter(SPEC, {"seed": 1}, cube="cube" in request.param, compress=compress)
    place = tmp_path / f"a{writer.ending}"
    place.write_bytes(writer.encode(FLUX, {"index": 3}).data)
    return place


def test_a_whole_file_holds(path: Path) -> None:
    assert verify(path) is None


def test_any_byte_that_changes_is_found(path: Path) -> None:
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*rng.integers(0, len(data), 60).tolist(), 0, len(data) - 1]:
        other = bytearray(data)
        other[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(other)
        told = verify(path)
        assert str(path) in str(told), at


def test_any_length_that_is_wrong_is_found(path: Path) -> None:
    data = path.read_bytes()
    with fits.open(path, disable_image_compression=True) as hdus:
        edges = [hdu.fileinfo()["hdrLoc"] for hdu in hdus]
    for length in (*edges, 1, 79, 2879, 2880, 5000, len(data) - 2880, len(data) - 1):
        path.write_bytes(data[:length])
        assert verify(path) is not None, length
    for more in (b"\0", bytes(2880), data):
        path.write_bytes(data + more)
        assert verify(path) is not None
    path.unlink()
    assert verify(path) == f"{path} does not exist."


def test_sums_are_those_of_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    for cube in (False, True):
        path.write_bytes(GalaxyWriter(SPEC, {}, cube=cube).encode(FLUX, {}).data)
        with fits.open(path) as hdus:
            images = [hdu for hdu in hdus if hdu.data is not None]
            wanted = [(h.header.get("EXTNAME", ""), int(h.header["DATASUM"])) for h in images]
        assert read_sums(path) == wanted == image_sums(FLUX, SPEC.bands, cube)
        assert image_sums(FLUX.astype(">f4")[:, ::-1][:, ::-1], SPEC.bands, cube) == wanted
        assert image_sums(FLUX + 1, SPEC.bands, cube) != wanted
    assert [name for name, _ in image_sums(FLUX, SPEC.bands)] == ["g", "ete"]


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(FLUX).writeto(path)
    told = verify(path)
    assert "lacks CHECKSUM or DATASUM" in str(told)
    with pytest.raises(DataError, match="does not say what the pixels of HDU 0 sum to"):
        read_sums(path)
    # Sums of astropy hold as they are, those of several types of data too.
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(5))])
    image = fits.ImageHDU(np.arange(7, dtype=np.int16))
    fits.HDUList([fits.PrimaryHDU(FLUX), table, image]).writeto(path, checksum=True, overwrite=True)
    assert verify(path) is None
    path.write_text("no FITS")
    assert "no FITS file" in str(verify(path))
    with pytest.raises(DataError, match="no FITS file"):
        read_sums(path)
