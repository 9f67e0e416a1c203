"""kill -9 while galaxies are written: the short form of ``benchmarks/sampling_kills.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks, which Windows cannot"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("mode", ["fits-1", "fits-2", "pack-1", "pack-2"])
def test_three_kills_at_random_moments_change_nothing(mode: str, repository: Path) -> None:
    script = repository / "benchmarks" / "sampling_kills.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "3", "--count", "300", "--mode", mode],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr[-2000:]
    assert lines[0]["faults"] == []
    assert (lines[0]["kills"], done.returncode) == (3, 0)
