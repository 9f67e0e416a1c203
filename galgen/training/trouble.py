"""Errors of the processes of a run with each other, in a sentence with what to try."""

from __future__ import annotations

import re
import signal

from torch import distributed as dist

from galgen.errors import GalgenError

_SEE = "see docs/scaling.md"
#: What an error says, and what helps; the first that fits.
_HELP = (
    (
        r"address already in use|EADDRINUSE",
        "the port at which the replicas meet is taken by another program: set MASTER_PORT to "
        "another number, for example 29511, on all nodes",
    ),
    (
        r"version mismatch|version of nccl|mismatch.*nccl|nccl.*mismatch",
        "the replicas have different versions of NCCL or torch: install the same versions of "
        "galgen and torch on all nodes",
    ),
    (
        r"connection refused|could not connect|failed to connect|connectFullMesh|"
        r"getaddrinfo|name or service not known|no route to host|network is unreachable",
        "the replicas do not reach each other: check that MASTER_ADDR and MASTER_PORT name a node "
        "that all others reach, and name the network card by NCCL_SOCKET_IFNAME "
        "(GLOO_SOCKET_IFNAME on a CPU), for example eth0 or ib0",
    ),
    (
        r"timed? ?out|timeout",
        "a replica waited in vain for the others: one of them hangs, died or never started, so "
        "look at what they said last, check that as many were started as asked for, and try "
        "NCCL_DEBUG=INFO, which tells where it hangs",
    ),
    (
        r"connection closed|connection reset|broken pipe|remote process exited|socket closed",
        "another replica has ended: see its own message, and where there is none, it was killed, "
        "most often for want of memory",
    ),
    (
        r"unhandled system error|unhandled cuda error|nccl error|ncclSystemError|ncclInternalError"
        r"|ncclUnhandledCudaError|ncclInvalidUsage",
        "NCCL failed: NCCL_DEBUG=INFO tells more; try NCCL_P2P_DISABLE=1 where GPUs of a node do "
        "not see each other, NCCL_SOCKET_IFNAME for the right network card, and more shared "
        "memory (--shm-size) in a container",
    ),
)


class ReplicaError(GalgenError):
    """The processes of a run lost each other, or one of them ended.

    Exit code 2, since the cluster is the user's to mend, or that of the process that ended first.
    """

    exit_code = 2

    @classmethod
    def of_end(cls, rank: int, code: int) -> ReplicaError:
        """Of a process that ended with a code; negative is a signal's number."""
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            why = " (most often for want of memory)" if -code == signal.SIGKILL else ""
            error = cls(
                f"replica {rank} was killed by {name}{why}: the run ends with it; go on with "
                "galgen train --resume."
            )
            error.exit_code = 1
        else:
            error = cls(f"replica {rank} ended with an error, which stands above.")
            error.exit_code = code
        return error


def explain(error: BaseException) -> str | None:
    """A sentence on an error of the process group; None for one that is none.

    Parameters
    ----------
    error
        Anything that was raised.
    """
    if not isinstance(error, RuntimeError | dist.DistError):
        return None
    text = str(error)
    own = isinstance(error, dist.DistError)
    if not own and not re.search(r"gloo|nccl|c10d|TCPStore|ProcessGroup", text, re.IGNORECASE):
        return None
    for pattern, help_ in _HELP:
        if re.search(pattern, text, re.IGNORECASE):
            return f"{help_} ({_first_line(text)}; {_SEE})."
    if not own:
        return None
    return f"the replicas lost each other: try NCCL_DEBUG=INFO ({_first_line(text)}; {_SEE})."


def _first_line(text: str) -> str:
    """The shortest that names the error, for people who search for it."""
    line = re.sub(r"^\[\S+ ?\S*\]:?\s*", "", text.strip().splitlines()[0]) if text.strip() else ""
    return line if len(line) <= 160 else f"{line[:157]}..."
