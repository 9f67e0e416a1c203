"""Every configuration in tests/conf runs through the command, from training to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from astropy.io import fits
from typer.testing import CliRunner

from galgen import checkpoint
from galgen.models.registry import PAIRS
from galgen_cli.main import app
from tiny import classes_folder

CONF = Path(__file__).parents[1] / "conf"
FILES = sorted(CONF.glob("*.yaml"))


def test_every_pair_has_one() -> None:
    assert set(PAIRS) <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_configuration(path: Path, workdir: Path) -> None:
    classes_folder(workdir / "blobs")
    run = CliRunner().invoke(app, ["train", "--config", str(path), "--json", "--debug"])
    assert run.exit_code == 0, run.output
    result = json.loads(run.stdout)
    assert result["images"] == 64
    assert Path(result["picture"]).is_file()
    model = checkpoint.load(result["run"])
    assert all(v.isfinite().all() for v in model.module.state_dict().values())
    drawn = CliRunner().invoke(app, ["sample", "-n", "3", "--fits", "--json", "--debug"])
    assert drawn.exit_code == 0, drawn.output
    folder = Path(json.loads(drawn.stdout)["folder"])
    assert fits.getdata(folder / "galaxy_000002.fits", 1).shape == (16, 16)
    assert ("LABEL" in fits.getheader(folder / "galaxy_000000.fits")) == bool(model.classes)
