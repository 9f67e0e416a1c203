"""Training goes on where readers die, and stops cleanly where an image can no longer be read."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from galgen.callbacks.log import LogMeans
from galgen.data import loader, loading, stretched
from galgen.errors import DataError
from galgen.train import resume
from tiny import assert_same_training, classes_folder, last, run


def at(monkeypatch: pytest.MonkeyPatch, moments: tuple[int, ...], act: Any) -> None:
    """Do something when so many images have been seen."""
    original = LogMeans.on_train_batch_end

    def acting(self: LogMeans, trainer: Any, module: Any, *rest: Any) -> None:
        original(self, trainer, module, *rest)
        if module.clock.images in moments:
            act()

    monkeypatch.setattr(LogMeans, "on_train_batch_end", acting)


def from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets are read from their files while they are trained on, as if they were large."""
    monkeypatch.setattr(loading, "KEEP_BYTES", 0)
    monkeypatch.setattr(stretched, "KEEP_BYTES", 0)


def kill_a_reader() -> None:
    multiprocessing.active_children()[0].kill()


def settings(source: Path) -> dict[str, Any]:
    return {"data__source": str(source), "data__count": None, "data__holdout": 0.1}


def test_dead_readers_change_nothing_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from_files(monkeypatch)
    asked = settings(classes_folder(tmp_path / "blobs"))
    whole = run(tmp_path / "a", **asked)
    at(monkeypatch, (24, 56), kill_a_reader)
    disturbed = run(tmp_path / "b", **asked, data__workers=2)
    assert caplog.text.count("started anew") == 2
    a, b = last(whole), last(disturbed)
    for content in (a, b):
        content["galgen"]["config"]["data"].pop("workers")
        for group in ("hyper_parameters", "datamodule_hyper_parameters"):
            content.pop(group, None)
    assert_same_training(a, b, leave_out=("loops", "callbacks"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_is_gone_stops_at_the_end_of_a_step_and_can_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    from_files(monkeypatch)
    monkeypatch.setattr(loader, "RETRIES", ())
    source = classes_folder(tmp_path / "blobs")
    asked = settings(source) | {"data__workers": workers}
    whole = run(tmp_path / "a", **asked)
    away = tmp_path / "away"

    def take_away() -> None:
        (source / "round").rename(away)

    with pytest.MonkeyPatch.context() as patch:
        at(patch, (40,), take_away)
        with pytest.raises(DataError, match=r"round_\d+\.png") as told:
            run(tmp_path / "b", **asked)
    (folder,) = (tmp_path / "b").iterdir()
    assert f"galgen train {folder} --resume" in str(told.value)
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    images = content["galgen"]["clock"]["images"]
    # Readers may have been ahead.
    assert 48 <= images < 96
    assert f"{images} images" in str(told.value)
    away.rename(source / "round")
    assert_same_training(last(whole), last(resume(folder)))


_TWO = """
import sys
from pathlib import Path

from galgen.callbacks.log import LogMeans
from galgen.data import loader, loading, stretched
from galgen_cli.main import app

loading.KEEP_BYTES = stretched.KEEP_BYTES = 0
loader.RETRIES = ()
original = LogMeans.on_train_batch_end


def taking_away(self, trainer, module, *rest):
    original(self, trainer, module, *rest)
    folder = Path(sys.argv[2])
    if trainer.global_rank == 0 and module.clock.images == 160:
        (folder / "round").rename(folder.parent / "away")


LogMeans.on_train_batch_end = taking_away
app()
"""


@pytest.mark.slow
def test_replicas_stop_together_where_one_can_read_no_further(tmp_path: Path) -> None:
    source = classes_folder(tmp_path / "blobs")
    script = tmp_path / "two.py"
    script.write_text(_TWO)
    asked = ["train.accelerator=cpu", "train.compile=off", "train.log_images=80"]
    asked += ["train.metric_images=0", "train.grid_images=0", "data.size=16"]
    options = [word for pair in asked for word in ("--set", pair)]
    command = [sys.executable, str(script), "train", str(source), "--devices", "2", "--batch", "8"]
    command += ["--images", "4000", "--precision", "32", "--out", str(tmp_path / "runs"), *options]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2, ended.stderr
    (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("galgen: ")]
    (folder,) = (tmp_path / "runs").iterdir()
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    images = content["galgen"]["clock"]["images"]
    assert 160 < images < 4000
    assert f"Training stopped at {images} images" in sentence
    assert f"galgen train {folder} --resume" in sentence
