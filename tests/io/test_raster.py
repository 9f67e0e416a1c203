"""Pictures: depth, channels, resizing, and files that only pretend."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from galgen.errors import ConfigError, DataError, OutputError
from galgen.io import read_cutout
from galgen.io.png16 import decode_png16
from galgen.io.raster import read_raster, resize, write_raster


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def deep(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 65536, shape, dtype=np.uint16)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def filtered(pixels: np.ndarray, kinds: list[int]) -> bytes:
    """Rows of a PNG by the definitions of the standard, a byte at a time."""
    height, _width, channels = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    step, out = 2 * channels, bytearray()
    for y in range(height):
        out.append(kinds[y % len(kinds)])
        for k in range(rows.shape[1]):
            a = rows[y, k - step] if k >= step else 0
            b = rows[y - 1, k] if y else 0
            c = rows[y - 1, k - step] if y and k >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            out.append((rows[y, k] - (0, a, b, (a + b) // 2, paeth)[kinds[y % len(kinds)]]) % 256)
    return bytes(out)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_lossless_pictures_of_one_and_three_channels(tmp_path: Path, name: str) -> None:
    colour, grey = picture(7, 9, 3), picture(7, 9)
    Image.fromarray(colour).save(tmp_path / name)
    got = read_raster(tmp_path / name)
    assert got.display
    assert got.unit == "display"
    assert got.bands == ("R", "G", "B")
    assert got.pixels.dtype == np.float32
    assert np.array_equal(got.pixels, np.moveaxis(colour, -1, 0))
    Image.fromarray(grey).save(tmp_path / name)
    got = read_raster(tmp_path / name)
    assert got.bands == ("I",)
    assert np.array_equal(got.pixels[0], grey)


def test_jpeg_ignores_the_rotation_of_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4), (200, 100, 50)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    got = read_raster(tmp_path / "a.jpg").pixels
    assert got.shape == (3, 4, 8)
    assert np.allclose(got.mean((1, 2)), (200, 100, 50), atol=3)


def test_alpha_is_dropped_and_a_palette_becomes_colour(tmp_path: Path) -> None:
    colour = picture(5, 5, 4)
    Image.fromarray(colour).save(tmp_path / "rgba.png")
    assert np.array_equal(
        read_raster(tmp_path / "rgba.png").pixels, np.moveaxis(colour[..., :3], -1, 0)
    )
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    palette.save(tmp_path / "p.png")
    assert read_raster(tmp_path / "p.png").pixels[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 1, 3, 2, 0]])
def test_every_filter_of_a_16_bit_colour_png(tmp_path: Path, kinds: list[int]) -> None:
    pixels = deep(6, 11, 3)
    path = tmp_path / "deep.png"
    path.write_bytes(png(11, 6, 16, 2, filtered(pixels, kinds)))
    got = read_raster(path).pixels
    assert np.allclose(got, np.moveaxis(pixels, -1, 0) / 257.0, rtol=1e-6)
    assert len(np.unique(got)) > 180


def test_16_bit_png_of_other_channels_agrees_with_pillow_where_pillow_can(tmp_path: Path) -> None:
    grey = deep(13, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(decode_png16((tmp_path / "grey.png").read_bytes(), "grey.png"), grey)
    for colour, channels in ((4, 2), (6, 4)):
        pixels = deep(4, 5, channels)
        got = decode_png16(png(5, 4, 16, colour, filtered(pixels, [4, 3])), "a.png")
        assert np.array_equal(got, pixels[..., 0] if channels == 2 else pixels[..., :3])


def test_damaged_and_interlaced_16_bit_png(tmp_path: Path) -> None:
    pixels = deep(6, 11, 3)
    whole = png(11, 6, 16, 2, filtered(pixels, [4]))
    for name, data, message in (
        ("cut", whole[:200], "damaged|truncated"),
        ("laced", png(11, 6, 16, 2, filtered(pixels, [0]), interlace=1), "interlac"),
        ("filter", png(11, 6, 16, 2, b"\x09" + filtered(pixels, [0])[1:]), "row filter 9"),
    ):
        (tmp_path / f"{name}.png").write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_raster(tmp_path / f"{name}.png")


def test_16_bit_tiff_keeps_its_depth(tmp_path: Path) -> None:
    for name, pixels, options in (
        ("colour", deep(6, 5, 3), {"photometric": "rgb"}),
        ("planar", deep(3, 6, 5), {"photometric": "rgb", "planarconfig": "separate"}),
        ("grey", deep(6, 5), {}),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, **options)
        got = read_raster(tmp_path / f"{name}.tif").pixels
        expected = {"colour": np.moveaxis(pixels, -1, 0), "grey": pixels[None]}.get(name, pixels)
        assert np.allclose(got, expected / 257.0, rtol=1e-6), name


def test_floating_point_tiff_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.float32))
    with pytest.raises(DataError, match="FITS to keep the flux"):
        read_raster(tmp_path / "a.tif")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_giant_is_refused_from_its_header(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(50_000, 50_000, depth, 2, b"\0" * 1000))
    with pytest.raises(DataError, match=r"bomb\.png declares .* pixels and is not opened"):
        read_raster(path)


def test_a_giant_tiff_is_refused_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, deep(4, 4), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(50_000)
        tiff.pages[0].tags["ImageLength"].overwrite(50_000)
    with pytest.raises(DataError, match="50,000 x 50,000"):
        read_raster(path)


def test_text_truncated_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is no picture")
    with pytest.raises(DataError, match=r"text\.jpg is no JPG, PNG or TIFF"):
        read_raster(tmp_path / "text.jpg")
    Image.fromarray(picture(64, 64, 3)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.jpg cannot be read"):
        read_raster(tmp_path / "cut.jpg")
    with pytest.raises(DataError, match="does not exist"):
        read_raster(tmp_path / "nowhere.jpg")
    with pytest.raises(DataError, match="not an image that galgen reads"):
        read_cutout(tmp_path / "a.gif")


def test_channels_can_be_chosen_or_renamed(tmp_path: Path) -> None:
    colour = picture(4, 4, 3)
    Image.fromarray(colour).save(tmp_path / "a.png")
    got = read_cutout(tmp_path / "a.png", bands=("i", "r", "g"))
    assert got.bands == ("i", "r", "g")
    assert np.array_equal(got.pixels, np.moveaxis(colour, -1, 0))
    got = read_cutout(tmp_path / "a.png", bands=("B",))
    assert got.bands == ("B",)
    assert np.array_equal(got.pixels[0], colour[..., 2])
    with pytest.raises(ConfigError, match="R, G, B"):
        read_cutout(tmp_path / "a.png", bands=("x", "y"))


@pytest.mark.parametrize(("side", "size"), [(212, 64), (100, 50), (33, 32), (424, 7)])
def test_downscaling_keeps_the_mean_and_the_range(side: int, size: int) -> None:
    pixels = picture(3, side, side).astype(np.float32)
    got = resize(pixels, size)
    assert got.shape == (3, size, size)
    assert np.allclose(got.mean((1, 2)), pixels.mean((1, 2)), rtol=1e-5)
    assert got.min() >= pixels.min()
    assert got.max() <= pixels.max() + 1e-3


def test_halving_averages_blocks_and_upscaling_keeps_a_constant() -> None:
    pixels = picture(2, 8, 8).astype(np.float32)
    blocks = pixels.reshape(2, 4, 2, 4, 2).mean((2, 4))
    assert np.allclose(resize(pixels, 4), blocks, rtol=1e-6)
    assert np.allclose(resize(np.full((1, 5, 5), 7.0, np.float32), 13), 7.0)
    ramp = np.tile(np.arange(8, dtype=np.float32), (1, 8, 1))
    assert (np.diff(resize(ramp, 16)[0, 3]) >= 0).all()


def test_written_pictures_read_back(tmp_path: Path) -> None:
    colour, grey = picture(3, 16, 16).astype(np.float32), picture(1, 16, 16).astype(np.float32)
    for pixels in (colour, grey):
        write_raster(tmp_path / "a.png", pixels)
        assert np.array_equal(read_raster(tmp_path / "a.png").pixels, pixels)
    smooth = np.full((3, 16, 16), 120.0, np.float32)
    write_raster(tmp_path / "a.jpg", smooth)
    assert np.allclose(read_raster(tmp_path / "a.jpg").pixels, smooth, atol=2)
    write_raster(tmp_path / "b.png", np.array([[[-5.0, 300.0], [np.nan, 0.6]]], np.float32))
    assert read_raster(tmp_path / "b.png").pixels[0].tolist() == [[0, 255], [0, 1]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.png", "b.png"]


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="make room"):
        write_raster(tmp_path / "missing" / "a.png", np.zeros((1, 4, 4), np.float32))
    with pytest.raises(OutputError, match="format"):
        write_raster(tmp_path / "a.gif", np.zeros((1, 4, 4), np.float32))
