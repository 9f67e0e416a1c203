"""A run that really runs out of memory goes on in smaller parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="limits of memory are for Unix")

#: Enough for PyTorch, the data and a part of the batch; too little for all of it.
LIMIT = 3_000_000_000


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux holds RLIMIT_DATA")
def test_a_batch_that_does_not_fit_is_taken_apart(tmp_path: Path) -> None:
    command = (
        "train sersic --size 128 --batch 256 --images 512 --precision 32 --set train.compile=off "
        "--set data.count=300 --set train.metric_images=0 --set train.grid_images=0"
    )
    done = subprocess.run(
        [sys.executable, "-m", "galgen_cli.main", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = " ".join((done.stdout + done.stderr).split())
    assert "memory ran out with 256 images at a time: 128 from here on" in said
    assert "trained on 512 images" in said
