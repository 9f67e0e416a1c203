"""kill -9 at any moment: the short form of ``benchmarks/kills.py``, and the whole of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from galgen.models.registry import PAIRS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks, which Windows cannot")


def kills(repository: Path, *arguments: str) -> list[dict[str, Any]]:
    """What the benchmark found, an object a line."""
    done = subprocess.run(
        [sys.executable, str(repository / "benchmarks" / "kills.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr[-2000:]
    assert done.returncode == int(any(line["faults"] for line in found))
    return found


def test_three_kills_at_random_moments_change_nothing(repository: Path) -> None:
    (found,) = kills(repository, "moments", "--kills", "3", "--images", "192")
    assert found["faults"] == []
    assert found["kills"] == 3
    assert found["runs"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--devices", "2", "--kills", "6")])
def test_kills_at_random_moments_change_nothing(options: tuple[str, ...], repository: Path) -> None:
    (found,) = kills(repository, "moments", *options)
    assert found["faults"] == []


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_a_kill_at_half_time_changes_nothing(pair: str, repository: Path) -> None:
    found = kills(repository, "pairs", "--pair", pair)
    assert {(line["workers"], line["processes"]) for line in found} == {
        (workers, processes) for workers in (0, 2) for processes in (1, 2)
    }
    assert [line["faults"] for line in found] == [[]] * 4
    assert all(line["tensors"] > 50 and line["rows"] == 12 for line in found)
