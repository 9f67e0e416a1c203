"""How processes agree on a folder, and which of Lightning's environments they run in."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed as dist

from galgen.errors import ConfigError
from galgen.training import group
from galgen.training.group import FOLDER, Replicas, environment, meet, of_first, told, translated
from galgen.training.machine import Machine
from galgen.training.trouble import ReplicaError


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = ("SLURM_", "TORCHELASTIC_", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", FOLDER)
    for name in [name for name in os.environ if name.startswith(foreign)]:
        monkeypatch.delenv(name)


def test_others_learn_what_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, "of an earlier run")
    assert told() is None
    assert of_first(lambda: tmp_path / "made") == tmp_path / "made"
    # As a process that Lightning started from this one, which inherits its environment.
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert told() == tmp_path / "made"
    assert of_first(lambda: pytest.fail("only the first makes it")) == tmp_path / "made"


def test_a_process_that_galgen_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match="LOCAL_RANK is 2, but galgen did not start"):
        of_first(lambda: Path("x"))


def test_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(environment(), LightningEnvironment)
    with monkeypatch.context() as patch:
        for name in ("RANK", "LOCAL_RANK"):
            patch.setenv(name, "0")
        for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            patch.setenv(name, "2")
        patch.setenv("TORCHELASTIC_RUN_ID", "none")
        assert isinstance(environment(), TorchElasticEnvironment)
    # A step of two tasks in a job of four: what counts is the step.
    for name, value in {
        "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "1", "SLURM_LOCALID": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    slurm = environment()
    assert isinstance(slurm, SLURMEnvironment)
    assert not slurm.auto_requeue
    assert (slurm.world_size(), slurm.global_rank(), slurm.local_rank()) == (2, 1, 1)
    slurm.validate_settings(num_devices=2, num_nodes=1)


def test_how_long_replicas_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour is torch's own; where galgen starts them, they read the data after the first."""
    monkeypatch.setattr(group.time, "monotonic", lambda: group._IMPORTED + 100.0)
    assert Replicas()._timeout == group.TIMEOUT + timedelta(seconds=200)
    assert timedelta(minutes=15) >= group.TIMEOUT


def test_a_single_process_meets_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "init_process_group", lambda *a, **k: pytest.fail("it is alone"))
    assert meet(Machine("cpu", 1, "32")) == []
    (sentence,) = meet(Machine("cpu", 2, "32"))
    assert sentence == "replicas: 2, 2 on one node, started by galgen, talking by gloo"


def test_errors_of_the_group_are_translated() -> None:
    with pytest.raises(ReplicaError, match="MASTER_PORT"), translated():
        raise dist.DistNetworkError("port: 29500, EADDRINUSE, address already in use")
    with pytest.raises(ConfigError, match="as it is"), translated():
        raise ConfigError("as it is")
    with pytest.raises(ZeroDivisionError), translated():
        _ = 1 / 0
