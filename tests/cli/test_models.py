"""``galgen models``: every name and number whole at any width, and the list as data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from galgen.models.measure import Measured
from galgen.models.registry import PAIRS
from galgen_cli.main import app
from galgen_cli.models import lay_out

FOUND = (
    Measured("dcgan", "convolutional, small, stable", 623_029, 741_057, 93.44, 1134.4, 159_593_980),
    Measured("dcgan-course", "the course's", 12_345_678, 999, 0.4567, 12.34, 2_000_000_000),
    Measured("stylegan2", "modulated", refused="--size 50: stylegan2 doubles: choose 48 or 56."),
)
WHOLE = (
    "dcgan dcgan-course stylegan2 623_k 741_k 93.4 1,134 160_MB 12.3_M 999 0.46 12.3 2.00_GB"
).split()


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])


def words(lines: list[str]) -> list[str]:
    """What stands between blanks; a number and its unit are one."""
    return re.sub(r"(\d) ([kMG]B?)\b", r"\1_\2", "\n".join(lines)).split()


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
def test_every_name_and_number_is_whole_at_any_width(width: int) -> None:
    lines = lay_out(FOUND, width)
    assert [word for word in WHOLE if word not in words(lines)] == []
    sentences = " ".join(" ".join(lines).split())
    assert "--size 50:" in sentences
    if width >= 30:
        assert max(len(line) for line in lines) <= width
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize(("width", "heads"), [(40, 0), (80, 1), (200, 1)])
def test_a_block_for_each_pair_where_a_table_is_too_wide(width: int, heads: int) -> None:
    lines = lay_out(FOUND, width)
    assert sum(line.startswith("model") for line in lines) == heads
    blocks = [line for line in lines if line in PAIRS or line == "dcgan-course"]
    assert len(blocks) >= 2 * (1 - heads)


def test_numbers_stand_under_each_other() -> None:
    table = [line for line in lay_out(FOUND, 80) if re.match(r"(model|dcgan)", line)]
    assert len({len(line) for line in table}) == 1


def test_a_quick_list_has_every_pair_with_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = galgen("--quick", "--size", "32")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("32 px, 3 bands\n")
    listed = words(result.stdout.splitlines())
    assert [name for name in PAIRS if name not in listed] == []
    assert "images/s" not in result.stdout
    plain = " ".join(result.stdout.split())
    assert all(" ".join(pair.summary.split()[:3]) in plain for pair in PAIRS.values())


def test_json_holds_the_lot() -> None:
    result = galgen("--quick", "--size", "32", "--bands", "g,r", "--batch", "8", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [pair["name"] for pair in found["models"]] == list(PAIRS)
    assert (found["size"], found["bands"], found["batch"]) == (32, ["g", "r"], 8)
    assert all(pair["generator"] > 1000 and pair["training"] is None for pair in found["models"])


def test_measured_without_a_word_of_lightning(workdir: Path) -> None:
    arguments = ["models", "dcgan", "--size", "16", "--batch", "4", "--precision", "32"]
    done = subprocess.run(
        [sys.executable, "-W", "default", "-m", "galgen_cli.main", *arguments, "--bands", "5"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        cwd=workdir,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, _, *table = done.stdout.splitlines()
    assert first.startswith("16 px, 5 bands, batch 4, on ")
    assert re.fullmatch(r"dcgan +\d+ k +\d+ k +[\d,.]+ +[\d,.]+ +[\d.]+ MB", table[2])
    assert list(workdir.iterdir()) == []


def test_a_pair_that_cannot_do_the_size_says_why_and_the_rest_go_on() -> None:
    result = galgen("dcgan", "stylegan2", "--quick", "--size", "50", "--json")
    assert result.exit_code == 0, result.output
    good, refused = json.loads(result.stdout)["models"]
    assert good["generator"] > 1000
    assert "--size 50" in refused["refused"]
    alone = galgen("--quick", "--set", "model.name=dcgan", "--json")
    assert [pair["name"] for pair in json.loads(alone.stdout)["models"]] == ["dcgan"]


def test_the_page_has_a_row_for_each_pair(repository: Path) -> None:
    page = (repository / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(PAIRS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dcgam"], "did you mean dcgan?"),
        (["--bands", "0"], "--bands 0: give how many, or their names"),
        (["--bands", "3,4"], "--bands 3,4: give how many, or their names"),
        (["--bands", "x,x"], "--bands x,x: name each band once"),
        (["--set", "data.bands=x,x"], "band names must differ, got x, x"),
        (["stylegan2", "--size", "50"], "--size 50"),
        (["--set", "model.options={widths: [4]}"], "model.options.widths needs 5 positive numbers"),
        (["--bands", ","], "give how many, or their names"),
        (["--size", "300"], "--size 300"),
        (["--batch", "1"], "--batch 1"),
        (["--precision", "8"], "--precision 8"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], sentence: str) -> None:
    result = galgen("--quick", *arguments)
    assert result.exit_code == 2
    assert sentence in result.output
    assert result.output.count("\n") == 1
