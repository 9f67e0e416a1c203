"""What a scheduler sends before the first batch is honoured after it, on one process and on two."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from galgen.recovery import latest
from galgen.train import resume
from tiny import OPTIONS, logged, run, tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 here"),
]

#: Sends a signal to all processes of the run while it is being prepared, or the others start.
EARLY = """
    import os, signal
    from galgen.callbacks.log import LogMeans
    from galgen.training.group import _Launcher

    def followed(real):
        def call(self, *rest):
            real(self, *rest)
            if os.environ.get("LOCAL_RANK", "0") == "0":
                os.killpg(0, signal.{name})
        return call

    {where} = followed({where})
    from galgen_cli.main import app
    import sys
    app(sys.argv[1:])
"""
PREPARED, STARTED = "LogMeans.setup", "_Launcher._call_children_scripts"


@pytest.mark.parametrize(
    ("devices", "name", "where"),
    [
        (1, "SIGTERM", PREPARED),
        (1, "SIGUSR1", PREPARED),
        (2, "SIGTERM", PREPARED),
        (2, "SIGUSR1", PREPARED),
        (2, "SIGTERM", STARTED),
    ],
)
def test_a_signal_before_the_first_batch(
    devices: int, name: str, where: str, tmp_path: Path
) -> None:
    settings = {"train__log_images": 8, "train__snapshot_images": 24, "train__images": 48}
    values = tiny(**settings, train__devices=devices)
    values |= {f"model.options.{k}": v for k, v in OPTIONS.items()}
    del values["model.options"]
    script = tmp_path / "command.py"
    script.write_text(textwrap.dedent(EARLY.format(where=where, name=name)))
    done = subprocess.run(
        [sys.executable, str(script), "train", "--out", str(tmp_path / "runs")]
        + [f"--set={k}={v}" for k, v in values.items()],
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    assert done.returncode == 130, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"interrupted at 8 images; go on with: galgen train {folder} --resume" in done.stdout
    assert latest(folder).images == 8  # type: ignore[union-attr]
    if devices == 1:
        resume(folder)
        assert logged(folder) == logged(run(tmp_path / "other", **settings).run)
