"""What started a process is read from the environment, and what does not fit is refused."""

from __future__ import annotations

import pytest

from galgen.errors import ConfigError
from galgen.training.launch import Launch, alone, find, first

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
}  # fmt: skip
#: A batch job of two nodes with four tasks each; a step of srun in it, on the second node.
BATCH = {
    "SLURM_JOB_ID": "17", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "ENVIRONMENT": "BATCH", "SLURM_JOB_NAME": "train",
}  # fmt: skip
STEP = BATCH | {
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_PROCID": "5", "SLURM_LOCALID": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Launch()),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, Launch("plain", 1, 1)),
        (TORCHRUN, Launch("torchrun", 5, 1, 8, 2)),
        # torchrun on every node of a SLURM job counts, not the task that holds it.
        (STEP | TORCHRUN, Launch("torchrun", 5, 1, 8, 2)),
        (STEP, Launch("slurm", 5, 1, 8, 2)),
        # Tasks and nodes are those of the step, of which a job may have smaller ones.
        (
            STEP | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1",
                    "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_PROCID": "1"},
            Launch("slurm", 1, 1, 2, 1),
        ),
        # Without the step's own variables.
        (
            {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
            Launch("slurm", 0, 0, 2, 1),
        ),
        # One task may start replicas itself, and so may a batch script that has but one.
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, Launch()),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "ENVIRONMENT": "BATCH"}, Launch()),
        (BATCH | {"SLURM_JOB_NAME": "interactive"}, Launch()),
    ],
)  # fmt: skip
def test_what_started_a_process(environ: dict[str, str], expected: Launch) -> None:
    assert find(environ) == expected
    assert first(environ) == (expected.rank == 0)
    assert expected.per_node * expected.nodes == expected.tasks


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (BATCH, "SLURM_NTASKS is 8, .* not started by srun: begin the command with srun"),
        ({"SLURM_NTASKS": "4"}, "SLURM_NTASKS is 4"),
        ({"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"}, "SLURM_NTASKS is 4"),
        (STEP | {"SLURM_STEP_TASKS_PER_NODE": "5,3"}, "unequal numbers.*--ntasks-per-node"),
        (STEP | {"SLURM_STEP_NUM_TASKS": "7"}, "7 tasks .* on 2 nodes"),
        (TORCHRUN | {"WORLD_SIZE": "6"}, "6 processes .* the same --nproc-per-node"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "many"}, "LOCAL_WORLD_SIZE is many"),
    ],
)
def test_starts_that_cannot_work(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find(environ)


@pytest.mark.parametrize(
    ("environ", "devices", "nodes", "words"),
    [
        (STEP, 2, "auto", r"--devices 2: SLURM started 4 tasks on each node \(SLURM_NTASKS is 8\): "
         "give --devices 4 or auto, or SLURM --ntasks-per-node=2"),
        (STEP, "auto", 1, "--nodes 1: SLURM started tasks on 2 nodes .* SLURM --nodes=1"),
        (BATCH | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}, 2, 1,
         "--devices 2: SLURM started 1 task on each node"),
        (TORCHRUN, 8, "auto", r"--devices 8: torchrun .* 4 processes .*\(WORLD_SIZE is 8\): .* "
         "torchrun --nproc-per-node=8"),
        (TORCHRUN, 4, 3, "--nodes 3: torchrun started processes on 2 nodes .*--nnodes=3"),
        ({}, "auto", 2, "--nodes 2: .* by srun or by torchrun"),
    ],
)  # fmt: skip
def test_other_devices_than_processes(
    environ: dict[str, str], devices: int | str, nodes: int | str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        find(environ).replicas(devices, nodes, available=1)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("environ", "devices", "nodes", "expected"),
    [
        ({}, "auto", "auto", (3, 1)),
        ({}, 2, 1, (2, 1)),
        (STEP, "auto", "auto", (4, 2)),
        (STEP, 4, 2, (4, 2)),
        (TORCHRUN, "auto", "auto", (4, 2)),
    ],
)
def test_devices_and_nodes(
    environ: dict[str, str], devices: int | str, nodes: int | str, expected: tuple[int, int]
) -> None:
    assert find(environ).replicas(devices, nodes, available=3) == expected


def test_a_mistake_is_said_once_a_node() -> None:
    assert alone({"LOCAL_RANK": "1"})
    assert alone(TORCHRUN | {"LOCAL_RANK": "0"})
    assert not alone(TORCHRUN)
    assert alone(STEP | {"SLURM_LOCALID": "0"})
    assert not alone(STEP)
