"""All replicas go on with the same run from the same checkpoint, and no two commands with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from galgen.errors import OutputError
from galgen.io.lock import only
from galgen.recovery import latest
from galgen.resuming import agree, find_begun, plan_in
from galgen.train import resume, train
from galgen.training.trouble import ReplicaError
from tiny import run, tiny

posix = pytest.mark.skipif(os.name == "nt", reason="gloo and locks need POSIX here")


def replica(rank: int, folders: list[Path], meeting: str, found: Path) -> None:
    """What one of two replicas, each of which has planned by itself, goes on with."""
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    mine = folders[rank]
    try:
        folder, config, checkpoint = agree(mine, *plan_in(mine, {}), {})
        assert checkpoint is not None
        said: Any = [str(folder), config.seed, checkpoint.images]
    except ReplicaError as error:
        said = str(error)
    (found / f"{rank}.json").write_text(json.dumps(said))
    dist.destroy_process_group()


def agreed(tmp_path: Path, one: Path, other: Path) -> list[Any]:
    meeting = f"file://{tmp_path / 'meeting'}"
    spawn(replica, ([one, other], meeting, tmp_path), nprocs=2)
    return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]


@posix
@pytest.mark.slow
def test_replicas_that_found_different_runs_go_on_with_the_first_one_s(tmp_path: Path) -> None:
    one = run(tmp_path / "runs", train__images=32, seed=1).run
    other = run(tmp_path / "runs", train__images=16, seed=2).run
    assert agreed(tmp_path, one, other) == [[str(one), 1, 32]] * 2


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
READS_LESS = """
import sys
from pathlib import Path
import galgen.resuming
from galgen.training import launch

real = galgen.resuming.latest

def older(folder):
    if launch.find().rank:
        # Its disk is behind.
        file = folder / "checkpoints" / "last.ckpt"
        from galgen.recovery import Found, read_whole
        previous = file.with_name("previous.ckpt")
        return Found(previous, read_whole(previous))
    return real(folder)

if {behind}:
    galgen.resuming.latest = older
real_newest = galgen.resuming.newest_begun

def newest():
    found = real_newest()
    # The other run began after the first replica had looked.
    return found if launch.find().rank else found.with_name("00001-dcgan-sersic-16px")

galgen.resuming.newest_begun = newest
from galgen_cli.main import app
app(sys.argv[1:])
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("behind", [False, True])
def test_torchrun_without_a_name(behind: bool, workdir: Path) -> None:
    folder = run(Path("runs"), train__images=32, train__snapshot_images=16, seed=1).run
    other = folder.with_name("00002-other")
    shutil.copytree(folder, other)
    config = other / "config.yaml"
    config.write_text(config.read_text().replace("seed: 1", "seed: 2"))
    script = Path("command.py")
    script.write_text(READS_LESS.format(behind=behind))
    foreign = ("SLURM_", "TORCHELASTIC_", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", "NODE_RANK")
    words = ["train", "--resume", "--images", "48", "--devices", "2"]
    done = subprocess.run(
        [*TORCHRUN, str(script), *words],
        capture_output=True,
        text=True,
        timeout=150,
        env={k: v for k, v in os.environ.items() if not k.startswith(foreign)},
    )
    if behind:
        assert done.returncode != 0
        said = [line for line in done.stderr.splitlines() if line.startswith("galgen:")]
        assert len(said) == 1
        assert "goes on with last.ckpt of 32 images and seed 1, and replica 1 with" in said[0]
        assert "previous.ckpt of 16 images" in said[0]
        assert latest(folder).images == 32  # type: ignore[union-attr]
    else:
        assert done.returncode == 0, done.stderr[-3000:]
        assert latest(folder).images == 48  # type: ignore[union-attr]
    assert latest(other).images == 32  # type: ignore[union-attr]


LOOK = """
import sys
from pathlib import Path
from galgen.io.lock import only

with only(Path(sys.argv[1])):
    pass
"""
HOLD = """
import sys, time
from pathlib import Path
from galgen.io.lock import only

with only(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@posix
def test_a_run_that_another_process_works_in_is_left_alone(tmp_path: Path) -> None:
    folder = run(tmp_path, train__images=16, train__snapshot_images=16).run
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(OutputError, match=rf"another process \({holder.pid} on ") as refused:
            resume(folder, changes={"train.images": 32})
        assert refused.value.exit_code == 2
        assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    finally:
        holder.kill()
        holder.wait()
    assert resume(folder, changes={"train.images": 32}).images == 32


@posix
def test_a_run_holds_its_folder_while_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import galgen.train

    real, refused = galgen.train.fit, []

    def fit(*given: Any, **more: Any) -> Any:
        look = [sys.executable, "-c", LOOK, str(given[4])]
        refused.append(subprocess.run(look, capture_output=True).returncode)
        return real(*given, **more)

    monkeypatch.setattr(galgen.train, "fit", fit)
    outcome = train(tiny(train__images=16, train__snapshot_images=16), out=tmp_path)
    resume(outcome.run, changes={"train.images": 32})
    assert refused == [1, 1]
    with only(outcome.run):
        pass
    assert not (outcome.run / ".lock").exists()


def test_a_checkpoint_is_read_once_for_the_plan_and_once_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(tmp_path, train__images=16, train__snapshot_images=16).run
    real, reads = torch.load, []

    def load(path: Any, *given: Any, **more: Any) -> Any:
        reads.append(str(path))
        return real(path, *given, **more)

    monkeypatch.setattr(torch, "load", load)
    resume(folder, changes={"train.images": 24})
    assert len(reads) == 2


def test_the_newest_is_found_by_its_number(workdir: Path) -> None:
    for name in ("00001-a", "00002-b"):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "config.yaml").touch()
    assert find_begun(None).name == "00002-b"
