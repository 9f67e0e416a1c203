"""``galgen sample`` over many galaxies: going on, parts, telescopes, mistakes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from click.testing import Result
from typer.testing import CliRunner

from galgen_cli.main import app
from tiny import OPTIONS, run


def galgen(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environ)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run of a model with a number, and one with a PSF layer, as `layered`."""
    folder = tmp_path_factory.mktemp("sampling")
    before = Path.cwd()
    os.chdir(folder)
    layered = {"model__options": OPTIONS | {"psf": "auto"}}
    (run(folder / "other", **layered).run).rename(folder / "layered")
    run(folder / "runs", data__condition="mag_r", recipe__lr=0.01)
    yield folder
    os.chdir(before)


def test_a_set_is_gone_on_with_and_made_longer() -> None:
    first = galgen("sample", "-n", "6", "--fits", "--json", "--out", "long")
    assert first.exit_code == 0, first.output
    Path("long/galaxy_000004.fits").unlink()
    again = galgen("sample", "--resume", "--out", "long")
    assert again.exit_code == 0, again.output
    assert "5 of 6 galaxies are in long and whole: going on" in again.output
    longer = galgen("sample", "--resume", "--out", "long", "-n", "9", "--json")
    told = json.loads(longer.stdout)
    assert (told["made"], told["count"], told["complete"]) == (3, 9, True)
    assert told["conditions"]["mag_r"]["n"] + told["conditions"]["mag_r"]["failures"] == 9
    refused = galgen("sample", "--resume", "--out", "long", "--where", "mag_r=20", "--seed", "2")
    assert refused.exit_code == 2
    assert "--resume takes everything from the folder: leave --where out" in refused.output
    nothing = galgen("sample", "--resume")
    assert nothing.exit_code == 2
    assert "no set here is incomplete, name the folder by --out" in nothing.output


def test_processes_that_srun_started_take_a_part_each() -> None:
    environ = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "1", "SLURM_NNODES": "1",
    }  # fmt: skip
    asked = ("sample", "-n", "5", "--fits")
    lost = galgen(*asked, **environ, SLURM_PROCID="0", SLURM_LOCALID="0")
    assert lost.exit_code == 2
    assert "SLURM started 2 processes: name the folder of all by --out" in lost.output
    for rank in "01":
        done = galgen(*asked, "--out", "srun", **environ, SLURM_PROCID=rank, SLURM_LOCALID=rank)
        assert done.exit_code == 0, done.output
    assert galgen(*asked, "--out", "alone").exit_code == 0
    for path in Path("alone").glob("*.fits"):
        assert path.read_bytes() == (Path("srun") / path.name).read_bytes()


def test_a_galaxy_under_several_telescopes() -> None:
    done = galgen(
        "sample", "layered", "-n", "2", "--fits", "--same-galaxy", "--psf", "0.8", "--psf", "1.2",
        "--noise", "none", "--noise", "sigma=0.01", "--out", "two",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {p.name for p in Path("two").glob("galaxy*")} == {
        f"galaxy_00000{k}_view{v}.fits" for k in (0, 1) for v in (1, 2)
    }
    header = fits.getheader("two/galaxy_000001_view2.fits")
    assert (header["INSTRUME"], header["NOISE"]) == ("view2", "sigma=0.01/0.01/0.01")
    assert np.isfinite(fits.getdata("two/galaxy_000001_view1.fits", "r")).all()


def test_galaxies_that_never_come_near_are_an_error_and_the_others_are_there() -> None:
    done = galgen("sample", "-n", "12", "--fits", "--accept", "0.05", "--redraws", "1", "--json",
                  "--out", "near")  # fmt: skip
    assert done.exit_code == 2
    told = json.loads(done.stdout)
    assert told["count"] == 12 - told["left_out"] == len(list(Path("near").glob("galaxy*")))
    assert f"{told['left_out']} of 12 galaxies never came so near" in done.stderr


def test_a_plan_writes_nothing() -> None:
    before = set(Path().rglob("*"))
    done = galgen("sample", "layered", "-n", "9", "--same-galaxy", "--psf", "0.8", "--psf", "1.2",
                  "--dry-run", "--out", "planned")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "would draw 9 galaxies of seed 0 to planned" in done.output
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "0"], "-n 0: ask for at least one galaxy"),
        (["--psf", "0.1"], "--psf 0.1: in g the galaxies of this model carry a PSF of"),
        (["layered", "--psf", "9"], "does not fit into images of 16 px"),
        (["--where", "mag_r=3"], "the model was trained on mag_r from"),
        (["--where", "mag_q=20"], "--where mag_q: did you mean mag_r?"),
        (["layered", "--psf", "g=1,q=2,r=1,i=1"], "the bands are g, r, i, name those"),
        (["--out", "runs"], "runs holds files already"),
        (["--accept", "near"], "--accept near: give a number"),
        (["--shard", "2"], "--shard 2: give i/n, counted from 0"),
        (["--shard", "0/2"], "name the folder of all parts by --out"),
        (["--shard", "4/2", "--out", "new"], "give i/n with i from 0 to n - 1"),
        (["--devices", "two"], "--devices two: give a number, or auto"),
        (["--devices", "0"], "--devices 0: use at least one, or auto"),
        (["--compress", "zip"], "sample.compress"),
        (["--png", "--compress", "rice"], "--compress rice is for FITS files"),
        (["--png", "--pack"], "--pack writes one pack"),
        (["--noise", "loud"], "--noise loud"),
        (["--noise", "sigma=0.1", "--no-noise"], "contradict each other"),
        (["--instrument", "hubble"], "--instrument hubble"),
        (["--instrument", "hsc,lsst"], "add --same-galaxy"),
        (["--sweep", "mag_r", "--accept", "0.1"], "--accept is for galaxies as they come"),
        (["--mix", "1,2", "--instrument", "hsc"], "--instrument is for galaxies as they come"),
        (["--resume", "--out", "nowhere"], "nowhere holds no set of galaxies"),
    ],
)
def test_mistakes(arguments: Sequence[str], words: str) -> None:
    before = {path for path in Path().rglob("*") if path.name != "nowhere"}
    result = galgen("sample", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr, result.output
    assert set(Path().rglob("*")) == before


def test_a_broken_record_is_not_written_over(tmp_path: Path) -> None:
    asked: list[Any] = ["sample", "-n", "1", "--fits", "--out", str(tmp_path / "set")]
    assert galgen(*asked).exit_code == 0
    (tmp_path / "set/sampling.json").write_text("")
    done = galgen(*asked)
    assert done.exit_code == 2
    assert "is no record that this galgen reads" in done.stderr
