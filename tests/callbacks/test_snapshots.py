"""Checkpoints appear whole, at their intervals, and best is the lowest finite value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from galgen import DCGAN, CutoutDataModule, checkpoint
from galgen.callbacks.snapshots import Snapshots
from galgen.errors import OutputError
from tiny import OPTIONS

VALUES = {8: 5.0, 16: float("nan"), 24: 3.0, 32: 4.0, 40: float("inf"), 48: 3.0}


class Metric(L.Callback):
    """Offers given values and remembers when files were written."""

    def __init__(self, snapshots: Snapshots) -> None:
        self.snapshots = snapshots
        self.found: dict[int, dict[str, int]] = {}

    def on_train_batch_start(self, trainer: Any, module: Any, *rest: Any) -> None:
        folder = self.snapshots.folder
        self.found[module.clock.images] = {
            path.stem: checkpoint.load(path).images for path in folder.glob("*.ckpt")
        }

    def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
        self.snapshots.offer(VALUES[module.clock.images])


def fit(folder: Path, every: int) -> tuple[Metric, Snapshots]:
    snapshots = Snapshots(folder, every)
    metric = Metric(snapshots)
    data = CutoutDataModule("sersic", size=16, count=16, batch=8, epoch_images=48)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[metric, snapshots],
    )  # fmt: skip
    trainer.fit(DCGAN(size=16, bands=["g", "r", "i"], **OPTIONS), data)
    return metric, snapshots


def test_intervals_and_best(tmp_path: Path) -> None:
    metric, snapshots = fit(tmp_path / "checkpoints", 20)
    assert metric.found == {
        0: {},
        8: {"best": 8},
        16: {"best": 8},
        24: {"best": 24, "last": 24},
        32: {"best": 24, "last": 24},
        40: {"best": 24, "last": 40},
    }
    assert snapshots.best == 3.0
    assert snapshots.state_dict() == {"best": 3.0}
    content = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["callbacks"]["Snapshots"] == {"best": 3.0}


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, count = torch.save, []

    def full(content: Any, file: Any) -> None:
        count.append(1)
        if len(count) > 2:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        save(content, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"best.ckpt cannot be written \(No space left"):
        fit(tmp_path, 16)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert checkpoint.load(tmp_path / "last.ckpt").images == 16
    assert checkpoint.load(tmp_path / "best.ckpt").images == 8
