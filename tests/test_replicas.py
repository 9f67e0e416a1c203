"""Replicas through the command: three ways to start them, with everything on, and accidents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cases import CASES
from contract import Case
from tiny import OPTIONS, classes_folder, logged

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="gloo needs POSIX here"),
]

GALGEN = [sys.executable, "-m", "galgen_cli.main"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FAILING = Path(__file__).with_name("replicas_failing.py")
#: What a task of SLURM finds in its environment, less its own number.
STEP = {
    "SLURM_JOB_ID": "4242", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1",
    "SLURM_NODEID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_JOB_NAME": "galaxies", "ENVIRONMENT": "BATCH",
}  # fmt: skip
TINY: dict[str, Any] = {
    "data": {"source": "sersic", "count": 48, "size": 16},
    "model": {"options": OPTIONS},
    "train": {
        "images": 96, "batch": 8, "precision": "32", "compile": "off", "accelerator": "cpu",
        "log_images": 16, "snapshot_images": 32, "grid_images": 48, "metric_images": 32,
        "metric_samples": 130,
    },
}  # fmt: skip


def begin(
    command: list[str], *words: str, settings: Mapping[str, Any] = TINY, **more: str
) -> subprocess.Popen[str]:
    """Start ``COMMAND train``, as from a shell that no scheduler has been at."""
    config = Path("config.yaml")
    config.write_text(yaml.safe_dump(dict(settings)))
    foreign = ("SLURM_", "TORCHELASTIC_", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", "NODE_RANK")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return subprocess.Popen(
        [*command, "train", "--config", str(config), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"OMP_NUM_THREADS": "1"} | more,
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Standard output and error of a process that has ended well."""
    out, error = process.communicate(timeout=280)
    assert process.returncode == 0, error[-3000:]
    return out, error


def checkpoints(run: Path) -> dict[str, Any]:
    """Content of each checkpoint of a run, by its name."""
    folder = run / "checkpoints"
    return {p.name: torch.load(p, weights_only=True) for p in sorted(folder.glob("*.ckpt"))}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pair)
def test_every_pair_with_everything_on(case: Case, workdir: Path) -> None:
    """Conditions, augmentation, metrics, snapshots of classes, pictures: nothing waits in vain."""
    radio = case.pair == "radiogan"
    source = classes_folder(workdir / "blobs", {"edge": 24, "round": 24})
    condition = [] if radio else ["catalogue.csv:height,width"]
    settings = {
        "data": {"source": str(source), "size": 16, "condition": condition},
        "model": {
            "name": case.pair,
            "options": {**case.options(16), "conditioning": "both"},
        },
        "recipe": {**case.recipe, "label_dropout": 0.2, "lr": 1e-3},
        "train": TINY["train"] | {"best_per_class": True, "best": "rmae" if radio else "frechet"},
    }
    words = ["--bands", "R"] if radio else []
    out, error = ended(begin(GALGEN, "--devices", "2", "--json", *words, settings=settings))
    result = json.loads(out)
    assert (result["images"], result["reason"]) == (96, "finished")
    assert "replicas: 2, 2 on one node, started by galgen, talking by gloo" in error
    assert error.count("run folder:") == 1
    (run,) = Path("runs").iterdir()
    found = checkpoints(run)
    assert {"last.ckpt", "best.ckpt", "best-edge.ckpt", "best-round.ckpt"} <= set(found)
    rows = logged(run)
    measured = [row for row in rows if row.get("rmae" if radio else "frechet")]
    assert [int(row["images"]) for row in measured] == [32, 64, 96]
    assert [p.name for p in sorted((run / "samples").glob("*.png"))] == [
        "000000048.png", "000000096.png",
    ]  # fmt: skip
    assert all(v.isfinite().all() for v in found["last.ckpt"]["state_dict"].values())
    if case.recipe.get("ada"):
        assert any(float(row["ada_p"] or 0) > 0 for row in rows)


def test_torchrun_slurm_and_galgen_start_the_same(workdir: Path) -> None:
    """Three ways, one result; and what each process of them says."""
    own, _ = ended(begin(GALGEN, "--devices", "2", "--json", "--out", "own"))
    out, said = ended(begin([*TORCHRUN, *GALGEN[1:]], "--json", "--out", "torchrun"))
    assert "started by torchrun" in said
    tasks = [
        begin(
            GALGEN, "--json", "--out", "slurm", MASTER_PORT=str(29600 + os.getpid() % 300),
            SLURM_PROCID=str(n), SLURM_LOCALID=str(n), **STEP,
        )
        for n in (0, 1)
    ]  # fmt: skip
    (first, told), (second, silence) = (ended(task) for task in tasks)
    assert "started by SLURM" in told
    assert second == ""
    assert "run folder" not in silence
    for result in (own, out, first):
        assert json.loads(result)["images"] == 96
        assert result.count("\n") == 1
    runs = [next(Path(name).iterdir()) for name in ("own", "torchrun", "slurm")]
    assert len(list(Path("slurm").iterdir())) == 1
    states = [checkpoints(run)["last.ckpt"] for run in runs]
    for name, value in states[0]["state_dict"].items():
        assert all(torch.equal(value, state["state_dict"][name]) for state in states[1:]), name
    # And on with one process, from the same image count and the same place in the data.
    more = ["--resume", "--images", "128", "--devices", "1"]
    done = subprocess.run(
        [*GALGEN, "train", str(runs[1]), *more], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    after = checkpoints(runs[1])["last.ckpt"]
    assert after["galgen"]["clock"]["images"] == 128
    assert after["CutoutDataModule"]["position"] == 128


def test_tasks_and_devices_that_do_not_fit_are_refused_at_once(workdir: Path) -> None:
    """Before any data are read: the folder that is named does not exist."""
    settings = TINY | {"data": {"source": "nowhere"}}
    process = begin([*TORCHRUN, *GALGEN[1:]], "--devices", "4", settings=settings)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    sentence = "galgen: --devices 4: torchrun started 2 processes on each node"
    assert error.count(sentence) == 1
    assert "nowhere" not in error
    for name, environ in {
        "--devices 1: SLURM started 2 tasks": STEP | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        "begin the command with srun": {"SLURM_NTASKS": "2", "ENVIRONMENT": "BATCH"},
    }.items():
        process = begin(GALGEN, "--devices", "1", settings=settings, **environ)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 2
        assert name in error
        assert error.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("accident", "rank", "code", "words"),
    [
        ("mistake", 0, 2, "galgen: this image cannot be read."),
        ("mistake", 1, 2, "galgen: replica 1: this image cannot be read."),
        ("fault", 1, 1, "galgen: replica 1: RuntimeError: something broke"),
        ("killed", 1, 1, "galgen: replica 1 was killed by SIGKILL"),
        ("hangs", 1, 2, "galgen: a replica waited in vain for the others"),
    ],
)
def test_an_accident_on_one_replica_ends_all(
    accident: str, rank: int, code: int, words: str, workdir: Path
) -> None:
    began = time.monotonic()
    process = begin([sys.executable, str(FAILING), accident, str(rank)], "--devices", "2")
    _, error = process.communicate(timeout=200)
    assert process.returncode == code, error
    assert words in error
    assert "Traceback" not in error
    assert time.monotonic() - began < 150
    # What was saved before is there to go on from.
    (run,) = Path("runs").iterdir()
    done = subprocess.run(
        [*GALGEN, "train", str(run), "--resume"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert checkpoints(run)["last.ckpt"]["galgen"]["clock"]["images"] == 96


@pytest.mark.parametrize("pair", ["dcgan", "stylegan2"])
def test_one_exchange_per_optimizer_step(pair: str, workdir: Path) -> None:
    """With augmentation that adapts and path length, between two rows of metrics.csv."""
    (case,) = [case for case in CASES if case.pair == pair]
    settings = TINY | {
        "model": {"name": pair, "options": dict(case.options(16))},
        "recipe": dict(case.recipe),
        "train": TINY["train"]
        | {"snapshot_images": 1000, "log_images": 1000, "grid_images": 0, "metric_images": 0},
    }
    command = [sys.executable, str(FAILING), "counted", "1"]
    _, error = ended(begin(command, "--devices", "2", settings=settings))
    # A step of the critic and one of the generator each.
    assert f"exchanges in 5 steps: {' '.join(['all_reduce'] * 10)}\n" in error


def test_an_accident_under_torchrun_ends_all(workdir: Path) -> None:
    process = begin([*TORCHRUN, str(FAILING), "mistake", "1"])
    _, error = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "galgen: replica 1: this image cannot be read." in error


def test_a_port_that_is_taken(workdir: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = begin(GALGEN, MASTER_PORT=port, SLURM_PROCID="0", SLURM_LOCALID="0", **STEP)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "set MASTER_PORT to another number" in error
    assert error.count("galgen: ") == 1


def test_a_schedulers_signal_to_both_tasks(workdir: Path) -> None:
    """Saved, said by the first how to go on, and no failure on the others."""
    long = TINY | {"train": TINY["train"] | {"images": 100_000, "metric_images": 0}}
    port = str(29900 + os.getpid() % 90)
    tasks = [
        begin(GALGEN, settings=long, MASTER_PORT=port, SLURM_PROCID=str(n), SLURM_LOCALID=str(n),
              **STEP)
        for n in (0, 1)
    ]  # fmt: skip
    until = time.monotonic() + 120
    while not list(Path().glob("runs/*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1.0)
    for task in tasks:
        task.send_signal(signal.SIGUSR1)
    outputs = [task.communicate(timeout=120) for task in tasks]
    assert [task.returncode for task in tasks] == [130, 0], outputs
    assert "go on with: galgen train" in outputs[0][0]
