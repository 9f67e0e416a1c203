"""The scripts for clusters in examples/, as far as they run without one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
WORDS = [
    "sersic", "--images", "64", "--batch", "8", "--size", "16", "--precision", "32",
    "--set", "data.count=48", "--set", "train.metric_images=0", "--compile", "off",
    "--set", "model.options.widths=[4,4,4]", "--set", "model.options.critic_widths=[4,4,4]",
]  # fmt: skip
#: Starts its command in two tasks, or in as many as asked for, and gives the largest exit code.
SRUN = """#!/bin/bash
tasks=2
while [ "${1#--}" != "$1" ]; do
    case $1 in --ntasks=*) tasks=${1#--ntasks=} ;; esac
    shift
done
echo "srun $tasks: $*" >> "$LOG"
pids=()
for rank in $(seq 0 $((tasks - 1))); do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_STEP_NUM_TASKS=$tasks SLURM_STEP_NUM_NODES=1 \\
        SLURM_NODEID=0 "$@" &
    pids+=($!)
    echo $! >> "$PIDS"
done
code=0
for pid in "${pids[@]}"; do wait "$pid"; found=$?; [ $found -gt $code ] && code=$found; done
exit $code
"""


@pytest.mark.parametrize("name", ["slurm.sbatch", "torchrun.sh"])
def test_the_shell_can_read_it(name: str) -> None:
    subprocess.run(["bash", "-n", str(EXAMPLES / name)], check=True)
    usage = subprocess.run(
        ["bash", str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "true"},
    )
    assert (usage.returncode != 0) == (name == "slurm.sbatch")


def test_what_slurm_is_asked_for() -> None:
    text = (EXAMPLES / "slurm.sbatch").read_text(encoding="utf-8")
    asked = dict(
        line.removeprefix("#SBATCH --").split("=", 1)
        for line in text.splitlines()
        if line.startswith("#SBATCH --") and "=" in line
    )
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert asked["signal"].startswith("USR1@")
    assert "#SBATCH --requeue" in text


def tools(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment in which these commands are scripts of ours."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(folder / "log"),
                         "PIDS": str(folder / "pids")}  # fmt: skip


SAYS = '#!/bin/bash\necho "$@"\n'


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_data_are_staged_whole_or_not_at_all(tmp_path: Path) -> None:
    environ = tools(tmp_path / "bin", srun=SRUN, galgen=SAYS)
    stage = tmp_path / "node"
    environ |= {"SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "STAGE": str(stage)}

    def job(data: Path) -> None:
        done = subprocess.run(
            ["bash", str(EXAMPLES / "slurm.sbatch"), str(data)], text=True, env=environ,
            capture_output=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"train {stage}/galgen-" in done.stdout

    for name in ("one", "two"):
        (tmp_path / name / "my set" / "g").mkdir(parents=True)
        (tmp_path / name / "my set" / "g" / "x.fits").write_text(name)
    staged: list[Path] = []
    for name in ("one", "two"):
        job(tmp_path / name / "my set")
        (copy,) = {f.parent.parent for f in stage.rglob("x.fits")} - set(staged)
        assert (copy / "g" / "x.fits").read_text() == name
        staged.append(copy)
    job(tmp_path / "one" / "my set")
    assert {f.parent.parent for f in stage.rglob("x.fits")} == set(staged)
    (tmp_path / "one" / "my set" / "g" / "y.fits").write_text("more")
    job(tmp_path / "one" / "my set")
    assert len(list(stage.rglob("y.fits"))) == 1
    assert len(list(stage.glob("*/*"))) == 3, "nothing half-copied is left"
    # What a job left that was killed is not taken for the copy.
    whole = next(stage.rglob("y.fits")).parent.parent
    whole.rename(whole.with_name("my set.a1B2c3"))
    (whole.with_name("my set.a1B2c3") / "g" / "x.fits").unlink()
    job(tmp_path / "one" / "my set")
    assert len(list(whole.rglob("*.fits"))) == 2


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_a_job_has_one_folder_for_its_run(tmp_path: Path) -> None:
    environ = tools(tmp_path / "bin", srun=SRUN, galgen=SAYS) | {"SLURM_JOB_ID": "7"}
    for words in (["--out", "x"], ["--out=x"]):
        done = subprocess.run(
            ["bash", str(EXAMPLES / "slurm.sbatch"), "sersic", *words], text=True, env=environ,
            capture_output=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 2
        assert "set OUT=FOLDER" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
@pytest.mark.parametrize("parts", [None, "64"])
def test_a_part_is_the_same_in_a_part_of_the_array(tmp_path: Path, parts: str | None) -> None:
    environ = tools(tmp_path / "bin", galgen=SAYS) | ({"PARTS": parts} if parts else {})
    environ |= {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_MIN": "5"}
    environ["SLURM_ARRAY_TASK_COUNT"] = "2"
    done = subprocess.run(
        ["bash", str(EXAMPLES / "pack-array.sbatch"), "in", "out", "--size", "64"], text=True,
        env=environ, capture_output=True,
    )  # fmt: skip
    assert done.stdout.split() == [
        *("data", "pack", "in", "out", "--size", "64", "--shard", f"9/{parts or 16}"),
        *("--workers", "1"),
    ]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs bash and gloo")
def test_torchrun_on_two_processes(workdir: Path) -> None:
    done = subprocess.run(
        ["bash", str(EXAMPLES / "torchrun.sh"), *WORDS],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"NPROC": "2", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "replicas: 2, 2 on one node, started by torchrun" in done.stdout
    assert list(Path("runs").glob("*/checkpoints/last.ckpt"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs bash and gloo")
def test_a_job_that_is_queued_again(workdir: Path) -> None:
    """With an srun and an scontrol of our own: interrupted, queued again, finished."""
    galgen = f'#!/bin/bash\nexec "{sys.executable}" -m galgen_cli.main "$@" $EXTRA\n'
    scontrol = '#!/bin/bash\necho "scontrol $*" >> "$LOG"\n'
    environ = tools(workdir / "bin", srun=SRUN, scontrol=scontrol, galgen=galgen) | {
        "LOG": str(workdir / "log"), "PIDS": str(workdir / "pids"), "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "77", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1", "ENVIRONMENT": "BATCH", "MASTER_PORT": str(29300 + os.getpid() % 200),
    }  # fmt: skip
    script = ["bash", str(EXAMPLES / "slurm.sbatch"), *WORDS, "--images", "40k"]
    job = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           env=environ)  # fmt: skip
    until = time.monotonic() + 240
    while not list(workdir.glob("runs/job-77/*/checkpoints/last.ckpt")) and job.poll() is None:
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    time.sleep(1.0)
    for pid in (workdir / "pids").read_text().split():
        subprocess.run(["kill", "-USR1", pid], check=False)
    output, _ = job.communicate(timeout=240)
    assert job.returncode == 130, output
    assert "interrupted at" in output
    log = (workdir / "log").read_text().splitlines()
    assert log[0].startswith("srun 2: galgen train sersic --out")
    assert log[1] == "scontrol requeue 77"
    # As SLURM starts it again: the same command. What is left is done in one go.
    (run,) = (workdir / "runs" / "job-77").iterdir()
    done = subprocess.run(
        script, capture_output=True, text=True, timeout=280,
        env=environ | {"EXTRA": "--minutes 0.02"},
    )  # fmt: skip
    assert f"going on with {run}" in done.stdout, done.stdout + done.stderr
    log = (workdir / "log").read_text().splitlines()
    assert log[2] == f"srun 2: galgen train {run} --resume"
