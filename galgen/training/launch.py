"""What started this process, and how many others it trains with: read from the environment alone.

==========  ==================================================================================
kind        replicas
==========  ==================================================================================
`plain`     ``galgen train --devices 2``: this process starts the others of its node itself
`torchrun`  one process each, started by torchrun
`slurm`     one task each, started by srun
==========  ==================================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from galgen.errors import ConfigError

#: Names of SLURM jobs that are a shell; Lightning too takes what runs in them as started by hand.
SHELLS = ("bash", "interactive")


@dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes
    ----------
    kind
        ``plain``, ``torchrun`` or ``slurm``.
    rank, local
        This process among all, and among those of its node.
    tasks, nodes
        Processes that were started, over all nodes; 1 where galgen starts the others itself.
    """

    kind: Literal["plain", "torchrun", "slurm"] = "plain"
    rank: int = 0
    local: int = 0
    tasks: int = 1
    nodes: int = 1

    @property
    def per_node(self) -> int:
        """Processes of a node."""
        return self.tasks // self.nodes

    @property
    def by(self) -> str:
        """Who started the processes, for a sentence."""
        return {"plain": "galgen", "torchrun": "torchrun", "slurm": "SLURM"}[self.kind]

    def replicas(self, devices: int | str, nodes: int | str, available: int) -> tuple[int, int]:
        """(devices of a node, nodes) of a run; ``auto`` is what there are.

        Parameters
        ----------
        devices, nodes
            As asked for, numbers or ``auto``.
        available
            Devices that a plain start on this node can use.

        Raises
        ------
        ConfigError
            If processes were started for other devices or nodes than asked for.
        """
        if self.kind == "plain":
            devices = available if devices == "auto" else int(devices)
            nodes = 1 if nodes == "auto" else int(nodes)
            if nodes > 1:
                raise ConfigError(
                    f"--nodes {nodes}: nothing started galgen on so many: start it by srun or by "
                    "torchrun, see examples/slurm.sbatch and examples/torchrun.sh."
                )
            return devices, nodes
        slurm = self.kind == "slurm"
        for option, asked, have, way in (
            (
                "--devices",
                devices,
                self.per_node,
                "--ntasks-per-node" if slurm else "--nproc-per-node",
            ),
            ("--nodes", nodes, self.nodes, "--nodes" if slurm else "--nnodes"),
        ):
            if asked not in ("auto", have):
                what = "task" if slurm else "process"
                what += ("s" if slurm else "es") if option == "--nodes" or have > 1 else ""
                started = (
                    f"{have} {what} on each node"
                    if option == "--devices"
                    else (f"{what} on {have} node{'s' if have > 1 else ''}")
                )
                variable = "SLURM_NTASKS" if slurm else "WORLD_SIZE"
                raise ConfigError(
                    f"{option} {asked}: {self.by} started {started} ({variable} is {self.tasks}): "
                    f"give {option} {have} or auto, or {self.by} {way}={asked}."
                )
        return self.per_node, self.nodes


def find(environ: Mapping[str, str] | None = None) -> Launch:
    """How this process was started.

    Raises
    ------
    ConfigError
        If SLURM has several tasks and this process was not started by srun, or the nodes have
        unequal numbers of processes.
    """
    env = os.environ if environ is None else environ
    if "TORCHELASTIC_RUN_ID" in env:
        each, tasks = _number(env, "LOCAL_WORLD_SIZE"), _number(env, "WORLD_SIZE")
        if tasks % each:
            raise ConfigError(
                f"torchrun started {tasks} processes (WORLD_SIZE), {each} of them on this node: "
                "give every node the same --nproc-per-node."
            )
        return Launch(
            "torchrun", _number(env, "RANK"), _number(env, "LOCAL_RANK"), tasks, tasks // each
        )
    tasks = "SLURM_NTASKS" in env or "SLURM_NTASKS_PER_NODE" in env
    if tasks and env.get("SLURM_JOB_NAME") not in SHELLS and (found := _slurm(env)) is not None:
        return found
    # Set by Lightning for the processes that it starts as copies of the first.
    local = _number(env, "LOCAL_RANK", 0)
    return Launch("plain", local, local)


def first(environ: Mapping[str, str] | None = None) -> bool:
    """True on the one process that writes and talks; asks nothing of how it was started."""
    env = os.environ if environ is None else environ
    if "RANK" in env:
        return env["RANK"] == "0"
    shell = env.get("SLURM_JOB_NAME") in SHELLS
    return env.get("LOCAL_RANK", "0") == "0" and (shell or env.get("SLURM_PROCID", "0") == "0")


def alone(environ: Mapping[str, str] | None = None) -> bool:
    """True where a mistake that shows before the replicas meet is said: once a node.

    A process that galgen itself started meets nothing that the first one has not passed, so what
    it does meet is news.
    """
    env = os.environ if environ is None else environ
    if "RANK" in env:
        return env.get("LOCAL_RANK", "0") == "0"
    return "LOCAL_RANK" in env or env.get("SLURM_LOCALID", "0") == "0"


def _slurm(env: Mapping[str, str]) -> Launch | None:
    """A task of srun; None for a single process that may start others itself."""
    nodes = (
        _number(env, "SLURM_STEP_NUM_NODES", 0)
        or _number(env, "SLURM_NNODES", 0)
        or _number(env, "SLURM_JOB_NUM_NODES", 1)
    )
    each = _number(env, "SLURM_NTASKS_PER_NODE", 0)
    tasks = _number(env, "SLURM_NTASKS", max(1, each) * nodes)
    # A batch script has SLURM_PROCID 0 as well, but is no step.
    step = "SLURM_STEP_NUM_TASKS" in env
    if not step and ("SLURM_PROCID" not in env or env.get("ENVIRONMENT") == "BATCH"):
        if tasks == 1:
            return None
        raise ConfigError(
            f"SLURM_NTASKS is {tasks}, and this one process was not started by srun: begin the "
            "command with srun, or with srun --ntasks=1 to train in a single process."
        )
    tasks = _number(env, "SLURM_STEP_NUM_TASKS", tasks)
    if tasks == 1 and not each:
        return None
    counts = _counts(env.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if len(set(counts)) > 1 or tasks % nodes:
        raise ConfigError(
            f"SLURM put {tasks} tasks (SLURM_NTASKS) on {nodes} nodes in unequal numbers: ask for "
            "them by --ntasks-per-node, which has to be the number of devices of a node."
        )
    rank, local = _number(env, "SLURM_PROCID"), _number(env, "SLURM_LOCALID")
    return Launch("slurm", rank, local, tasks, nodes)


def _counts(text: str) -> list[int]:
    """Tasks of each node, as SLURM writes it.

    >>> _counts("4(x2),3")
    [4, 4, 3]
    """
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(count) for count, times in found for _ in range(int(times or 1))]


def _number(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = env.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ConfigError(
            f"{name} is {text if text else 'not set'}, which should be a number: start the "
            "processes by torchrun or srun, which set it."
        ) from None
