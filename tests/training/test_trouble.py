"""Errors of the process group are told apart and come with help; others are left alone."""

from __future__ import annotations

import pytest
from torch import distributed as dist

from galgen.training.trouble import ReplicaError, explain


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            dist.DistNetworkError(
                "The server socket has failed to listen on any local network address. port: 29500, "
                "useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use"
            ),
            "MASTER_PORT",
        ),
        (
            dist.DistBackendError(
                "NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system "
                "error (run with NCCL_DEBUG=INFO for details), NCCL version 2.20.5"
            ),
            "NCCL_P2P_DISABLE=1",
        ),
        (
            dist.DistBackendError(
                "[1] is setting up NCCL communicator and retrieving ncclUniqueId from [0] via c10d "
                "key-value store by store->get('0'), but store->get('0') got error: Connection "
                "reset by peer"
            ),
            "another replica has ended",
        ),
        (
            dist.DistStoreError("Timed out after 601 seconds waiting for clients. 1/2 joined."),
            "NCCL_DEBUG=INFO",
        ),
        (
            RuntimeError(
                "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer "
                "[127.0.0.1]:12345"
            ),
            "another replica has ended",
        ),
        (
            RuntimeError("Gloo connectFullMesh failed with [..] Connection refused"),
            "GLOO_SOCKET_IFNAME",
        ),
        (RuntimeError("NCCL version mismatch between ranks"), "same versions"),
        (dist.DistError("something new"), "something new"),
    ],
)  # fmt: skip
def test_help_in_the_error(error: Exception, words: str) -> None:
    said = explain(error)
    assert said is not None
    assert words in said
    assert "docs/scaling.md" in said
    assert "\n" not in said
    assert said.endswith(".")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("timeout"),
        KeyError("connection refused"),
    ],
)
def test_other_errors_are_none_of_the_groups(error: Exception) -> None:
    assert explain(error) is None


def test_how_a_replica_ended_decides_the_exit_code() -> None:
    assert ReplicaError.of_end(3, 2).exit_code == 2
    assert "replica 3 ended with an error" in str(ReplicaError.of_end(3, 2))
    killed = ReplicaError.of_end(1, -9)
    assert (killed.exit_code, ReplicaError.exit_code) == (1, 2)
    assert "killed by SIGKILL (most often for want of memory)" in str(killed)
