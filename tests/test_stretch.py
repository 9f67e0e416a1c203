"""The bridge between flux and network space keeps flux, and says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.errors import CheckpointError, ConfigError, DataError
from galgen.io import read_cutout
from galgen.io.header import write_galaxy
from galgen.stretch import KINDS, Stretch

SKY_NOISE = (0.02, 0.5, 7.0)
SKY_LEVEL = (0.0, 3.0, -20.0)
PEAK = (30.0, 900.0, 1e4)


def galaxies(
    n: int = 40, size: int = 32, bands: int = 3, seed: int = 0, sky: bool = True
) -> Tensor:
    """Exponential discs on a noisy sky, (n, bands, size, size), each band on its own scale."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(size) - (size - 1) / 2
    radius = torch.hypot(axis[:, None], axis[None, :])
    scale = 0.8 + 0.5 * torch.rand(n, 1, 1, 1, generator=generator)
    peak = torch.tensor(PEAK[:bands]).view(1, -1, 1, 1)
    level = torch.tensor(SKY_LEVEL[:bands]).view(1, -1, 1, 1)
    noise = torch.tensor(SKY_NOISE[:bands]).view(1, -1, 1, 1)
    light = peak * torch.exp(-radius / scale)
    if not sky:
        return light
    return light + level + noise * torch.randn(n, bands, size, size, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 3])
def test_there_and_back(kind: str, bands: int) -> None:
    flux = galaxies(bands=bands)
    stretch = Stretch.fit(flux, kind)
    x = stretch(flux)
    assert x.dtype == torch.float32
    assert x.shape == flux.shape
    assert stretch.n_bands == bands
    error = (stretch.inverse(x) - flux).abs().amax(dim=(0, 2, 3))
    span = flux.amax(dim=(0, 2, 3)) - flux.amin(dim=(0, 2, 3))
    assert bool((error / span < 1e-6).all())


def test_asinh_keeps_magnitudes_and_colours() -> None:
    flux = galaxies()
    back = Stretch.fit(flux).inverse(Stretch.fit(flux)(flux))
    level = torch.tensor(SKY_LEVEL).view(1, -1, 1, 1)
    aperture = (slice(None), slice(None), slice(8, 24), slice(8, 24))
    before, after = (
        -2.5 * (f.double() - level)[aperture].sum(dim=(2, 3)).log10() for f in (flux, back)
    )
    assert float((after - before).abs().max()) < 1e-3
    colour = (after[:, 0] - after[:, 1]) - (before[:, 0] - before[:, 1])
    assert float(colour.abs().max()) < 1e-3
    # and pixel by pixel, down to the noise
    bright = flux - level > 3 * torch.tensor(SKY_NOISE).view(1, -1, 1, 1)
    ratio = ((back - level) / (flux - level))[bright]
    assert float((2.5 * ratio.log10()).abs().max()) < 1e-3


def test_asinh_follows_its_equation() -> None:
    stretch = Stretch(
        "asinh", torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0 + 2.0 * 100])
    )
    flux = torch.tensor([1.0, 3.0, 201.0, 2001.0]).view(1, 1, 2, 2)
    expected = torch.asinh(torch.tensor([0.0, 1.0, 100.0, 1000.0])) / torch.asinh(
        torch.tensor(100.0)
    )
    torch.testing.assert_close(stretch(flux).flatten(), expected)
    assert float(stretch(flux).max()) > 1, "values above the top are not clipped"


def test_asinh_finds_the_sky() -> None:
    stretch = Stretch.fit(galaxies(n=200), "asinh")
    torch.testing.assert_close(
        stretch.scale, torch.tensor(SKY_NOISE, dtype=torch.float64), rtol=0.1, atol=0
    )
    offset = (stretch.low - torch.tensor(SKY_LEVEL)) / torch.tensor(SKY_NOISE)
    assert float(offset.abs().max()) < 0.5, "the sky level is off by half its noise"


@pytest.mark.parametrize("kind", ["asinh", "minmax"])
def test_network_space_has_sky_near_0_and_cores_near_1(kind: str) -> None:
    flux = galaxies(n=200)
    x = Stretch.fit(flux, kind)(flux)
    border = x[:, :, 0, :].mean(dim=(0, 2))
    core = x[:, :, 15:17, 15:17].mean(dim=(0, 2, 3))
    assert bool((border.abs() < 0.1).all())
    assert bool(((core > 0.5) & (core < 1.3)).all())


def test_minmax_takes_each_band_to_0_and_1() -> None:
    flux = galaxies()
    x = Stretch.fit(flux, "minmax")(flux)
    torch.testing.assert_close(x.amin(dim=(0, 2, 3)), torch.zeros(3))
    torch.testing.assert_close(x.amax(dim=(0, 2, 3)), torch.ones(3))


def test_linear_has_the_range_of_a_picture_whatever_the_set() -> None:
    stretch = Stretch.fit(galaxies(), "linear")
    picture = torch.tensor([0.0, 51.0, 255.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(stretch(picture).flatten(), torch.tensor([0.0, 0.2, 1.0]))
    # a picture that is black all over is still a picture
    assert Stretch.fit(torch.zeros(2, 1, 8, 8), "linear").n_bands == 1


@pytest.mark.parametrize("value", [0.0, 7.5, -3.0])
@pytest.mark.parametrize("kind", ["asinh", "minmax"])
def test_a_constant_band_is_refused_by_number(kind: str, value: float) -> None:
    flux = galaxies()
    flux[:, 1] = value
    with pytest.raises(DataError, match=rf"band 2 of 3 has the value {value:g}.*--bands"):
        Stretch.fit(flux, kind)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["asinh", "minmax"])
def test_nan_and_infinity_are_refused(kind: str, bad: float) -> None:
    flux = galaxies()
    flux[3, 1, 4, 5] = bad
    with pytest.raises(DataError, match="NaN or infinite"):
        Stretch.fit(flux, kind)


def noiseless() -> Tensor:
    return galaxies(bands=1, sky=False).clamp_min(0.5) - 0.5


def specks() -> Tensor:
    flux = torch.zeros(10, 1, 64, 64)
    flux[:, 0, 30:32, 30] = torch.rand(10, 2, generator=torch.Generator().manual_seed(1)) + 1
    return flux


def holes() -> Tensor:
    return -specks()


def pedestal() -> Tensor:
    return galaxies(bands=1) + 5e4


@pytest.mark.parametrize("make", [noiseless, specks, holes, pedestal])
def test_odd_sets_still_stretch_and_come_back(make: object) -> None:
    flux = make()  # type: ignore[operator]
    stretch = Stretch.fit(flux, "asinh")
    x = stretch(flux)
    assert bool(torch.isfinite(x).all())
    assert 0.05 < float(x.abs().max()) < 10
    rounding = 1e-6 * float(flux.max() - flux.min()) + 2**-22 * float(flux.abs().max())
    assert float((stretch.inverse(x) - flux).abs().max()) < rounding


def test_one_outlier_does_not_move_the_top() -> None:
    flux = galaxies(n=200)
    hot = flux.clone()
    hot[0, :, 5, 5] = 1e7
    torch.testing.assert_close(Stretch.fit(hot).top, Stretch.fit(flux).top, rtol=0.01, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_state_survives_json_bit_for_bit(kind: str) -> None:
    flux = galaxies()
    stretch = Stretch.fit(flux, kind)
    again = Stretch.from_state(json.loads(json.dumps(stretch.state())))
    assert again == stretch
    assert torch.equal(again(flux), stretch(flux))
    assert stretch != Stretch.fit(flux * 2, "asinh")


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "log"},
        {"low": "abc"},
        {"low": [0.0]},
        {"top": [float("nan")] * 3},
        {"scale": [0.0, 1.0, 1.0]},
        {"top": None},
    ],
)
def test_damaged_state_is_refused(damage: dict[str, object]) -> None:
    state = Stretch.fit(galaxies()).state()
    Stretch.from_state(state)
    with pytest.raises(CheckpointError, match="damaged"):
        Stretch.from_state(state | damage)
    with pytest.raises(CheckpointError, match="damaged"):
        Stretch.from_state({k: v for k, v in state.items() if k not in damage})


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="asinh, minmax, linear"):
        Stretch.fit(galaxies(), "log")


def test_wrong_shapes_are_programming_mistakes() -> None:
    stretch = Stretch.fit(galaxies())
    with pytest.raises(ValueError, match="image of 1 bands for a stretch of 3"):
        stretch(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match="expected"):
        Stretch.fit(torch.zeros(3, 8, 8))


def test_a_single_image_and_other_precision() -> None:
    flux = galaxies().double()
    stretch = Stretch.fit(flux)
    one = stretch(flux[0])
    assert one.dtype == torch.float64
    torch.testing.assert_close(one, stretch(flux)[0], rtol=0, atol=0)


def test_fit_leaves_the_images_alone() -> None:
    flux = galaxies()
    copy = flux.clone()
    for kind in KINDS:
        Stretch.fit(flux, kind)
    assert torch.equal(flux, copy)


def test_gradients_pass_both_ways() -> None:
    flux = galaxies(n=2).requires_grad_()
    stretch = Stretch.fit(flux.detach())
    stretch.inverse(stretch(flux)).sum().backward()  # type: ignore[no-untyped-call]
    assert flux.grad is not None
    torch.testing.assert_close(flux.grad, torch.ones_like(flux), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["hsc_grizy_fits_32", "sdss_ugriz_fits"])
def test_real_cutouts_keep_magnitude_and_colour(
    name: str, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """FITS -> tensor -> network space -> FITS, on real observations."""
    cutouts = [read_cutout(path) for path in sorted(real_data(name).glob("*.fits"))]
    bands = cutouts[0].bands
    assert bands is not None
    flux = torch.stack([torch.from_numpy(c.pixels) for c in cutouts])
    stretch = Stretch.fit(flux)
    spec = ImageSpec(size=flux.shape[-1], bands=bands, unit="nanomaggy")
    back = torch.empty_like(flux)
    for i, image in enumerate(stretch.inverse(stretch(flux))):
        path = tmp_path / f"{i}.fits"
        write_galaxy(path, image.numpy(), spec, {"index": i})
        back[i] = torch.from_numpy(read_cutout(path, bands=bands).pixels)
    centre = slice(flux.shape[-1] // 4, -(flux.shape[-1] // 4))
    before, after = (f.double()[:, :, centre, centre].sum(dim=(2, 3)) for f in (flux, back))
    seen = (before > 0) & (after > 0)
    assert float(seen.float().mean()) > 0.9, "most cutouts show a source"
    change = torch.where(seen, -2.5 * (after / before).log10(), torch.zeros(()))
    assert float(change.abs().max()) < 1e-3
    assert float((change[:, :-1] - change[:, 1:]).abs().max()) < 1e-3
