"""Composites as numbers: any bands, one stretch, and what the pictures show."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from galgen.bands import ImageSpec
from galgen.measure.composite import (
    channel_groups,
    composite_planes,
    display_stretch,
    select_bands,
)
from galgen.report.pictures import composite
from galgen.stretch import Stretch

NAMES = ("u", "g", "r", "i", "z", "y", "j")


def images(n: int = 6, bands: int = 3, size: int = 16) -> torch.Tensor:
    axis = torch.arange(size) - size / 2
    blob = 200 * torch.exp(-(axis**2 + axis[:, None] ** 2) / 8)
    return blob + torch.randn(n, bands, size, size)


@pytest.mark.parametrize("bands", range(1, 8))
def test_every_channel_is_used_once_and_blue_stays_blue(bands: int) -> None:
    groups = channel_groups(NAMES[:bands])
    if bands == 1:
        assert groups == ((0,),)
    elif bands == 2:
        assert groups == ((1,), (0, 1), (0,))
    else:
        assert sorted(c for g in groups for c in g) == list(range(bands))
        red, green, blue = (sum(g) / len(g) for g in groups)
        assert red > green > blue
        assert len(groups[0]) == len(groups[2])


@pytest.mark.parametrize("bands", range(1, 8))
@pytest.mark.parametrize("display", [False, True])
def test_planes_are_what_the_pictures_round(bands: int, display: bool) -> None:
    spec = ImageSpec(16, NAMES[:bands], display=display)
    flux = images(4, bands)
    stretch = None if display else display_stretch(flux, spec)
    planes = composite_planes(flux, spec, stretch)
    assert planes.shape == (4, 3, 16, 16)
    assert planes.dtype == torch.float32
    assert 0 <= float(planes.min()) < float(planes.max()) <= 1
    pictures = torch.from_numpy(composite(flux, spec, stretch)).permute(0, 3, 1, 2)
    assert (planes * 255 - pictures).abs().max() <= 0.5001


def test_one_band_is_grey_and_the_reddest_band_is_red() -> None:
    grey = composite_planes(images(2, 1), ImageSpec(16, ("r",)))
    assert (grey[:, 0] == grey[:, 2]).all()
    flux = images(4, 3)
    spec = ImageSpec(16, ("i", "g", "r"))
    stretch = display_stretch(flux, spec)
    redder = flux.clone()
    redder[:, 0] *= 2
    change = composite_planes(redder, spec, stretch) - composite_planes(flux, spec, stretch)
    assert change[:, 0].max() > 0.02
    assert change[:, 1:].abs().max() == 0


def test_an_image_does_not_depend_on_the_others() -> None:
    flux = images(6)
    spec = ImageSpec(16, ("g", "r", "i"))
    stretch = display_stretch(flux, spec)
    together = composite_planes(flux, spec, stretch)
    assert torch.equal(composite_planes(flux[2:3], spec, stretch), together[2:3])


@pytest.mark.parametrize("display", [False, True])
def test_finite_for_any_pixel(display: bool) -> None:
    spec = ImageSpec(16, ("g", "r", "i", "z", "y"), display=display)
    flux = images(4, 5)
    stretch = Stretch.fit(flux, "asinh")
    flux[0] = float("nan")
    flux[1] = float("inf")
    flux[2, 0], flux[2, 1] = float("inf"), float("-inf")
    flux[3] = -1e30
    planes = composite_planes(flux, spec, stretch)
    assert torch.isfinite(planes).all()
    assert planes.min() >= 0
    assert planes.max() <= 1


def test_a_selection_of_bands_keeps_the_stretch() -> None:
    flux = images(5, 3)
    stretch = Stretch.fit(flux, "asinh")
    some = select_bands(stretch, ("g", "r", "i"), ("i", "g"))
    torch.testing.assert_close(some(flux[:, [2, 0]]), stretch(flux)[:, [2, 0]])


def test_it_needs_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import torch; from galgen.bands import ImageSpec\n"
        "from galgen.measure.composite import composite_planes\n"
        "planes = composite_planes(torch.randn(4, 2, 8, 8), ImageSpec(8, ('g', 'r')))\n"
        "assert planes.shape == (4, 3, 8, 8)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
