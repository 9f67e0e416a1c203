"""Telescopes as they are typed, and one galaxy under several of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError, OutputError
from galgen.sample import go_on, sample
from galgen.sampling.telescopes import typed
from galgen.telescope import Telescope
from tiny import run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A model whose generator ends in a PSF layer."""
    from tiny import OPTIONS

    outcome = run(tmp_path_factory.mktemp("layered"), model__options=OPTIONS | {"psf": "auto"})
    return checkpoint.load(outcome.run)


def test_one_value_is_for_all_and_several_are_for_each() -> None:
    assert typed() == typed(psf="0.7,0.6,0.5") == ()
    both = typed(psf="0.7;1.4", noise="sigma=0.01", noise_seed=3, same_galaxy=True)
    assert [(t.name, t.psf, t.noise, t.noise_seed) for t in both] == [
        ("view1", "0.7", "sigma=0.01", 3), ("view2", "1.4", "sigma=0.01", 3),
    ]  # fmt: skip
    assert [t.name for t in typed(instrument="sdss,hsc", same_galaxy=True)] == ["sdss", "hsc"]
    (one,) = typed(pixel_scale="0.1", stamp="40")
    assert (one.pixel_scale, one.size) == (0.1, 40)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"psf": "0.7;1.4"}, "--psf names 2 telescopes: add --same-galaxy"),
        ({"psf": "0.7", "same_galaxy": True}, "--same-galaxy: name the telescopes"),
        ({"psf": "1;2", "stamp": "8;9;10", "same_galaxy": True}, "--psf is given for 2 .* for 3"),
        ({"noise_seed": 3}, "--noise-seed is that of --noise"),
        ({"pixel_scale": "0"}, "--pixel-scale 0: give arcsec"),
        ({"stamp": "1.5"}, "--stamp 1.5: give a number of pixels"),
        ({"instrument": "hsc,,sdss", "same_galaxy": True}, "a value is empty"),
        ({"instrument": "hsc,hsc", "same_galaxy": True}, "names hsc twice"),
        ({"noise": "sigma"}, "--noise"),
    ],
)
def test_telescopes_that_make_no_sense(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        typed(**asked)


def test_the_same_galaxies_under_two_telescopes(model: TrainedModel, tmp_path: Path) -> None:
    both = [
        Telescope.of(name="sharp", psf="0.8", size=24),
        Telescope.of(name="blurred", psf="1.2", noise="sigma=0.001", size=24),
    ]
    made = sample(model, 3, telescopes=both, formats=["fits", "png"], out=tmp_path / "set")
    assert made.files == (
        "galaxy_000000_sharp.fits", "galaxy_000000_sharp.png",
        "galaxy_000000_blurred.fits", "galaxy_000000_blurred.png",
    )  # fmt: skip
    table = Table.read(made.catalogue, unit_parse_strict="silent")
    assert table["telescope"].tolist() == ["sharp", "blurred"] * 3
    assert table["sample"].tolist() == [0, 0, 1, 1, 2, 2]
    for k in range(3):
        sharp, blurred = (
            fits.getdata(made.folder / f"galaxy_{k:06d}_{name}.fits", "r")
            for name in ("sharp", "blurred")
        )
        assert sharp.shape == blurred.shape == (24, 24)
        assert not np.array_equal(sharp, blurred)
        assert abs(float(sharp.sum() - blurred.sum())) < 0.001 * 24 * 5 + 1e-3 * sharp.sum()
    names = sorted(p.name for p in made.folder.iterdir())
    assert go_on(tmp_path / "set", model).made == 0
    assert go_on(tmp_path / "set", model, 4).made == 1
    assert len(list(made.folder.iterdir())) == len(names) + 4


def test_an_instrument_without_its_noise(model: TrainedModel, tmp_path: Path) -> None:
    """However it is said; and not one bit of noise is left."""
    from galgen.sampling.telescopes import of_config

    usual = dict.fromkeys(
        ("psf", "pixel_scale", "stamp", "own_psf", "noise_seed", "instrument", "same_galaxy")
    )
    assert of_config({**usual, "noise": "none", "same_galaxy": False})["telescopes"] == ()
    files = []
    for name, noise, seed in (("a", False, 1), ("b", "none", 2)):
        asked = {**usual, "noise": noise, "instrument": "hsc", "noise_seed": seed}
        made = sample(
            model, 2, **of_config(asked | {"same_galaxy": False}), formats=["fits"],
            out=tmp_path / name,
        )  # fmt: skip
        path = made.folder / "galaxy_000001.fits"
        assert fits.getheader(path)["NOISE"] == "none"
        files.append(fits.getdata(path, "r"))
        from galgen.replay import replay

        assert replay([path], model.path)[0].state == "identical"
    assert np.array_equal(*files)


def test_telescopes_need_names_of_their_own(model: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="need different names"):
        sample(model, 1, telescopes=[Telescope.of(psf="0.8"), Telescope.of(psf="1.2")])
    two = [Telescope.of(name=name, psf="0.8") for name in "ab"]
    with pytest.raises(ConfigError, match="--pack holds images of one telescope"):
        sample(model, 1, telescopes=two, pack=True)
    with pytest.raises(ConfigError, match="psf: it is the telescopes' to say"):
        sample(model, 1, telescopes=[Telescope.of(psf="0.8")], psf="0.8")


def test_some_of_the_bands(model: TrainedModel, tmp_path: Path) -> None:
    """In the order that is asked for, with and without a telescope, and drawn again."""
    from galgen.replay import replay

    whole = sample(model, 2, formats=["fits"], out=tmp_path / "whole")
    some = sample(model, 2, formats=["fits", "png"], bands=["i", "g"], out=tmp_path / "some")
    seen = sample(model, 2, bands=["r"], telescopes=[Telescope.of(psf="1")], out=tmp_path / "seen")
    with fits.open(some.folder / "galaxy_000001.fits") as hdus:
        assert [hdu.header["EXTNAME"] for hdu in hdus[1:]] == ["i", "g"]
        for hdu in hdus[1:]:
            band = hdu.header["EXTNAME"]
            path = whole.folder / "galaxy_000001.fits"
            assert np.array_equal(hdu.data, fits.getdata(path, band))
            assert hdu.header["STRSOFT"] == fits.getheader(path, band)["STRSOFT"]
    assert "mag_r" not in Table.read(some.catalogue, unit_parse_strict="silent").colnames
    for made in (some, seen):
        files = [made.folder / f"galaxy_00000{k}.fits" for k in (0, 1)]
        assert all(found.state == "identical" for found in replay(files, model.path))
    with pytest.raises(ConfigError, match="there is no band 'q'"):
        sample(model, 2, bands=["q"], out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_psf_is_what_its_file_holds(model: TrainedModel, tmp_path: Path) -> None:
    """Another kernel in a file of the same name is another set; the same one elsewhere is not."""
    grid = np.hypot(*(np.mgrid[:15, :15] - 7))

    def write(folder: Path, width: float) -> Path:
        folder.mkdir(exist_ok=True)
        kernel = np.exp(-0.5 * (grid / width) ** 2).astype(np.float32)
        fits.writeto(folder / "psf.fits", kernel, overwrite=True)
        return folder / "psf.fits"

    asked = {"formats": ["fits"], "out": tmp_path / "set"}
    sample(model, 3, psf=str(write(tmp_path / "a", 2.5)), **asked)
    assert sample(model, 3, psf=str(write(tmp_path / "b", 2.5)), **asked).made == 0
    with pytest.raises(OutputError, match="another telescope"):
        sample(model, 5, psf=str(write(tmp_path / "a", 2.8)), **asked)
