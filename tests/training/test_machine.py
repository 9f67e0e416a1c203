"""Devices and precision: chosen where they are free, refused where they are not there."""

from __future__ import annotations

import os

import pytest
import torch

from galgen.config import RunConfig
from galgen.errors import ConfigError
from galgen.training.machine import Machine, choose, count_replicas, find_accelerator, threads_each
from galgen.training.replicas import is_first


@pytest.fixture(autouse=True)
def _started_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


def under_slurm(patch: pytest.MonkeyPatch, **more: str) -> None:
    """The first of two tasks of a step on one node."""
    known = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    for name, value in {**known, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", **more}.items():
        patch.setenv(name, value)


def test_what_is_stated_is_taken() -> None:
    settings = {"train.accelerator": "cpu", "train.devices": 2, "train.precision": "bf16"}
    machine = choose(RunConfig.build(settings))
    assert (machine.accelerator, machine.devices, machine.precision) == ("cpu", 2, "bf16")
    assert (machine.nodes, machine.replicas) == (1, 2)
    assert "2 x the CPU" in str(machine)
    assert "each" in str(machine)
    assert "bfloat16" in str(machine)


def test_nodes_are_said() -> None:
    machine = Machine("cuda", 4, "bf16", 2)
    assert machine.replicas == 8
    assert str(machine) == "2 nodes x 4 x CUDA in bfloat16"
    assert str(Machine("cpu", 2, "32", 1, 3)) == "2 x the CPU with 3 threads each in float32"


def test_auto_finds_something_that_is_there() -> None:
    machine = choose(RunConfig.build())
    assert machine.accelerator == find_accelerator()
    assert machine.devices >= 1
    assert machine.nodes == 1
    assert machine.precision in ("32", "bf16")


def test_a_machine_without_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ConfigError,
        match=r"train.accelerator cuda is not there.*cpu; give --set train.accelerator=auto",
    ):
        choose(RunConfig.build({"train.accelerator": "cuda"}))


def test_more_devices_than_there_are(one_gpu: None) -> None:
    with pytest.raises(ConfigError, match="--devices 2: this machine has 1, so give that or auto"):
        choose(RunConfig.build({"train.accelerator": "cuda", "train.devices": 2}))
    for name in ("devices", "nodes"):
        with pytest.raises(ConfigError, match=f"--{name} 0: use at least one"):
            choose(RunConfig.build({"train.accelerator": "cpu", f"train.{name}": 0}))


def test_auto_is_the_tasks_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    under_slurm(monkeypatch)
    config = RunConfig.build({"train.accelerator": "cpu"})
    assert count_replicas(config) == (2, 1)
    with pytest.raises(ConfigError, match="--devices 3: SLURM started 2 tasks"):
        count_replicas(config.replace({"train.devices": 3}))
    with pytest.raises(ConfigError, match="--batch 9 does not divide over 2 devices"):
        count_replicas(config.replace({"train.batch": 9}))


def test_tasks_that_see_one_gpu_each(monkeypatch: pytest.MonkeyPatch, one_gpu: None) -> None:
    under_slurm(monkeypatch)
    with pytest.raises(ConfigError, match=r"each sees 1 device: .*not --gpus-per-task"):
        count_replicas(RunConfig.build({"train.accelerator": "cuda"}))


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [threads_each(devices) for devices in (2, 3, 16)] == [4, 2, 1]
    assert threads_each(1) == torch.get_num_threads()
    # A task has the cores that SLURM gives it, and no other task's.
    under_slurm(monkeypatch, SLURM_CPUS_PER_TASK="8")
    assert threads_each(2) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads_each(2) == torch.get_num_threads()


def test_the_first_process_writes() -> None:
    assert is_first()
