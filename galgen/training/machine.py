"""What suits the machine that a run finds itself on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import torch

from galgen.config import RunConfig
from galgen.errors import ConfigError
from galgen.training import launch

#: Length of a run that names none, by accelerator.
IMAGES = {"cpu": 40_000, "mps": 100_000, "cuda": 400_000}


@dataclass(frozen=True)
class Machine:
    """Devices and precision of a run.

    Attributes
    ----------
    accelerator
        ``cpu``, ``cuda`` or ``mps``.
    devices
        How many per node; on the CPU that many processes.
    precision
        ``32`` or ``bf16``.
    nodes
        How many machines.
    threads
        Of each process; None for as many as torch has now.
    """

    accelerator: str
    devices: int
    precision: str
    nodes: int = 1
    threads: int | None = None

    @property
    def replicas(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes

    def __str__(self) -> str:
        what = {"cpu": "the CPU", "cuda": "CUDA", "mps": "Apple's GPU"}[self.accelerator]
        if self.accelerator == "cpu":
            threads = self.threads or torch.get_num_threads()
            each = " each" if self.replicas > 1 else ""
            what += f" with {threads} thread{'s' if threads > 1 else ''}{each}"
        count = f"{self.devices} x " if self.devices > 1 else ""
        count = f"{self.nodes} nodes x {self.devices} x " if self.nodes > 1 else count
        return f"{count}{what} in {'bfloat16' if self.precision == 'bf16' else 'float32'}"


def find_accelerator(wanted: str = "auto", option: str = "train.accelerator") -> str:
    """The accelerator to use; `option` is what a mistake is called by.

    Raises
    ------
    ConfigError
        If the wanted one is not there.
    """
    have = ["cpu"]
    if torch.backends.mps.is_available():
        have.insert(0, "mps")
    if torch.cuda.is_available():
        have.insert(0, "cuda")
    if wanted == "auto":
        return have[0]
    if wanted not in have:
        way = f"{option} auto" if option.startswith("-") else f"--set {option}=auto"
        raise ConfigError(
            f"{option} {wanted} is not there: this machine has {', '.join(have)}; give {way}."
        )
    return wanted


def device_name(device: torch.device | str) -> str:
    """A device as files tell of it: ``cpu: x86_64 AVX512``, ``cuda: NVIDIA H100 80GB HBM3``.

    What a galaxy's last bits follow from: with other instructions a CPU takes its sums in
    another order.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    instructions = f" {torch.backends.cpu.get_cpu_capability()}" if kind == "cpu" else ""
    return f"{kind}: {platform.machine() or 'unknown'}{instructions}"


def fast_bf16(accelerator: str) -> bool:
    """True where bfloat16 is faster than float32: tensor cores, AMX or AVX512-BF16."""
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported()
    if accelerator == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def count_replicas(config: RunConfig) -> tuple[int, int]:
    """(devices of a node, nodes) of a run, which reads no data.

    Raises
    ------
    ConfigError
        If there are not so many, other processes were started than that, or the batch does not
        divide over them.
    """
    train = config.train
    accelerator = find_accelerator(train.accelerator)
    available = torch.cuda.device_count() if accelerator == "cuda" else 1
    start = launch.find()
    devices, nodes = start.replicas(train.devices, train.nodes, available)
    for option, count in (("--devices", devices), ("--nodes", nodes)):
        if count < 1:
            raise ConfigError(f"{option} {count}: use at least one, or auto.")
    if accelerator != "cpu" and devices > available and start.kind != "plain":
        raise ConfigError(
            f"{start.by} started {devices} processes on this node, of which each sees "
            f"{available} device{'s' if available > 1 else ''}: start one for each device, and let "
            "each see all of its node (SLURM: --gpus-per-node, not --gpus-per-task)."
        )
    if accelerator != "cpu" and devices > available:
        raise ConfigError(
            f"--devices {devices}: this machine has {available}, so give that or auto."
        )
    replicas = devices * nodes
    if train.batch % replicas:
        raise ConfigError(
            f"--batch {train.batch} does not divide over {replicas} devices: "
            f"choose a multiple of {replicas}."
        )
    return devices, nodes


def threads_each(devices: int) -> int:
    """Threads of each of the processes that share this node, so that they do not queue for cores.

    ``OMP_NUM_THREADS`` decides where it is set, then ``SLURM_CPUS_PER_TASK``; else the processor
    cores are divided.
    """
    if devices == 1 or "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    own = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if launch.find().kind == "slurm" and own.isdecimal():
        return int(own)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, cores // devices)


def choose(config: RunConfig) -> Machine:
    """Devices and precision for a configuration, what is ``auto`` decided.

    Raises
    ------
    ConfigError
        As `count_replicas`.
    """
    accelerator = find_accelerator(config.train.accelerator)
    devices, nodes = count_replicas(config)
    precision = config.train.precision
    if precision == "auto":
        precision = "bf16" if fast_bf16(accelerator) else "32"
    return Machine(accelerator, devices, precision, nodes, threads_each(devices))
