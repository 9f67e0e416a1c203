"""What suits the machine that a run finds itself on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from galgen.config import RunConfig
from galgen.errors import ConfigError

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
        How many per node.
    precision
        ``32`` or ``bf16``.
    """

    accelerator: str
    devices: int
    precision: str

    def __str__(self) -> str:
        what = {"cpu": "the CPU", "cuda": "CUDA", "mps": "Apple's GPU"}[self.accelerator]
        if self.accelerator == "cpu":
            threads = torch.get_num_threads()
            what += f" with {threads} thread{'s' if threads > 1 else ''}"
        count = f"{self.devices} x " if self.devices > 1 else ""
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
        raise ConfigError(f"{option} {wanted} is not there: this machine has {', '.join(have)}.")
    return wanted


def fast_bf16(accelerator: str) -> bool:
    """True where bfloat16 is faster than float32: tensor cores, AMX or AVX512-BF16."""
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported()
    if accelerator == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def choose(config: RunConfig) -> Machine:
    """Devices and precision for a configuration, what is ``auto`` decided.

    Raises
    ------
    ConfigError
        If more devices are asked for than there are, or the batch does not divide over them.
    """
    train = config.train
    accelerator = find_accelerator(train.accelerator)
    available = torch.cuda.device_count() if accelerator == "cuda" else 1
    devices = available if train.devices == "auto" else train.devices
    if accelerator != "cpu" and devices > available:
        raise ConfigError(f"--devices {devices}: this machine has {available}.")
    if devices < 1:
        raise ConfigError(f"--devices {devices}: use at least one, or auto.")
    replicas = devices * train.nodes
    if train.batch % replicas:
        raise ConfigError(
            f"--batch {train.batch} does not divide over {replicas} devices: "
            f"choose a multiple of {replicas}."
        )
    precision = train.precision
    if precision == "auto":
        precision = "bf16" if fast_bf16(accelerator) else "32"
    return Machine(accelerator, devices, precision)
