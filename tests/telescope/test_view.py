"""One galaxy under several telescopes: its light, its moments, its noise, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from photutils.morphology import data_properties
from scipy.signal import fftconvolve

from galgen.bands import ImageSpec, zero_point_of_unit
from galgen.data.sersic import simulate
from galgen.data.sersic import spec as sersic_spec
from galgen.errors import ConfigError, DataError
from galgen.io.header import read_provenance, write_galaxy
from galgen.io.psf import read_psf
from galgen.nn.psf import convolve
from galgen.telescope import Telescope, View, prepare

BANDS = ("g", "r")
SPEC = sersic_spec(64, BANDS, 0.2, 0.7)


def galaxies(n: int = 4, fwhm: float = 0.0, size: int = 64, **more: Any) -> torch.Tensor:
    """Noiseless ones, well inside their stamps."""
    options = {"bands": BANDS, "pixel_scale": 0.2, "psf_fwhm": fwhm, "noise": False, "frame": 32}
    return torch.from_numpy(simulate(n, size=size, **{**options, **more})[0])


def through(flux: torch.Tensor, spec: ImageSpec = SPEC, layered: bool = True, **asked: Any) -> Any:
    view = prepare(Telescope.of(**asked), spec, layered, grained=True)
    seen = view.apply(flux, list(range(len(flux))), 0)
    assert seen.dtype == torch.float32
    assert seen.shape == (len(flux), *view.spec.shape)
    return seen.numpy().astype(float)


def moments(image: np.ndarray) -> np.ndarray:
    """Covariance of the light, (xx, xy, yy), by photutils."""
    matrix = data_properties(image).covariance.value
    return np.array([matrix[0, 0], matrix[0, 1], matrix[1, 1]])


@pytest.mark.parametrize("layered", [True, False])
def test_one_galaxy_under_two_psfs(layered: bool) -> None:
    """Second moments differ by those of the PSFs, and the light is the same."""
    flux = galaxies(3, fwhm=0.0 if layered else 0.5)
    spec = SPEC if layered else sersic_spec(64, BANDS, 0.2, 0.5)
    first, second = (through(flux, spec, layered, psf=p, size=128) for p in ("0.7", "1.3"))
    want = (1.3**2 - 0.7**2) / (8 * np.log(2)) / 0.2**2
    for one, two, bare in zip(first, second, flux.numpy().astype(float), strict=True):
        for a, b, galaxy in zip(one, two, bare, strict=True):
            assert abs(a.sum() / b.sum() - 1) < 1e-3
            assert abs(a.sum() / galaxy.sum() - 1) < 1e-3
            difference = moments(b) - moments(a)
            assert difference[[0, 2]] == pytest.approx([want, want], rel=0.02)
            assert abs(difference[1]) < 0.02 * want


@pytest.mark.parametrize("layered", [True, False])
@pytest.mark.parametrize("scale", [0.1, 0.17, 0.31, 0.5])
def test_one_galaxy_on_other_pixels(scale: float, layered: bool) -> None:
    flux = galaxies(2, fwhm=0.0 if layered else 0.5)
    spec = SPEC if layered else sersic_spec(64, BANDS, 0.2, 0.5)
    size = 2 * round(16 / scale)
    native = through(flux, spec, layered, psf="1", size=160)
    seen = through(flux, spec, layered, psf="1", pixel_scale=scale, size=size)
    assert np.abs(seen.sum((2, 3)) / native.sum((2, 3)) - 1).max() < 1e-4
    assert np.abs(seen.sum((2, 3)) / flux.numpy().sum((2, 3)) - 1).max() < 1e-3
    # Each pixel adds its own twelfth, and the light is where it was.
    for a, b in zip(native[:, 0], seen[:, 0], strict=True):
        wide = (moments(a)[[0, 2]] - 1 / 12) * 0.2**2
        assert (moments(b)[[0, 2]] - 1 / 12) * scale**2 == pytest.approx(wide, rel=0.01)
        centres = [np.array(data_properties(x).centroid) - (len(x) - 1) / 2 for x in (a, b)]
        assert centres[1] * scale == pytest.approx(centres[0] * 0.2, abs=2e-3)


def test_the_simulator_agrees_on_other_pixels() -> None:
    """Drawn at 0.2 arcsec and brought to 0.4, against drawn at 0.4 (about another centre)."""
    flux, want = galaxies(5, 0.9), galaxies(5, 0.9, pixel_scale=0.4, size=32, frame=16)
    got = through(flux, sersic_spec(64, BANDS, 0.2, 0.9), False, pixel_scale=0.4)
    for a, b in zip(got[:, 1], want.numpy()[:, 1].astype(float), strict=True):
        assert a.sum() == pytest.approx(b.sum(), rel=1e-4)
        assert moments(a) == pytest.approx(moments(b), rel=2e-3, abs=2e-3)


def test_the_field_of_view_stays_unless_a_size_is_given() -> None:
    flux = galaxies(2)
    for asked, size in (({}, 64), ({"pixel_scale": 0.4}, 32), ({"pixel_scale": 0.3}, 43)):
        view = prepare(Telescope.of(psf="1", **asked), SPEC, True, False)
        assert view.spec.size == size
        assert view.spec.pixel_scale == asked.get("pixel_scale", 0.2)
        assert view.spec.psf_fwhm == pytest.approx((1, 1))
        assert abs(view.apply(flux, [0, 1], 0).sum() / flux.sum() - 1) < 1e-3
    whole, part = through(flux, psf="1"), through(flux, psf="1", size=24)
    assert np.array_equal(part, whole[:, :, 20:44, 20:44])
    bare = flux.numpy()
    assert np.array_equal(through(flux), bare)
    padded = through(flux, size=70)
    assert np.array_equal(padded[:, :, 3:67, 3:67], bare)
    assert not padded[:, :, :3].any()


def test_without_padding_it_is_the_layer_of_the_generator(tmp_path: Path) -> None:
    flux = torch.randn(3, 2, 64, 64) ** 2
    lopsided = np.outer(np.hanning(9), np.hanning(11))
    lopsided[2, 3:] *= 1.4
    fits.PrimaryHDU(lopsided).writeto(tmp_path / "psf.fits")
    for text in ("0.9", "moffat:0.8", "g=0.7,r=0", str(tmp_path / "psf.fits")):
        psf = read_psf(text, SPEC)
        assert psf is not None
        want = convolve(flux.double(), torch.from_numpy(psf.kernels))
        assert np.abs(through(flux, psf=text) - want.numpy()).max() < 1e-5
        full = [[fftconvolve(x, k) for x, k in zip(galaxy, psf.kernels, strict=True)]
                for galaxy in flux.double().numpy()]  # fmt: skip
        side = np.shape(full)[-1]
        dark = through(flux, psf=text, size=side)
        assert np.abs(dark - np.array(full)).max() < 1e-5
    assert np.array_equal(through(flux, psf="none"), flux.numpy())


@pytest.mark.parametrize("psf", [None, "1.2"])
@pytest.mark.parametrize("ratio", [0.3, 0.7, 0.77, 0.9, 1.1, 1.3, 1.7, 1.9, 2.3, 2.7, 3])
def test_no_light_is_lost_or_added_where_pixels_do_not_divide_the_field(
    ratio: float, psf: str | None
) -> None:
    flux = galaxies(2, fwhm=0.7)
    what = {"pixel_scale": 0.2 * ratio, "psf": psf}
    seen = through(flux, SPEC, False, **what)
    assert seen.shape[2] == np.ceil(64 / ratio)
    assert np.abs(seen.sum((2, 3)) / flux.double().numpy().sum((2, 3)) - 1).max() < 1e-4
    # A flat sky: as bright per area as before, and all of the field's light.
    flat = through(torch.ones(1, 2, 64, 64), SPEC, False, **what)[0]
    assert flat[:, 1:-1, 1:-1] / ratio**2 == pytest.approx(1, rel=1e-5)
    assert flat.sum((1, 2)) == pytest.approx([64**2] * 2, rel=1e-5)
    # A light at the edge, whose wings leave the field, and what a header says again.
    edge = torch.zeros(1, 2, 64, 64)
    edge[:, :, 0, 30:34] = 1
    assert through(edge, SPEC, False, **what).sum((2, 3)) == pytest.approx(4, rel=1e-4)
    assert np.array_equal(through(flux, SPEC, False, size=seen.shape[2], **what), seen)


@pytest.mark.parametrize("unit", ["Jy/beam", "mJy beam-1", "JY/BEAM"])
def test_per_beam_is_a_brightness(unit: str) -> None:
    spec = ImageSpec(64, ("r",), unit, (None,), 0.2, (0.7,))
    view = prepare(Telescope.of(pixel_scale=0.4), spec, False, False)
    flat = torch.full((1, 1, 64, 64), 3.0)
    assert view.apply(flat, [0], 0).numpy() == pytest.approx(3.0, rel=1e-5)


def test_surface_brightness_stays_and_its_zero_point_moves() -> None:
    zero = zero_point_of_unit("MJy/sr", 0.2)
    spec = ImageSpec(64, ("r",), "MJy/sr", (zero,), 0.2, (0.7,))
    flat = torch.full((1, 1, 64, 64), 3.0)
    for scale in (0.1, 0.37):
        view = prepare(Telescope.of(psf="1", pixel_scale=scale), spec, True, False)
        seen = view.apply(flat, [0], 0).numpy()[0, 0]
        assert seen[1:-1, 1:-1] == pytest.approx(3.0, rel=1e-5)
        assert seen.sum() * (scale / 0.2) ** 2 == pytest.approx(3.0 * 64**2, rel=1e-5)
        assert view.spec.zero_points[0] == pytest.approx(zero_point_of_unit("MJy/sr", scale))
    # Fluxes of pixels grow with them, and their zero point stays.
    view = prepare(Telescope.of(psf="1", pixel_scale=0.4), SPEC, True, False)
    assert view.apply(flat.expand(1, 2, 64, 64), [0], 0).numpy() == pytest.approx(12.0, rel=1e-5)
    assert view.spec.zero_points == SPEC.zero_points


@pytest.mark.parametrize("noise", [None, "sigma=0.1", "sky=1,gain=9,read=2"])
def test_nothing_depends_on_the_rest_of_the_batch(noise: str | None) -> None:
    flux = galaxies(7)
    telescope = Telescope.of(psf="moffat:1", pixel_scale=0.3, size=60, noise=noise)
    view = prepare(telescope, SPEC, True, True)
    numbers = [5, 90, 2, 33, 64, 7, 8]
    whole = view.apply(flux, numbers, 11)
    for k in range(7):
        assert torch.equal(view.apply(flux[[k]], [numbers[k]], 11)[0], whole[k])
    again = view.apply(flux[[3, 1]], [33, 90], 11)
    assert torch.equal(again, whole[[3, 1]])
    # The galaxy is another sample's: the noise is not, and it has a seed of its own.
    if noise is not None:
        assert not torch.equal(view.apply(flux[[3]], [34], 11)[0], whole[3])
        assert not torch.equal(view.apply(flux[[3]], [33], 12)[0], whole[3])
        own = prepare(Telescope.of(**{**telescope.state(), "noise_seed": 11}), SPEC, True, True)
        assert torch.equal(own.apply(flux[[3]], [33], 99)[0], whole[3])
    empty = view.apply(flux[:0], [], 11)
    assert empty.shape == (0, *view.spec.shape)


def test_each_telescope_and_each_attempt_has_noise_of_its_own() -> None:
    flux = torch.zeros(1, 2, 64, 64)
    seen = []
    for name in ("", "sdss", "hsc"):
        view = prepare(Telescope.of(name=name, noise="sigma=1"), SPEC, True, True)
        seen += [view.apply(flux, [3], 0, attempt).flatten() for attempt in (0, 1)]
        assert torch.equal(view.apply(flux, [3], 0).flatten(), seen[-2])
        other = prepare(again(view), SPEC, True, True)
        assert torch.equal(other.apply(flux, [3], 0, 1).flatten(), seen[-1])
    assert (torch.corrcoef(torch.stack(seen)) - torch.eye(6)).abs().max() < 0.06


def test_what_the_model_is_asked_for() -> None:
    def asked(layered: bool, grained: bool = True, **what: Any) -> tuple[str | None, bool]:
        view = prepare(Telescope.of(**what), SPEC, layered, grained)
        return view.look_psf, view.look_noise

    assert asked(True, psf="1") == ("none", False)
    assert asked(True, psf="none") == ("none", False)
    assert asked(True, noise="sigma=1") == (None, False)
    # Grain is counted with the light of its pixel.
    assert asked(True, pixel_scale=0.4) == (None, True)
    assert asked(False, psf="1") == (None, False)
    assert asked(False, grained=False, psf="1", noise="sigma=1") == (None, True)


def again(view: View) -> Telescope:
    """Through JSON and the cards of a header."""
    made = Telescope.from_cards(json.loads(json.dumps(view.cards)))
    assert made is not None
    assert Telescope.from_state(json.loads(json.dumps(made.state()))) == made
    return made


@pytest.mark.parametrize(
    "what",
    [
        {"instrument": "hsc"},
        {"instrument": "lsst", "noise_seed": 4, "psf": "0.8", "size": 90},
        {"psf": "none"},
        {"psf": "moffat:g=1,r=0.9", "pixel_scale": 1 / 3, "noise": "sigma=0.1/0.30000000000000004"},
        {"noise": "sky=0.1,gain=4,read=5"},
        {},
    ],
)
def test_the_cards_make_the_same_telescope(what: dict[str, Any], tmp_path: Path) -> None:
    flux = galaxies(2)
    view = prepare(Telescope.of(**what), SPEC, True, True)
    other = prepare(again(view), SPEC, True, True)
    assert torch.equal(view.apply(flux, [3, 4], 5), other.apply(flux, [3, 4], 5))
    assert (view.spec, view.cards, view.look_psf) == (other.spec, other.cards, other.look_psf)
    if "instrument" not in what:
        assert Telescope.from_state(Telescope.of(**what).state()) == Telescope.of(**what)
    # All the way through a file, whose texts may be long and whose numbers have 16 digits.
    write_galaxy(tmp_path / "a.fits", flux[0].numpy(), SPEC, view.cards)
    told = Telescope.from_cards(read_provenance(tmp_path / "a.fits"))
    assert told == again(view)
    own = prepare(Telescope.of(psf="1.2", own_psf="0.7"), SPEC, False, True)
    assert again(own).own_psf == "0.7"
    assert Telescope.from_cards({"psf": "auto", "seed": 3}) is None


def test_a_file_is_known_by_its_name_and_hash(tmp_path: Path) -> None:
    psf = read_psf("1", SPEC)
    assert psf is not None
    path = tmp_path / "seen.fits"
    fits.PrimaryHDU(psf.kernels[0]).writeto(path)
    cards = prepare(Telescope.of(psf=str(path)), SPEC, True, True).cards
    assert (cards["psf"], cards["telescope_psf"]) == ("seen.fits", "seen.fits")
    assert len(cards["psf_hash"]) == 16
    same = prepare(Telescope.of(psf="1"), SPEC, True, True).cards
    assert same["psf_hash"] == cards["psf_hash"]
    assert prepare(Telescope.of(psf="1.01"), SPEC, True, True).cards["psf_hash"] != same["psf_hash"]


@pytest.mark.parametrize(
    ("what", "layered", "spec", "words"),
    [
        ({"psf": "0.5"}, False, SPEC, r"PSF of 0\.7 arcsec FWHM already"),
        ({"psf": "none"}, False, SPEC, "cannot be taken off"),
        ({"psf": "20"}, True, SPEC, "100 px FWHM does not fit into images of 64 px"),
        ({"psf": "20", "size": 128}, True, SPEC, "does not fit into images of 128 px"),
        ({"psf": "1"}, False, SPEC.replace(psf_fwhm=None), "sample.own_psf"),
        (
            {"pixel_scale": 0.1, "psf": "0.3"},
            True,
            SPEC,
            r"0\.2 arcsec hold no finer .* 0\.4 arcsec",
        ),
        ({"pixel_scale": 0.1, "psf": "none"}, True, SPEC, "a PSF of 0 arcsec"),
        ({"pixel_scale": 0.1}, False, sersic_spec(64, BANDS, 0.2, 0.3), "hold no finer detail"),
        ({"pixel_scale": 0.1}, True, SPEC.replace(pixel_scale=None), "how large .* is not known"),
        ({"pixel_scale": 5.0}, True, SPEC, "3 pixels would be left of 64"),
        ({"size": 100_000}, True, SPEC, "^--stamp 100000: 100,000 pixels .* the 1,024 that"),
        ({"pixel_scale": 1e-4}, False, SPEC, "^--pixel-scale 0.0001: 128,000 .* the 8,192 that"),
        (
            {"pixel_scale": 0.3},
            True,
            ImageSpec(64, BANDS, display=True),
            "^--pixel-scale: .*pictures",
        ),
        ({"noise": "sigma=1"}, True, ImageSpec(64, BANDS, display=True), "^--noise: .* no fluxes"),
        (
            {"instrument": "hsc"},
            True,
            ImageSpec(64, BANDS, display=True),
            "^--instrument hsc: .*pict",
        ),
        ({"psf": "2px"}, False, ImageSpec(64, BANDS, display=True), "^--psf: .*pictures"),
        ({"noise": "sigma=1/2/3"}, True, SPEC, "one for each of g, r"),
    ],
)
def test_what_cannot_be_seen(what: Any, layered: bool, spec: ImageSpec, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        prepare(Telescope.of(**what), spec, layered, True)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"pixel_scale": 0.0}, "--pixel-scale 0: give arcsec per pixel, above 0"),
        ({"pixel_scale": float("nan")}, "--pixel-scale nan"),
        ({"size": 3}, "--stamp 3: give 4 pixels or more"),
        ({"noise": "loud"}, "--noise loud"),
        ({"instrument": "vlt"}, "--instrument vlt"),
        ({"pixelscale": 1.0}, "did you mean pixel_scale"),
    ],
)
def test_what_is_no_telescope(what: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Telescope.of(**what)


def test_pictures_can_be_padded_and_seen_through_their_layer() -> None:
    pictures = ImageSpec(64, BANDS, display=True)
    view = prepare(Telescope.of(psf="2px", size=80), pictures, True, True)
    assert (view.spec.size, view.spec.display) == (80, True)
    with pytest.raises(DataError, match=r"^--psf none\.fits does not exist"):
        prepare(Telescope.of(psf="none.fits"), SPEC, True, True)
