"""TensorBoard and wandb: only when asked for, and wandb offline without an account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from galgen.config import RunConfig
from galgen.training.loggers import extra_loggers
from tiny import run


def test_none_is_made_or_imported_unless_asked_for(tmp_path: Path) -> None:
    assert extra_loggers(RunConfig(), tmp_path) == []
    code = "import sys, galgen.train; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_both_write_into_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    outcome = run(tmp_path / "runs", train__logger=["csv", "tensorboard", "wandb"])
    import wandb

    wandb.finish()
    assert list((outcome.run / "tensorboard").glob("events*"))
    assert list((outcome.run / "wandb").glob("offline-run-*/*.wandb"))
    assert (outcome.run / "metrics.csv").read_text().startswith("images,")
