"""``--condition``, ``--labels`` and ``data.balance`` on the command line, and their mistakes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from galgen_cli.main import app
from tiny import classes_folder

PLAN = ["--size", "16", "--images", "64", "--batch", "8", "--dry-run"]


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def pictures(workdir: Path) -> Path:
    """Twelve pictures of blobs, one without a label or a number, and one of a class alone."""
    folder = workdir / "pictures"
    folder.mkdir()
    axis = np.arange(16) - 7.5
    rows = ["file,kind,odd,mag"]
    for k in range(12):
        light = 200 * np.exp(-np.hypot(axis[:, None], axis[None, :]) / (1 + k / 8))
        Image.fromarray(np.repeat(light[..., None], 3, 2).astype(np.uint8)).save(
            folder / f"{k}.png"
        )
        kind = "" if k == 4 else "ab"[k % 2]
        rows.append(f"{k}.png,{kind},{'x' if k == 2 else 'y'},{'nan' if k == 5 else k}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_numbers_and_classes_go_into_the_plan(pictures: Path) -> None:
    result = galgen(
        "train", str(pictures), *PLAN, "--json", "--labels", "labels.csv:kind",
        "--condition", "measure:r_half,mag_R", "--condition", "labels.csv:mag",
        "--set", "data.balance=true",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)["data"]
    assert data["condition"] == ["measure:r_half,mag_R", "labels.csv:mag"]
    assert data["balance"] is True
    assert "no label in labels.csv:kind" in result.stderr
    assert "mag is missing in labels.csv" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--labels", "labels.csv:kind", "--set", "data.bad_fraction=0.05"],
            "4.png (no label in labels.csv:kind)",
        ),
        (
            ["--condition", "labels.csv:mag", "--set", "data.bad_fraction=0.05"],
            "5.png (mag is missing in labels.csv)",
        ),
        (["--labels", "labels.csv:odd"], "the class 'x' has"),
        (["--condition", "labels.csv:odd"], "holds the text 'y' in odd"),
        (["--condition", "measure:mag_z"], "no band 'z'"),
        (["--condition", "labels.csv:magg"], "did you mean 'mag'"),
        (["--condition", "measure:r_half,r_half"], "names 'r_half' twice"),
        (["--set", "data.condition=5"], "data.condition (--condition 5)"),
        (["--set", "data.balance=true"], "data.balance needs two classes or more"),
    ],
)
def test_mistakes_are_one_sentence(pictures: Path, arguments: Sequence[str], words: str) -> None:
    result = galgen("train", str(pictures), *PLAN, "--set", "data.holdout=0", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_a_class_of_one_picture_in_sub_folders(workdir: Path) -> None:
    folder = classes_folder(workdir / "blobs", {"edge": 1, "round": 14})
    result = galgen("train", str(folder), *PLAN)
    assert result.exit_code == 2, result.output
    assert "the class 'edge' has" in result.stderr
    assert "--labels none" in result.stderr
    assert galgen("train", str(folder), *PLAN, "--labels", "none").exit_code == 0


def test_classes_of_simulated_galaxies_need_no_download(workdir: Path) -> None:
    result = galgen(
        "train", "sersic", *PLAN, "--set", "data.count=60",
        "--labels", "catalogue:kind", "--condition", "mag_r,g-r",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "spiral" in result.stderr + result.stdout
