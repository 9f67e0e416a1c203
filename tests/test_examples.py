"""The configurations in examples/ run through the command, shortened, on the data they name."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table
from typer.testing import CliRunner

from galgen.config import load_yaml, parse_settings
from galgen.train import prepare
from galgen_cli.main import app
from tiny import classes_folder
from tiny import run as tiny_run

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Examples of several runs, with tests of their own below, and of GalSim, in test_galsim_files.py.
APART = {"chain", "freezing", "galsim"}
#: Each example with its data (None: built in) and the example whose run it starts from.
NEEDS: dict[str, tuple[str | None, str | None]] = {
    "pretrain-grizy": (None, None),
    "pretrain-nircam": (None, None),
    "hsc": ("hsc_grizy_fits_32", "pretrain-grizy"),
    "ceers": ("ceers_7band_fits", "pretrain-nircam"),
    "radio": ("radio_first_png", None),
    "radiogan": ("radio_first_png", None),
    "conditions": (None, None),
    "codes": (None, None),
    "classes": ("gz1_jpg", None),
    "sdss": ("sdss_gri_jpg", None),
    "dcgan-course": ("sdss_gri_jpg", None),
    "progan": ("sdss_gri_jpg", None),
    "stylegan": ("sdss_gri_jpg", None),
    "few": ("sdss_gri_jpg", None),
    "r3gan": ("sdss_gri_jpg", None),
}
SHORT = [
    "--images", "32", "--batch", "8", "--precision", "32",
    "--set", "train.metric_images=16", "--set", "train.metric_samples=16",
]  # fmt: skip


def short_run(name: str, *arguments: str, count: int = 40) -> Path:
    """Run the example for 32 images with narrow networks; gives the run folder."""
    config = EXAMPLES / f"{name}.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    size, pair = settings["data"].get("size", 32), settings.get("model", {}).get("name", "dcgan")
    command = [*arguments, "--config", str(config), *SHORT, "--out", f"runs/{name}"]
    if arguments[0] == "train" and pair == "dcgan-course":
        command += ["--set", "model.options.widths=[4,4,4]"]
    elif arguments[0] == "train" and pair == "radiogan":
        command += ["--set", "model.options.width=4", "--set", "model.options.critic_width=4"]
    elif arguments[0] == "train" and pair != "dcgan":
        command += ["--set", "model.options.width=4", "--set", "model.options.max_width=4"]
    elif arguments[0] == "train":
        widths = [4] * (4 if size == 32 else 5)
        command += ["--set", f"model.options.widths={widths}"]
        command += ["--set", f"model.options.critic_widths={widths}"]
    if "grow_images" in settings.get("recipe", {}):
        command += ["--set", "recipe.grow_images=16"]
    if "holdout" in settings["data"]:
        command += ["--set", "data.holdout=0.5"]
    command += ["--set", f"data.count={count}"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (run,) = Path("runs", name).iterdir()
    return run


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(NEEDS) | APART


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_runs(name: str, real_data: Callable[[str], Path], workdir: Path) -> None:
    folder, base = NEEDS[name]
    source = [] if folder is None else [str(real_data(folder))]
    if folder == "radio_first_png":
        source = [str(Path(source[0]) / "train")]
    if base is None:
        run = short_run(name, "train", *source)
    else:
        start = short_run(base, "train")
        run = short_run(name, "finetune", str(start), *source)
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert kept["data"]["bands"]


def test_radio_galaxies_are_chosen_by_their_histograms() -> None:
    """By 500 samples a class; the settings for a CPU in its remarks are ones that the pair has."""
    config = prepare(load_yaml(EXAMPLES / "radiogan.yaml"))
    assert (config.train.best, config.train.best_per_class) == ("rmae", True)
    assert config.train.metric_samples == 2000
    text = (EXAMPLES / "radiogan.yaml").read_text(encoding="utf-8")
    small = config.replace(parse_settings(re.findall(r"--set (recipe.lr\S+|\S*width=\d+)", text)))
    assert small.recipe.lr == 5e-4
    assert small.model.options.items() >= {"width": 16, "critic_width": 16}.items()


def script(name: str, *arguments: str) -> str:
    """What one of the Python examples prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_the_chain_runs(real_data: Callable[[str], Path], workdir: Path) -> None:
    script("simulate.py", "simulated_jpg", "--jpg", "-n", "30")
    named = {"real-pictures": "sdss_gri_jpg", "real-fluxes": "hsc_grizy_fits_32"}
    command = ["train", "--config", str(EXAMPLES / "chain.yaml"), *SHORT]
    for stage, folder in named.items():
        command += ["--set", f"{stage}.data.source={real_data(folder)}"]
    for setting in ("real-pictures.data.count=30", "simulated-fluxes.data.count=30"):
        command += ["--set", setting]
    for part in ("widths", "critic_widths"):
        command += ["--set", f"model.options.{part}=[4, 4, 4, 4]"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    runs = sorted(path.name for path in Path("runs").iterdir())
    assert [run.split("-", 2)[1] for run in runs] == ["chain", *["dcgan"] * 4]
    for run in runs[1:]:
        assert (Path("runs") / run / "checkpoints" / "best.ckpt").is_file()
    kept = yaml.safe_load((Path("runs") / runs[4] / "config.yaml").read_text())
    assert kept["data"]["bands"] == ["g", "r", "i", "z", "y"]
    assert kept["finetune"]["freeze"] == 2


def test_the_freezing_study_runs(real_data: Callable[[str], Path], workdir: Path) -> None:
    from galgen.studies.freezing import main

    command = ["--config", str(EXAMPLES / "freezing.yaml"), "--depths", "2", "-n", "24"]
    command += ["--data", str(real_data("hsc_grizy_fits_32")), "--images", "16"]
    command += ["--pretrain-images", "16", "--set", "pretrain.data.count=40"]
    for part in ("widths", "critic_widths"):
        command += ["--set", f"pretrain.model.options.{part}=[4, 4, 4, 4]"]
    for run in ("pretrain", "finetune"):
        command += ["--set", f"{run}.train.batch=8", "--set", f"{run}.train.precision=32"]
        command += ["--set", f"{run}.train.metric_images=0"]
    assert main(command) == 0
    rows = Path("freezing/table.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["freeze", "2", ""]
    assert Path("freezing/plot.png").is_file()


def test_simulated_galaxies_are_written(workdir: Path) -> None:
    from galgen import open_set

    assert "12 galaxies" in script("simulate.py", "pictures", "--jpg", "-n", "12")
    pictures = open_set("pictures", bands="i,r,g")
    assert (len(pictures), pictures.spec.shape) == (12, (3, 32, 32))
    assert pictures.spec.display
    # The brightest galaxy of the catalogue is the one with the most light.
    light = pictures.read(range(12)).sum(axis=(1, 2, 3))
    assert light.argmax() == pictures.catalogue["mag_r"].argmin()
    script("simulate.py", "fluxes", "-n", "6", "--size", "32")
    assert np.load("fluxes/simulated.npy").shape == (6, 3, 32, 32)
    assert len(Table.read("fluxes/catalogue.fits")) == 6
    assert Path("fluxes/overview.png").is_file()


def test_galaxies_are_measured_by_photutils(workdir: Path) -> None:
    model = tiny_run(workdir / "runs", data__size=24, recipe__lr=0.01).run
    said = script("ccddata.py", str(model), "-n", "4", "--out", "images")
    assert "4 galaxies in nmgy, i band" in said
    assert len(list(Path("images").glob("galaxy_*_i.fits"))) == 4


def test_a_classifier_learns_from_generated_galaxies(workdir: Path) -> None:
    blobs = classes_folder(workdir / "blobs", {"edge": 30, "round": 30})
    changes = {"data__source": str(blobs), "data__count": None, "recipe__lr": 0.01}
    model = tiny_run(workdir / "runs", **changes).run
    said = script("generated_dataset.py", str(model), "-n", "40").splitlines()
    assert said[0] == "54 real and 40 generated galaxies of edge, round"
    assert [line.split(":")[0] for line in said[1:]] == [
        "learnt from real",
        "learnt from real and generated",
    ]
    assert all("of 6 real galaxies right" in line for line in said[1:])
    named = script("generated_dataset.py", str(model), "--data", str(blobs), "-n", "40")
    assert named.startswith("60 real and 40 generated galaxies")
