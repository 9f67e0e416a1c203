"""Composites of any number of bands under one fixed stretch, and grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from galgen.bands import ImageSpec
from galgen.errors import OutputError
from galgen.measure.composite import display_stretch, select_bands
from galgen.report.pictures import composite, grid_png, mosaic, tile_scale
from galgen.stretch import Stretch

NAMES = ("u", "g", "r", "i", "z", "y", "j")


def images(n: int = 6, bands: int = 3, size: int = 16) -> torch.Tensor:
    axis = torch.arange(size) - size / 2
    blob = 200 * torch.exp(-(axis**2 + axis[:, None] ** 2) / 8)
    return blob + torch.randn(n, bands, size, size)


@pytest.mark.parametrize("bands", range(1, 8))
@pytest.mark.parametrize("display", [False, True])
def test_shapes_for_any_number_of_bands(bands: int, display: bool) -> None:
    spec = ImageSpec(16, NAMES[:bands], display=display)
    pictures = composite(images(4, bands), spec)
    assert pictures.shape == (4, 16, 16, 3)
    assert pictures.dtype == np.uint8
    assert pictures[:, 8, 8].min() > pictures[:, 0, 0].max()
    if bands == 1:
        assert (pictures[..., 0] == pictures[..., 2]).all()


def test_order_of_the_bands_does_not_matter() -> None:
    flux = images(3, 3)
    flux[:, 2] *= 4
    spec = ImageSpec(16, ("g", "r", "i"))
    stretch = Stretch.fit(flux, "asinh")
    turned = spec.select(("i", "g", "r"))
    rows = [2, 0, 1]
    expected = composite(flux, spec, stretch)
    other = composite(flux[:, rows], turned, select_bands(stretch, spec.bands, turned.bands))
    assert (expected == other).all()


def test_display_colours_are_those_of_the_file() -> None:
    flux = torch.zeros(1, 3, 2, 2)
    flux[0, :, 0, 0] = torch.tensor([255.0, 128.0, 3.0])
    pictures = composite(flux, ImageSpec(2, ("R", "G", "B"), display=True))
    assert pictures[0, 0, 0].tolist() == [255, 128, 3]


def test_no_image_is_scaled_by_itself() -> None:
    flux = images(8)
    spec = ImageSpec(16, ("g", "r", "i"))
    stretch = display_stretch(flux, spec)
    bright = composite(flux, spec, stretch)[2]
    assert (composite(flux[2:3], spec, stretch)[0] == bright).all()
    faint = composite(flux[2:3] / 20, spec, stretch)[0]
    assert int(faint.max()) < int(bright.max())


def test_linear_stretch_of_fluxes_is_opened_up() -> None:
    flux = images(8)
    flux[0] *= 50
    spec = ImageSpec(16, ("g", "r", "i"))
    pictures = composite(flux, spec, Stretch.fit(flux, "minmax"))
    assert pictures[3, 8, 8].mean() > 60


def test_nan_pixels_are_drawn_as_sky() -> None:
    flux = images(4)
    spec = ImageSpec(16, ("g", "r", "i"))
    stretch = display_stretch(flux, spec)
    flux[0, :, 8, 8] = float("nan")
    assert composite(flux, spec, stretch)[0, 8, 8].max() < 80


def test_mosaic_repeats_pixels() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (5, 4, 4, 3)).astype(np.uint8)
    sheet = mosaic(pictures, columns=3, scale=2)
    assert sheet.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    assert (sheet[2:10:2, 2:10:2] == pictures[0]).all()
    assert (sheet[13:20:2, 13:20:2] == pictures[4, :4]).all() or (
        sheet[12:20:2, 12:20:2] == pictures[4]
    ).all()
    with pytest.raises(ValueError, match="no pictures"):
        mosaic(pictures[:0])


@pytest.mark.parametrize(("size", "scale"), [(16, 6), (32, 3), (64, 2), (128, 1), (256, 1)])
def test_small_images_are_enlarged(size: int, scale: int) -> None:
    assert tile_scale(size) == scale


def test_grid_is_a_png_of_the_right_size(tmp_path: Path) -> None:
    path = grid_png(
        images(10), ImageSpec(16, ("g", "r", "i")), tmp_path / "new" / "grid.png", columns=4
    )
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (4 * 98 + 2, 3 * 98 + 2)
    assert [p.name for p in path.parent.iterdir()] == ["grid.png"]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with pytest.raises(OutputError, match=r"--out"):
        grid_png(images(1), ImageSpec(16, ("g", "r", "i")), blocker / "grid.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"taken\.png"):
        grid_png(images(1), ImageSpec(16, ("g", "r", "i")), tmp_path / "taken.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.png"]
