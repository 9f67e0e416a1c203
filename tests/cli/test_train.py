"""``galgen train``: plans, JSON, precedence, and stopping with Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from galgen_cli.main import app
from tiny import assert_same_training

CONF = Path(__file__).parents[1] / "conf"
TINY = ["train", "--config", str(CONF / "minmax.yaml")]


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "galgen_cli.main", *arguments]


def newest(folder: Path) -> Any:
    (path,) = folder.glob("*/checkpoints/last.ckpt")
    return torch.load(path, weights_only=True)


def test_a_dry_run_prints_the_plan_and_changes_nothing(workdir: Path) -> None:
    result = galgen(*TINY, "--dry-run", "--seed", "4", "--images", "2k")
    assert result.exit_code == 0, result.output
    assert "galaxies to train on" in result.output
    assert "images: 2000" in result.output
    assert list(workdir.iterdir()) == []
    plan = galgen(*TINY, "--dry-run", "--json", "--seed", "4")
    assert json.loads(plan.stdout)["seed"] == 4
    assert list(workdir.iterdir()) == []


def test_json_is_alone_on_standard_output(workdir: Path) -> None:
    done = subprocess.run(
        command(*TINY, "--json"), capture_output=True, text=True, timeout=200, cwd=workdir
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert result["reason"] == "finished"
    assert Path(workdir, result["checkpoint"]).is_file()
    assert "run folder" in done.stderr


def test_options_win_over_settings_over_the_file(workdir: Path) -> None:
    result = galgen(*TINY, "--set", "train.images=48", "--set", "train.batch=4", "--batch", "16")
    assert result.exit_code == 0, result.output
    (run,) = (workdir / "runs").iterdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["train"]["images"], config["train"]["batch"]) == (48, 16)
    assert config["data"]["stretch"] == "minmax"
    assert f"checkpoint: runs/{run.name}/checkpoints/last.ckpt" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "train.snapshots=1"], "did you mean train.snapshot_images"),
        (["--set", "train.batch"], "--set train.batch: write key=value"),
        (["--images", "many"], "--images many"),
        (["--devices", "two"], "--devices two"),
        (["--batch", "1"], "batch"),
        (["--model", "dcgun"], "--model dcgun is not known: did you mean dcgan"),
        (["--size", "8"], "size"),
        (["--precision", "64"], "precision"),
        (["--logger", "clay"], "logger"),
        (["--bands", "g,g"], "band names must differ"),
        (["--labels", "table.csv:kind"], "labels"),
        (["--config", "none.yaml"], "none.yaml cannot be read"),
        (["nowhere"], "nowhere"),
        (["empty"], "empty"),
        (["--out", "file/runs"], "give another folder to --out"),
        (["--resume"], "no run under ./runs"),
        (["none", "--resume"], "none does not exist"),
    ],
)
def test_mistakes_are_one_sentence(workdir: Path, arguments: Sequence[str], words: str) -> None:
    (workdir / "file").touch()
    (workdir / "empty").mkdir()
    base = ["train"] if "--config" in arguments or "--resume" in arguments else TINY
    result = galgen(*base, *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("galgen: ")
    assert "Traceback" not in result.output
    assert not (workdir / "runs").exists()


def test_an_unknown_key_in_yaml(workdir: Path) -> None:
    (workdir / "run.yaml").write_text("train:\n  bacth: 8\n")
    result = galgen("train", "sersic", "--config", "run.yaml")
    assert result.exit_code == 2
    assert "unknown configuration key train.bacth: did you mean train.batch?" in result.stderr


def test_debug_shows_the_traceback(workdir: Path) -> None:
    result = galgen("train", "nowhere", "--debug")
    assert "Traceback" in result.stderr
    assert "galgen: the folder nowhere does not exist" in result.stderr.splitlines()[-1]
    assert result.exit_code == 2


def test_a_fault_of_ours_has_its_own_code(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import galgen.train as library

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero\nmore")

    monkeypatch.setattr(library, "train", broken)
    result = galgen(*TINY)
    assert result.exit_code == 1
    assert "ZeroDivisionError: division by zero (this is a fault of galgen" in result.stderr


def test_resume_takes_the_runs_own_settings(workdir: Path) -> None:
    assert galgen(*TINY).exit_code == 0
    again = galgen("train", "--resume", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["images"] == 64
    (run,) = (workdir / "runs").iterdir()
    further = galgen("train", f"runs/{run.name}", "--resume", "--images", "96", "--json")
    assert json.loads(further.stdout)["images"] == 96
    other = galgen("train", "--resume", "--size", "32", "--images", "200")
    assert other.exit_code == 2
    assert "--resume keeps the run's own data settings" in other.stderr


#: Long enough to be interrupted, short enough to be run twice.
LONG = [*TINY, "--images", "2400"]
for key, images in (("log", 8), ("snapshot", 800), ("grid", 0)):
    LONG += ["--set", f"train.{key}_images={images}"]


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=["ctrl-c", "terminated"],
)
def test_a_stopped_run_says_how_to_go_on_and_ends_bit_for_bit_the_same(
    workdir: Path, number: int
) -> None:
    process = started(*LONG)
    deadline = time.monotonic() + 120
    while not list(workdir.glob("runs/*/metrics.csv")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    found = re.search(r"interrupted at ([\d,]+) images; go on with: galgen (.*)", output)
    assert found, output
    images = int(found[1].replace(",", ""))
    assert 0 < images < 2400
    assert newest(workdir / "runs")["galgen"]["clock"]["images"] == images
    resumed = galgen(*found[2].split(), "--json")
    assert resumed.exit_code == 0, resumed.output
    assert json.loads(resumed.stdout)["images"] == 2400
    assert galgen(*LONG, "--out", "undisturbed").exit_code == 0
    assert_same_training(newest(workdir / "runs"), newest(workdir / "undisturbed"))


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command as a terminal starts it: a shell's background jobs would ignore Ctrl-C."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_before_anything_has_begun(workdir: Path) -> None:
    process = started(*LONG, "--images", "1M")
    # While it imports, reads data, or trains: whatever it does by then.
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    # Python itself dies by the signal, which a shell shows as 130, where an import took it in.
    assert process.returncode in (130, -signal.SIGINT), output
    assert "Traceback" not in output


@pytest.mark.slow
def test_two_devices_through_the_command(workdir: Path) -> None:
    done = subprocess.run(
        command(*TINY, "--devices", "2", "--json", "--set", "train.metric_images=32"),
        cwd=workdir,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["images"] == 64
    assert done.stderr.count("run folder:") == 1
    (run,) = (workdir / "runs").iterdir()
    assert (run / "checkpoints" / "best.ckpt").is_file()
    single = galgen(*TINY, "--devices", "1", "--out", "one", "--set", "train.metric_images=32")
    assert single.exit_code == 0
    two, one = newest(workdir / "runs"), newest(workdir / "one")
    assert two["galgen"]["clock"] == one["galgen"]["clock"]
    assert two["galgen"]["holdout"] == one["galgen"]["holdout"]
    assert two["CutoutDataModule"] == one["CutoutDataModule"]


def test_a_dry_run_of_resume_changes_nothing(workdir: Path) -> None:
    assert galgen(*TINY).exit_code == 0
    (run,) = (workdir / "runs").iterdir()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    result = galgen("train", "--resume", "--images", "100k", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "would go on with" in result.output
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    refused = galgen("train", "--resume", "--out", "elsewhere")
    assert (refused.exit_code, "--out" in refused.stderr) == (2, True)


def test_training_from_scratch_refuses_a_finetune_section(workdir: Path) -> None:
    result = galgen(*TINY, "--set", "finetune.freeze=2", "--set", "finetune.checkpoint=x")
    assert result.exit_code == 2
    assert "galgen finetune" in result.stderr
    assert list(workdir.iterdir()) == []
