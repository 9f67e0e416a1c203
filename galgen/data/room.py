"""How much memory a set may take: of the machine, of a job with a limit, of a device."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_NO_LIMIT = 1 << 62


def memory() -> int:
    """Bytes that this process may still take without pushing anything out.

    The least of what the machine has free, what the job's control group leaves (as SLURM,
    Docker and systemd set it), and what ``ulimit -d`` and ``ulimit -v`` leave. Files that the
    system has cached count as free.
    """
    return max(0, min(_machine(), _group(), _limits()))


def give_back() -> None:
    """Give the system memory that was freed: glibc keeps it for the thread that freed it, so that a
    process with several comes to hold what all of them ever needed, each at another time.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def device_memory(device: torch.device) -> int:
    """Bytes free on a CUDA or MPS device, 0 for any other."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        taken = torch.mps.driver_allocated_memory()
        return max(0, int(torch.mps.recommended_max_memory()) - int(taken))
    return 0


def _machine() -> int:
    kilobytes = _fields(Path("/proc/meminfo")).get("MemAvailable")
    if kilobytes is not None:
        return 1024 * kilobytes
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _NO_LIMIT


def _limits() -> int:
    try:
        import resource
    except ImportError:
        return _NO_LIMIT
    left = _NO_LIMIT
    used = _fields(Path("/proc/self/status"))
    for limit, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            left = min(left, soft - 1024 * used.get(name, 0))
    return left


def _group() -> int:
    """What control groups leave: version 2 with those above, and version 1."""
    left = _NO_LIMIT
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return left
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            base, limit, usage = Path("/sys/fs/cgroup"), "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            base = Path("/sys/fs/cgroup/memory")
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        inside = base / path.strip("/")
        # In a container the path may be the host's; then the limit stands at the base.
        for group in (inside, *inside.parents):
            if not group.is_relative_to(base):
                break
            most, now = _number(group / limit), _number(group / usage)
            if most is not None and now is not None:
                stat = _fields(group / "memory.stat")
                left = min(left, most - now + stat.get("file", stat.get("cache", 0)))
    return left


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """First number of each line ``name: number`` or ``name number``."""
    found = {}
    with suppress(OSError):
        for line in path.read_text().splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                found[words[0]] = int(words[1])
    return found
