"""``galgen data``: packs from the command line, what it says of sets, and its exit codes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner, Result

from galgen.data.sets import open_set
from galgen_cli import console
from galgen_cli.data_views import progress
from galgen_cli.main import app


def galgen(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes of FITS cubes of two bands, with a table."""
    rng = np.random.default_rng(1)
    for k in range(12):
        path = tmp_path / "set" / ("spiral", "disk")[k % 2] / f"x{k:02d}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.normal(size=(2, 20, 20)).astype(np.float32)
        fits.writeto(path, pixels, fits.Header({"BANDS": "g,r", "BUNIT": "nanomaggy"}))
    rows = "\n".join(f"x{k:02d},{k}" for k in range(12))
    (tmp_path / "set" / "catalogue.csv").write_text(f"file,z\n{rows}\n")
    return tmp_path / "set"


def test_a_plan_writes_nothing(folder: Path, tmp_path: Path) -> None:
    result = galgen("pack", folder, tmp_path / "out", "--size", 16, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert (plan["galaxies"], plan["shape"], plan["dtype"]) == (12, [2, 16, 16], "<f4")
    assert plan["bytes"] == 12 * 2 * 16 * 16 * 4
    assert not (tmp_path / "out").exists()


def test_pack_check_and_info_agree(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = galgen("pack", folder, out, "--shard-size", 0.01, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "the whole of the files' 20 pixels" in result.output
    assert f"packed 12 galaxies into {out} (4 shards, 38.9 kB)" in result.output
    assert "already" in galgen("pack", folder, out, "--shard-size", 0.01).output
    assert "12 galaxies in 4 shards" in galgen("check", out, "--workers", 1).output
    found = {s: json.loads(galgen("info", s, "--json").stdout) for s in (folder, out)}
    assert found[out]["classes"] == found[folder]["classes"] == {"disk": 6, "spiral": 6}
    assert found[out]["values"] == found[folder]["values"]
    assert (found[out]["kind"], found[out]["shards"], found[folder]["shards"]) == ("pack", 4, 0)
    told = " ".join(galgen("info", out).output.split())
    assert "classes disk 6, spiral 6" in told
    assert "zero points 22.5" in told
    assert "catalogue file, z" in told


def test_a_changed_byte_is_found_and_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    galgen("pack", folder, out, "--shard-size", 0.01, "--workers", 1)
    shard = out / "shard-00002.npy"
    content = bytearray(shard.read_bytes())
    content[-7] ^= 4
    shard.write_bytes(content)
    result = galgen("check", out, "--workers", 1, "--json")
    assert result.exit_code == 2
    assert [file for file, _ in json.loads(result.stdout)["wrong"]] == ["shard-00002.npy"]
    assert "Traceback" not in result.output
    assert "is not as it was written" in result.stderr


def test_a_folder_with_a_bad_file(folder: Path, tmp_path: Path) -> None:
    bad = folder / "disk" / "x05.fits"
    bad.write_bytes(bad.read_bytes()[:2900])
    result = galgen("check", folder, "--workers", 1)
    assert result.exit_code == 2
    assert "disk/x05.fits: is truncated" in result.output
    assert "1 of 12 galaxies" in result.output
    assert galgen("check", folder / "spiral", "--workers", 1).exit_code == 0
    packed = galgen("pack", folder, tmp_path / "out", "--workers", 1)
    assert packed.exit_code == 0
    assert "left out 1 bad file: disk/x05.fits" in packed.output
    refused = galgen(
        "pack", folder, tmp_path / "strict", "--workers", 1, "--set", "data.bad_fraction=0"
    )
    assert refused.exit_code == 2
    assert "bad_fraction" in refused.stderr


def test_jobs_of_an_array_and_their_merge(folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    galgen("pack", folder, whole, "--shard-size", 0.01, "--workers", 1)
    for i in (1, 2):
        result = galgen("pack", folder, tmp_path / "out", "--shard-size", 0.01, "--shard", f"{i}/2")
        assert f"galgen data merge {tmp_path / 'out'}" in result.output
        galgen("pack", folder, tmp_path / f"p{i}", "--shard-size", 0.01, "--shard", f"{i}/2")
    assert "is not finished" in galgen("info", tmp_path / "out").output
    merged = galgen("merge", tmp_path / "out", "--json")
    assert json.loads(merged.stdout)["count"] == 12
    assert galgen("merge", tmp_path / "all", tmp_path / "p1", tmp_path / "p2").exit_code == 0
    for file in whole.iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()
        assert file.read_bytes() == (tmp_path / "all" / file.name).read_bytes()


def test_two_packs_become_one(folder: Path, tmp_path: Path) -> None:
    for kind in ("spiral", "disk"):
        galgen("pack", folder / kind, tmp_path / kind, "--workers", 1)
    result = galgen(
        "merge", tmp_path / "both", tmp_path / "spiral", tmp_path / "disk", "--workers", 1
    )
    assert result.exit_code == 0, result.output
    assert len(open_set(tmp_path / "both")) == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pack", "nowhere", "out"), "the folder nowhere does not exist"),
        (("pack", "set", "set/out"), "lies inside"),
        (("pack", "set", "out", "--shard", "3/2"), "--shard 3/2"),
        (("pack", "set", "out", "--shard", "half"), "write i/n"),
        (("pack", "set", "out", "--size", "40"), "40"),
        (("pack", "set", "out", "--bands", "z"), "there is no band 'z'"),
        (("pack", "set", "set/catalogue.csv/out"), "catalogue.csv"),
        (("merge", "out"), "out holds no part of a pack"),
        (("info", "nowhere"), "the folder nowhere does not exist"),
        (("check", "hubble"), "has no files"),
        (("pack", "", "out"), "FOLDER is empty"),
        (("merge", "out", "--set", "data.size=16"), "--set data.size: galgen data merge takes"),
        (("merge", "out", "--set", "train.batch=16"), "--set train.batch: galgen data merge takes"),
        (("merge", "out", "set", "nosuch"), "the folder nosuch does not exist"),
        (("merge", "out", "set", "set"), "set holds no part of a pack"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    result = galgen(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder.parent / "out").exists()


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    galgen("pack", folder, whole, "--workers", 1)
    for i in (1, 3):
        galgen("pack", folder, out, "--shard-size", 0.004, "--shard", f"{i}/3", "--workers", 1)
    planned = galgen("merge", out, "--dry-run", "--json")
    assert json.loads(planned.stdout)["missing"] == [4, 5, 6, 7]
    assert "lacks 4 of 12 shards (--shard 2/3)" in galgen("merge", out).stderr
    mixed = galgen("merge", tmp_path / "new", whole, out)
    assert "whole is a finished pack and others are not" in mixed.stderr
    asked = galgen("check", whole, "--size", 16)
    assert (asked.exit_code, "--size: a pack is checked whole" in asked.stderr) == (2, True)
    assert "12 galaxies" in galgen("check", whole, "--dry-run").output
    assert "12 of 12 galaxies" in galgen("info", whole, "--dry-run").output
    assert "in 1 shard of float32" in " ".join(galgen("info", whole).output.split())
    (whole / "pack.json").unlink()
    for command in ("info", "check"):
        assert "pack.json is missing" in galgen(command, whole).stderr
    assert "pack.json is missing" in galgen("pack", folder, whole).stderr


def test_what_is_asked_of_a_pack_later_is_said(folder: Path, tmp_path: Path) -> None:
    result = galgen(
        "pack", folder, tmp_path / "out", "--workers", 1, "--set", "data.labels=catalogue:z"
    )
    assert result.exit_code == 0
    assert "data.labels: asked of the pack when it is used" in result.output


def test_progress_without_a_terminal_is_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 1.0, 21.0, 22.0, 50.0])
    monkeypatch.setattr("galgen_cli.data_views.time.monotonic", lambda: next(now))
    with progress(console.Talk(), "packing", 1000, 100) as advance:
        for _ in range(4):
            advance(50)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "packing: 200 of 1,000, 5 files/s, 168 s left",
        "packing: 300 of 1,000, 4 files/s, 175 s left",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_pack_that_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for k in range(3000):
        fits.writeto(folder / f"x{k:04d}.fits", rng.normal(size=(32, 32)).astype(np.float32))
    command = [sys.executable, "-m", "galgen_cli.main", "data", "pack", str(folder)]
    command += [str(tmp_path / "out"), "--shard-size", "0.1", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("out/shard-*.npy")):
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(30) == 130
    assert process.stderr is not None
    assert process.stderr.read() == "galgen: interrupted.\n"
    assert not list((tmp_path / "out").rglob("*.tmp"))
    result = galgen("pack", folder, tmp_path / "out", "--shard-size", 0.1, "--workers", 1)
    assert re.search(r"going on: \d+ of \d+ shards are there", result.output)
    assert "3,000 galaxies" in galgen("check", tmp_path / "out", "--workers", 1).output
