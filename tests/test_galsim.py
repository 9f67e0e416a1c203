"""Generated galaxies as profiles of GalSim: which, how bright, flux, pixels, PSF and shear."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

galsim = pytest.importorskip("galsim", reason="the galsim extra is not installed")

from galgen import checkpoint  # noqa: E402
from galgen.data.sersic import spec  # noqa: E402
from galgen.errors import CheckpointError, ConfigError  # noqa: E402
from galgen.galsim import GeneratedCatalog, GeneratedGalaxy  # noqa: E402
from galgen.io.psf import read_psf  # noqa: E402
from galgen.nn.psf import convolve  # noqa: E402
from tiny import OPTIONS, run  # noqa: E402

SCALE, SIDE = 0.2, 48
GAUSSIAN, MOFFAT = galsim.Gaussian(fwhm=0.7), galsim.Moffat(beta=3, fwhm=1.0, trunc=5)
SHEAR = galsim.Shear(g1=0.05, g2=-0.03)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a model with a PSF layer, classes and a number."""
    return run(
        tmp_path_factory.mktemp("layered"),
        model__options={**OPTIONS, "psf": "auto"},
        data__labels="catalogue:kind",
        data__condition="mag_r",
    ).run


@pytest.fixture
def known(layered: Path) -> Callable[..., GeneratedCatalog]:
    """Catalogues whose pictures are simulated galaxies: no PSF, no pixel, no noise."""

    def make(pictures: NDArray[np.float32] | None = None, **options: Any) -> GeneratedCatalog:
        catalogue = GeneratedCatalog(layered, **options)
        catalogue.spec = spec(SIDE)
        given = light() if pictures is None else pictures
        catalogue.picture = lambda index, **asked: given[index]  # type: ignore[method-assign]
        return catalogue

    return make


def light(n: int = 4) -> NDArray[np.float32]:
    """Well sampled galaxies (n, 3, 48, 48), elongated and off the middle."""
    profiles = [
        galsim.Gaussian(sigma=0.55, flux=flux).shear(g1=e, g2=0.1).shift(0.23, -0.11)
        + galsim.Gaussian(sigma=0.4, flux=flux / 3).shift(-0.6, 0.5)
        for flux, e in zip((5.0, 20.0, 80.0, 3.0), (0.2, -0.3, 0.0, 0.4), strict=True)
    ]
    images = [p.drawImage(nx=SIDE, ny=SIDE, scale=SCALE, method="no_pixel").array for p in profiles]
    return np.stack([np.stack([x, 2 * x, 3 * x]) for x in images])[:n]


def drawn(profile: Any, scale: float = SCALE, width: float = 25.0, **options: Any) -> Any:
    side = int(width / scale)
    return profile.drawImage(nx=side, ny=side, scale=scale, dtype=float, **options).array


def moments(image: NDArray[np.float64], scale: float = SCALE) -> NDArray[np.float64]:
    """Second moments (2, 2) in square arcsec."""
    places = np.stack(np.mgrid[: image.shape[0], : image.shape[1]][::-1]) * scale
    weight = image / image.sum()
    places = places - (places * weight).sum(axis=(1, 2))[:, None, None]
    return np.einsum("iyx,jyx,yx->ij", places, places, weight)


# -- which galaxy ----------------------------------------------------------------------------


def test_it_is_the_sample_of_that_number_bit_for_bit(layered: Path) -> None:
    model = checkpoint.load(layered)
    bare = model.sample(40, seed=3, psf="none", noise=False).numpy()
    for index in (39, 0, 17):
        for source in (model, layered, str(layered)):
            assert np.array_equal(GeneratedGalaxy(source, index, 3).picture, bare[index])
    seen = model.sample(3, psf=None, noise=True).numpy()
    kept = GeneratedCatalog(model, psf="keep", noise=True)
    assert np.array_equal(GeneratedGalaxy(kept, 2).picture, seen[2])
    quiet = model.sample(3, noise=False).numpy()
    assert np.array_equal(GeneratedGalaxy(model, 1, psf="keep").picture, quiet[1])


def test_it_is_what_was_asked_for(layered: Path) -> None:
    model = checkpoint.load(layered)
    asked = {"label": "spiral", "where": "mag_r=20..21", "truncation": 0.5}
    wanted = model.sample(2, psf="none", noise=False, **asked)[1].numpy()
    assert np.array_equal(GeneratedGalaxy(model, 1, **asked).picture, wanted)
    catalogue = GeneratedCatalog(model, **asked)
    assert np.array_equal(GeneratedGalaxy(catalogue, 1).picture, wanted)
    by_name = GeneratedGalaxy(model, 1, **{**asked, "where": {"mag_r": (20, 21)}})
    assert np.array_equal(by_name.picture, wanted)
    other = GeneratedGalaxy(catalogue, 1, label="elliptical", seed=4)
    assert other.seed == 4
    assert not np.array_equal(other.picture, wanted)


def test_a_sequence_is_drawn_by_chunks(layered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = checkpoint.load(layered), []
    inner = type(model).sample_chunks

    def counted(self: Any, indices: Any, **asked: Any) -> Any:
        calls.append(list(indices))
        return inner(self, indices, **asked)

    monkeypatch.setattr(type(model), "sample_chunks", counted)
    for index in (*range(40), 5):
        GeneratedGalaxy(model, index)
    assert [len(call) for call in calls] == [32, 32]
    monkeypatch.setattr("galgen.galsim.catalogue.KEPT", 1)
    catalogue = GeneratedCatalog(model)
    for index in (0, 40, 41, 0):
        GeneratedGalaxy(catalogue, index)
    assert len(calls) == 5, "only the latest chunk is kept where there is no room for more"


def test_galaxies_and_catalogues_go_to_other_processes(layered: Path) -> None:
    galaxy = GeneratedGalaxy(layered, 3, flux={"r": 10.0})
    again = pickle.loads(pickle.dumps(galaxy))
    assert again["r"] == galaxy["r"]
    for source in (layered, checkpoint.load(layered)):
        catalogue = GeneratedCatalog(source, seed=2)
        picture = catalogue.picture(3)
        content = pickle.dumps(catalogue)
        assert len(content) < 5000, "neither the network nor pictures travel"
        assert np.array_equal(pickle.loads(content).picture(3), picture)


# -- flux, pixels, PSF, shear ------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 0.263])
@pytest.mark.parametrize("psf", [GAUSSIAN, MOFFAT], ids=["gaussian", "moffat"])
@pytest.mark.parametrize("shear", [None, SHEAR], ids=["plain", "sheared"])
@pytest.mark.parametrize("way", ["none", "keep"])
def test_flux_is_kept(
    known: Callable[..., GeneratedCatalog], scale: float, psf: Any, shear: Any, way: str
) -> None:
    galaxy = GeneratedGalaxy(known(psf=way), 1)
    for band in ("g", "i"):
        profile = galaxy[band] if shear is None else galaxy[band].shear(shear)
        assert profile.flux == pytest.approx(galaxy.fluxes[band], rel=1e-9)
        total = drawn(galsim.Convolve(profile, psf), scale).sum()
        assert total == pytest.approx(galaxy.fluxes[band], rel=2e-4)


def test_flux_of_generated_galaxies_is_kept(layered: Path) -> None:
    """Whatever noise a network makes that has hardly learned anything."""
    for index in range(4):
        profile = galsim.Convolve(GeneratedGalaxy(layered, index)["g"], GAUSSIAN)
        for scale in (0.1, 0.2):
            assert drawn(profile, scale, 16.0).sum() == pytest.approx(profile.flux, rel=1e-3)


def test_the_pixel_comes_once(known: Callable[..., GeneratedCatalog]) -> None:
    """Drawn through the PSF of a layer, a galaxy is the image that the layer makes of it."""
    psf = read_psf("0.7", spec(SIDE))
    assert psf is not None
    layer = convolve(torch.from_numpy(light()).double(), torch.from_numpy(psf.kernels)).numpy()
    profile = GeneratedGalaxy(known(sky="keep", taper=0), 0)["r"]
    apart = {}
    for method in ("auto", "no_pixel"):
        image = drawn(galsim.Convolve(profile, GAUSSIAN), SCALE, SIDE * SCALE, method=method)
        apart[method] = np.abs(image - layer[0, 1]).max() / layer[0, 1].max()
    assert apart["auto"] < 2e-4
    assert apart["no_pixel"] > 5e-3


def test_a_band_without_a_psf_in_the_layer_has_the_pixel_in_it(layered: Path) -> None:
    model = checkpoint.load(layered)
    assert GeneratedCatalog(model).sharp == (False, False, False)
    psf = read_psf("g=0.7,r=0,i=0.7", model.spec)
    assert psf is not None
    model.module.set_psf(torch.from_numpy(psf.kernels))
    galaxy = GeneratedGalaxy(GeneratedCatalog(model, sky="keep", taper=0), 0)
    blob = galsim.Gaussian(sigma=0.4).drawImage(nx=16, ny=16, scale=0.2, method="no_pixel")
    galaxy.image = np.stack([blob.array.astype(float)] * 3)
    for band, again in (("r", True), ("g", False)):
        image = drawn(galaxy[band], 0.2, 3.2001)
        assert (np.abs(image - blob.array).max() < 2e-3 * blob.array.max()) == again


@pytest.mark.parametrize("scale", [0.1, 0.2, 0.3])
def test_with_its_psf_a_galaxy_is_what_that_pixel_sees(
    known: Callable[..., GeneratedCatalog], scale: float
) -> None:
    seen = galsim.Convolve(galsim.Gaussian(sigma=0.5, flux=7).shear(g1=0.3), GAUSSIAN)
    picture = seen.drawImage(nx=SIDE, ny=SIDE, scale=SCALE, dtype=float).array
    catalogue = known(np.stack([[picture] * 3]), psf="keep", sky="keep", taper=0)
    image = drawn(GeneratedGalaxy(catalogue, 0)["g"], scale, 9.6)
    truth = drawn(seen, scale, 9.6)
    assert np.abs(image - truth).max() / truth.max() < 3e-3


def test_a_psf_is_taken_out_where_it_is_said(
    known: Callable[..., GeneratedCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galgen.galsim.catalogue.ends_in_psf", lambda network: False)
    galaxy = galsim.Gaussian(sigma=0.5, flux=7).shear(g1=0.3)
    seen = galsim.Convolve(galaxy, GAUSSIAN)
    picture = seen.drawImage(nx=SIDE, ny=SIDE, scale=SCALE, dtype=float).array
    for own in (None, 0.7, "g=0.7,r=0.7,i=0.7"):
        catalogue = known(
            np.stack([[picture] * 3]), psf="deconvolve", own_psf=own, sky="keep", taper=0
        )
        catalogue.kernels = read_psf("0.7", spec(SIDE)).kernels  # type: ignore[union-attr]
        found = GeneratedGalaxy(catalogue, 0)["r"].shear(SHEAR)
        wide = galsim.Gaussian(fwhm=0.9)
        image = drawn(galsim.Convolve(found, wide))
        truth = drawn(galsim.Convolve(galaxy.shear(SHEAR), wide))
        assert np.abs(image - truth).max() / truth.max() < 1e-3
        assert image.sum() == pytest.approx(truth.sum(), rel=1e-3)


def test_moments_grow_as_the_psf_says(known: Callable[..., GeneratedCatalog]) -> None:
    profile = GeneratedGalaxy(known(), 2)["r"]
    narrow, wide = galsim.Gaussian(sigma=0.3), galsim.Gaussian(sigma=0.6)
    first, second = (
        moments(drawn(galsim.Convolve(profile, psf), width=40.0)) for psf in (narrow, wide)
    )
    assert second - first == pytest.approx(np.eye(2) * (0.6**2 - 0.3**2), abs=0.02 * 0.27)
    # GalSim's own, weighted: all of Gaussian shape.
    image = galsim.Convolve(galsim.Gaussian(sigma=0.5), wide).drawImage(scale=SCALE)
    picture = galsim.Gaussian(sigma=0.5).drawImage(nx=SIDE, ny=SIDE, scale=SCALE, method="no_pixel")
    round_one = GeneratedGalaxy(known(np.stack([[picture.array] * 3])), 0)["g"]
    found = galsim.Convolve(round_one, wide).drawImage(image=image.copy())
    sizes = [galsim.hsm.FindAdaptiveMom(x).moments_sigma for x in (found, image)]
    assert sizes[0] == pytest.approx(sizes[1], rel=2e-3)


@pytest.mark.parametrize("view", [(GAUSSIAN, 0.2), (MOFFAT, 0.1)], ids=["gaussian", "moffat"])
def test_the_shear_comes_back(
    known: Callable[..., GeneratedCatalog], view: tuple[Any, float]
) -> None:
    """The mean ellipticity of four turns is the shear (Seitz & Schneider 1997), to 1 %."""
    psf, scale = view
    blur = moments(
        drawn(galsim.Convolve(psf, galsim.Pixel(scale)), scale, method="no_pixel"), scale
    )
    profile, found = GeneratedGalaxy(known(), 1)["i"], []
    for turn in range(4):
        sheared = profile.rotate(45 * turn * galsim.degrees).shear(SHEAR)
        q = moments(drawn(galsim.Convolve(sheared, psf), scale), scale) - blur
        size = np.trace(q) + 2 * np.sqrt(np.linalg.det(q))
        found.append(complex(q[0, 0] - q[1, 1], 2 * q[0, 1]) / size)
    assert abs(found[0] - found[2]) > 0.1, "the galaxy has a shape of its own"
    assert abs(np.mean(found) - complex(SHEAR.g1, SHEAR.g2)) < 0.01 * abs(
        complex(SHEAR.g1, SHEAR.g2)
    )


def test_sky_and_edges_are_taken_off(known: Callable[..., GeneratedCatalog]) -> None:
    level = np.array([0.01, -0.02, 0.03], np.float32)[None, :, None, None]
    lifted = known(light() + level)
    for index in range(2):
        clean = GeneratedGalaxy(known(), index).fluxes
        assert GeneratedGalaxy(lifted, index).fluxes == pytest.approx(clean, rel=1e-3)
    raw = GeneratedGalaxy(known(light() + level, sky="keep", taper=0), 0)
    assert raw.fluxes["i"] == pytest.approx(float(light()[0, 2].sum()) + 0.03 * SIDE**2, rel=1e-4)
    flat = np.ones((1, 3, SIDE, SIDE), np.float32)
    edge = GeneratedGalaxy(known(flat, sky="keep", taper=3), 0).image[0, SIDE // 2]
    assert edge[:4] == pytest.approx([np.sin(np.pi / 12) ** 2, 0.5, np.sin(5 * np.pi / 12) ** 2, 1])
    assert edge[::-1] == pytest.approx(edge)


# -- brightness ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, (1.0, 2.0, 3.0)),
        ({"flux": {"r": 100}}, (50, 100, 150)),
        ({"flux": {"g": 1, "r": 10, "i": 7}}, (1, 10, 7)),
        ({"magnitude": {"r": 20.0}}, (5, 10, 15)),
        ({"magnitude": {"r": 20.0}, "zero_point": 27.5}, (500, 1000, 1500)),
        ({"magnitude": {"g": 20, "r": 21, "i": 22}, "zero_point": 25}, (100, 39.81, 15.85)),
        (
            {"magnitude": {"r": 20.0}, "zero_point": {"g": 25, "r": 27.5, "i": 30}},
            (50, 1000, 15000),
        ),
    ],
)
def test_brightness(
    known: Callable[..., GeneratedCatalog], asked: dict[str, Any], wanted: tuple[float, ...]
) -> None:
    found = GeneratedGalaxy(known(), 0, **asked)
    fluxes = np.array(list(found.fluxes.values()))
    if not asked:
        fluxes = fluxes / fluxes[0]
    assert fluxes == pytest.approx(wanted, rel=1e-3)
    assert [found[band].flux for band in found] == pytest.approx(list(found.fluxes.values()))


def test_a_zero_point_alone_is_another_unit(known: Callable[..., GeneratedCatalog]) -> None:
    own, other = (GeneratedGalaxy(known(), 0, zero_point=z).fluxes for z in (None, 25.0))
    assert other == pytest.approx({band: value * 10 for band, value in own.items()})


def test_one_band_needs_no_name(known: Callable[..., GeneratedCatalog]) -> None:
    catalogue = known(light()[:, 1:2])
    catalogue.spec = spec(SIDE, ("r",))
    galaxy = GeneratedGalaxy(catalogue, 0, magnitude=20.0)
    assert galaxy.band().flux == pytest.approx(10.0)
    assert list(galaxy) == ["r"]


# -- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"index": -1}, "index=-1: samples have numbers from 0"),
        ({"nobjects": 3, "index": 3}, "index=3: samples have numbers from 0 and below 3"),
        ({"nobjects": 0}, "nobjects=0"),
        ({"psf": "0.7"}, "psf=0.7: choose of none, keep, deconvolve"),
        ({"psf": "deconvolve"}, "has a PSF layer"),
        ({"own_psf": "0.7"}, "only psf=deconvolve"),
        ({"sky": "flat"}, "sky=flat: choose of border, keep"),
        ({"taper": 9}, "taper=9: give 0 to 8"),
        ({"pad_factor": 0}, "pad_factor=0: give a number from 1 to 64"),
        ({"pixel_scale": 0.1}, "are 0.2 arcsec"),
        ({"label": "comet"}, "comet is not a class"),
        ({"where": "mag_r=3"}, "was trained on mag_r"),
        ({"truncation": -1}, "--truncation -1"),
        ({"flux": 3.0}, r"say in which band, as in flux={'g': 3}"),
        ({"flux": {"y": 3.0}}, "flux of y: this model has g, r, i"),
        ({"flux": {"g": 3.0, "r": 2.0}}, "of one band or of all"),
        ({"flux": {"g": -3.0}}, "must be above 0"),
        ({"flux": {"g": np.nan}}, "finite"),
        ({"flux": {"g": 3.0}, "magnitude": {"g": 20}}, "give one of them"),
        ({"zero_point": {"g": 25}}, "one of each"),
    ],
)
def test_mistakes_have_a_sentence(layered: Path, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        GeneratedGalaxy(layered, **{"index": 0, **asked})


def test_mistakes_with_a_galaxy_in_hand(layered: Path, tmp_path: Path) -> None:
    galaxy = GeneratedGalaxy(layered, 0)
    for name, sentence in (
        ("q", "band q: this model has g, r, i"),
        (None, "say which, of g, r, i"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            galaxy.band(name)
    with pytest.raises(KeyError):
        galaxy["q"]
    with pytest.raises(ConfigError, match="say this of the catalogue"):
        GeneratedGalaxy(GeneratedCatalog(layered), 0, sky="keep")
    with pytest.raises(CheckpointError, match="does not exist"):
        GeneratedGalaxy(tmp_path / "nothing.ckpt", 0)
    galaxy.image *= -1
    with pytest.raises(ConfigError, match=r"galaxy 0 of seed 0 has no light in g .* so no profile"):
        galaxy.band("g")


def test_pictures_have_no_flux_and_no_pixel_scale() -> None:
    """The model that galgen ships: display values, no PSF layer."""
    ships = checkpoint.packaged_model()
    with pytest.raises(ConfigError, match=r"psf=keep gives them with it, psf=deconvolve"):
        GeneratedGalaxy(ships, 0)
    with pytest.raises(ConfigError, match="give pixel_scale, in arcsec"):
        GeneratedGalaxy(ships, 0, psf="keep")
    with pytest.raises(ConfigError, match="own_psf auto"):
        GeneratedGalaxy(ships, 0, psf="deconvolve", pixel_scale=0.05)
    with pytest.raises(ConfigError, match="values are no fluxes"):
        GeneratedGalaxy(ships, 0, psf="keep", pixel_scale=0.05)
    with pytest.raises(ConfigError, match="no zero points, so give zero_point"):
        GeneratedGalaxy(ships, 0, psf="keep", pixel_scale=0.05, magnitude={"R": 20})
    bands = checkpoint.load(ships).spec.bands
    galaxy = GeneratedGalaxy(
        ships, 0, psf="keep", pixel_scale=0.05, magnitude={bands[0]: 20}, zero_point=25
    )
    assert galaxy.band(bands[0]).flux == pytest.approx(100)
