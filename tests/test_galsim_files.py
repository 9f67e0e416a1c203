"""GalSim's configuration files draw generated galaxies, and the examples of it run."""

from __future__ import annotations

import copy
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

galsim = pytest.importorskip("galsim", reason="the galsim extra is not installed")

from galgen.galsim import GeneratedGalaxy  # noqa: E402
from tiny import OPTIONS, run  # noqa: E402

EXAMPLES = Path(__file__).parents[1] / "examples"
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


def config(model: Path, folder: Path, n: int = 3, **gal: Any) -> dict[str, Any]:
    return {
        "modules": ["galgen.galsim"],
        "input": {"generated_catalog": {"file_name": str(model), "seed": 5}},
        "gal": {"type": "GeneratedGalaxy", "band": "g", **gal},
        "psf": {"type": "Gaussian", "fwhm": 0.7},
        "image": {"type": "Tiled", "nx_tiles": n, "ny_tiles": 1, "stamp_size": 48,
                  "pixel_scale": 0.2, "random_seed": 1},
        "output": {"dir": str(folder), "file_name": "out.fits"},
    }  # fmt: skip


def made(settings: dict[str, Any]) -> NDArray[np.float64]:
    """Stamps (n, 48, 48) of the file that GalSim writes."""
    galsim.config.Process(copy.deepcopy(settings))
    folder = Path(settings["output"]["dir"])
    image = galsim.fits.read(str(folder / "out.fits")).array
    return np.stack(np.split(image.astype(float), settings["image"]["nx_tiles"], axis=1))


def stamp(galaxy: GeneratedGalaxy, shear: Any = None) -> NDArray[np.float64]:
    profile = galaxy["g"] if shear is None else galaxy["g"].shear(shear)
    seen = galsim.Convolve(profile, galsim.Gaussian(fwhm=0.7))
    return seen.drawImage(nx=48, ny=48, scale=0.2, dtype=float).array


def test_a_configuration_file_draws_the_librarys_galaxies(layered: Path, tmp_path: Path) -> None:
    stamps = made(config(layered, tmp_path, shear={"type": "G1G2", "g1": 0.05, "g2": -0.03}))
    for index, found in enumerate(stamps):
        wanted = stamp(GeneratedGalaxy(layered, index, 5), SHEAR)
        assert found == pytest.approx(wanted, abs=1e-6 * wanted.max())
        assert found.sum() == pytest.approx(wanted.sum(), rel=1e-5)
    assert not np.allclose(stamps[0], stamps[1])


def test_two_processes_draw_the_same(layered: Path, tmp_path: Path) -> None:
    settings = config(layered, tmp_path, n=6, shear={"type": "G1G2", "g1": 0.05, "g2": -0.03})
    one = made(settings)
    settings["image"]["nproc"] = 2
    assert np.array_equal(made(settings), one)


def test_fields_are_generated_as_any_of_galsims(layered: Path, tmp_path: Path) -> None:
    settings = config(
        layered,
        tmp_path,
        index={"type": "Sequence", "first": 7, "step": -2},
        seed=[1, 2],
        label={"type": "List", "items": ["spiral", "elliptical"]},
        where={"type": "FormattedStr", "format": "mag_r=%f", "items": [20.5]},
        truncation=0.7,
        mag={"type": "Sequence", "first": 20.0, "step": 0.5},
        mag_band="r",
        zero_point=25.0,
    )
    for n, found in enumerate(made(settings)):
        wanted = GeneratedGalaxy(
            layered, 7 - 2 * n, 1 + n % 2, label=("spiral", "elliptical")[n % 2],
            where="mag_r=20.50", truncation=0.7, magnitude={"r": 20 + 0.5 * n}, zero_point=25.0,
        )  # fmt: skip
        assert found == pytest.approx(stamp(wanted), abs=1e-6 * abs(stamp(wanted)).max())
    for scaled in ({"flux": 30.0}, {"flux_rescale": 2.0}):
        found = made(config(layered, tmp_path, n=1, index=2, **scaled))[0].sum()
        own = stamp(GeneratedGalaxy(layered, 2, 5)).sum()
        lost = own / GeneratedGalaxy(layered, 2, 5).fluxes["g"]
        assert found == pytest.approx(30.0 * lost if "flux" in scaled else 2 * own, rel=1e-4)


def test_numbers_run_to_the_end_of_a_catalogue(layered: Path, tmp_path: Path) -> None:
    settings = config(layered, tmp_path, n=3)
    settings["input"]["generated_catalog"]["nobjects"] = 2
    first, second, third = made(settings)
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)
    settings["gal"]["index"] = {"type": "Random"}
    for found in made(settings):
        assert any(np.array_equal(found, one) for one in (first, second))


@pytest.mark.parametrize(
    ("part", "fields", "sentence"),
    [
        ("gal", {"band": "q"}, "GeneratedGalaxy: band q: this model has g, r, i"),
        ("gal", {"index": -4}, "index=-4"),
        ("gal", {"label": "comet"}, "comet is not a class"),
        ("gal", {"flux": 1.0, "mag": 20.0}, "give one of flux and mag"),
        ("gal", {"mag_band": "r"}, "mag_band is the band of mag"),
        ("gal", {"flux": -1.0}, "must be above 0"),
        ("input", {"file_name": "nowhere"}, "generated_catalog: nowhere does not exist"),
        ("input", {"psf": "deconvolve"}, "has a PSF layer"),
        ("input", {"sky": "flat"}, "sky=flat"),
        ("input", {"taper": 99}, "taper=99"),
    ],
)
def test_mistakes_in_a_file_are_galsims(
    layered: Path, tmp_path: Path, part: str, fields: dict[str, Any], sentence: str
) -> None:
    settings = config(layered, tmp_path, n=1)
    place = settings["gal"] if part == "gal" else settings["input"]["generated_catalog"]
    place |= fields
    with pytest.raises(galsim.GalSimConfigValueError, match=sentence):
        galsim.config.Process(settings, except_abort=True)


def test_an_unknown_field_is_refused(layered: Path, tmp_path: Path) -> None:
    for settings in (config(layered, tmp_path, size=3), config(layered, tmp_path)):
        if "size" not in settings["gal"]:
            settings["input"]["generated_catalog"]["colour"] = "red"
        with pytest.raises(galsim.GalSimConfigError, match=r"size|colour"):
            galsim.config.Process(settings, except_abort=True)


# -- examples --------------------------------------------------------------------------------


def test_the_example_of_a_configuration_file_runs(layered: Path, workdir: Path) -> None:
    settings = galsim.config.ReadConfig(str(EXAMPLES / "galsim.yaml"))[0]
    settings["input"]["generated_catalog"]["file_name"] = str(layered)
    settings["image"] |= {
        "nx_tiles": 2,
        "ny_tiles": 2,
        "noise": {"type": "Gaussian", "sigma": 1e-3},
    }
    settings["gal"]["band"] = "g"
    galsim.config.Process(settings)
    image = galsim.fits.read("lensed.fits").array
    assert image.shape == (160, 160)
    low, high = (10 ** (0.4 * (27 - mag)) for mag in (22.0, 20.0))
    sums = [image[y : y + 80, x : x + 80].sum() for y in (0, 80) for x in (0, 80)]
    assert all(low * 0.95 < total < high * 1.05 for total in sums)
    # The second of each pair is the first, turned.
    assert sums[0] == pytest.approx(sums[1], rel=0.01)


def test_the_example_of_lensing_runs(
    layered: Path,
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = str(EXAMPLES / "galsim_lensing.py")
    monkeypatch.setattr(sys, "argv", [script, str(layered), "-n", "1", "--band", "g"])
    runpy.run_path(script, run_name="__main__")
    told = capsys.readouterr().out
    assert told.startswith("shear +0.0300 -0.0100, 1 galaxies in g")
    kept = [float(word) for word in re.findall(r"flux kept to (\S+)", told)]
    assert len(kept) == 2
    assert max(kept) < 1e-3
    assert Path("lensing.png").stat().st_size > 1000
