"""TensorBoard and wandb: only when asked for, and never the end of a run."""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import Logger

from galgen.config import RunConfig
from galgen.training import loggers
from galgen.training.loggers import Guarded, WandbLog, extra_loggers
from tiny import interrupt_at, run


class Failing(Logger):
    """Fails at one thing that it is asked."""

    name = "failing"
    version = "0"

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what == self.at:
            raise OSError(28, "No space left on device")

    @property
    def experiment(self) -> None:
        self._ask("experiment")

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._ask("log_metrics")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._ask("log_hyperparams")

    def finalize(self, status: str) -> None:
        self._ask("finalize")


class Wandb:
    """What wandb.init gives: takes no step twice, as the real one."""

    def __init__(self, step: int = 0, **asked: Any) -> None:
        self.step, self.asked, self.id = step, asked, asked["id"]
        self.rows: dict[int, dict[str, float]] = {}
        self.ended = False

    def log(self, values: dict[str, float], step: int) -> None:
        assert step >= self.step, "steps must be monotonically increasing"
        self.step = step
        self.rows.setdefault(step, {}).update(values)

    def finish(self, exit_code: int) -> None:
        self.ended = True


@pytest.fixture
def inits(monkeypatch: pytest.MonkeyPatch) -> list[Wandb]:
    import wandb

    made: list[Wandb] = []

    def init(**asked: Any) -> Wandb:
        # An online wandb goes on where it was, at the step after the last.
        same = [run for run in made if run.id == asked["id"] and asked["resume"]]
        made.append(Wandb(max((run.step + 1 for run in same), default=0), **asked))
        return made[-1]

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return made


def test_none_is_made_or_imported_unless_asked_for(tmp_path: Path) -> None:
    assert extra_loggers(RunConfig(), tmp_path) == []
    code = "import sys, galgen.train; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("at", ["experiment", "log_metrics", "log_hyperparams", "finalize"])
def test_a_logger_that_fails_is_left_out_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    failing = Failing(at)
    guarded = [Guarded("wandb", failing)]
    monkeypatch.setattr("galgen.fitting.extra_loggers", lambda *_, **__: guarded)
    with caplog.at_level(logging.WARNING):
        outcome = run(tmp_path, train__metric_images=48, train__metric_samples=8)
    assert outcome.images == 96
    assert failing.asked.count(at) == 1
    assert failing.asked[-1] == at
    (sentence,) = [r.getMessage() for r in caplog.records if r.name == loggers.__name__]
    assert sentence.startswith("--logger wandb failed ([Errno 28] No space left on device)")
    with (outcome.run / "metrics.csv").open() as file:
        assert [row["images"] for row in csv.DictReader(file)][-1] == "96"


def test_wandb_s_step_is_an_image_and_goes_on_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inits: list[Wandb]
) -> None:
    from galgen.train import resume

    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 56)
        half = run(tmp_path, train__logger=["csv", "wandb"])
    # As if it had been killed after the checkpoint and two more rows.
    inits[0].step = 80
    resume(half.run)
    assert [sorted(run.rows) for run in inits] == [[16, 32, 48], [96]]
    assert inits[0].id == inits[1].id
    assert all(run.ended for run in inits)
    again = run(tmp_path, train__logger=["csv", "wandb"])
    assert sorted(inits[2].rows) == [16, 32, 48, 64, 80, 96]
    assert inits[2].id != inits[0].id
    assert inits[2].asked["dir"] == str(again.run)


def test_wandb_without_its_server_goes_on_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    asked = []

    def init(**given: Any) -> Wandb:
        asked.append(given)
        if given["mode"] != "offline":
            raise ConnectionError("context deadline exceeded")
        return Wandb(**given)

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    log = WandbLog(tmp_path, {})
    log.log_metrics({"frechet": 1.0}, 32)
    assert log.experiment.rows == {32: {"frechet": 1.0}}
    # wandb knows the id of the first as one in use.
    assert asked[0]["id"] != asked[1]["id"]
    assert "goes on offline" in caplog.text


def test_both_write_into_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from galgen.train import resume

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 56)
        outcome = run(tmp_path / "runs", train__logger=["csv", "tensorboard", "wandb"])
    board = Guarded("tensorboard", _board(outcome.run))
    # Of a run that was killed after its last checkpoint.
    board.log_metrics({"loss_critic": -1.0}, 64)
    board.finalize("success")
    resume(outcome.run)
    sessions = list((outcome.run / "wandb").glob("offline-run-*/*.wandb"))
    assert len(sessions) == 2
    assert len({path.stem for path in sessions}) == 1
    events = EventAccumulator(str(outcome.run / "tensorboard"))
    events.Reload()
    losses = events.Scalars("loss_critic")
    assert [event.step for event in losses] == [16, 32, 48, 64, 80, 96]
    assert all(event.value > 0 for event in losses)
    assert (outcome.run / "metrics.csv").read_text().startswith("images,")


def _board(run: Path) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(run, name="tensorboard", version="")


def test_a_missing_extra_is_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightning.pytorch.loggers as theirs

    from galgen.errors import ConfigError

    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'tensorboard'")

    monkeypatch.setattr(theirs, "TensorBoardLogger", missing)
    config = RunConfig.build({"train.logger": ["csv", "tensorboard"]})
    with pytest.raises(ConfigError, match=r"pip install 'galgen\[tensorboard\]'"):
        extra_loggers(config, tmp_path)


def test_values_are_passed_on() -> None:
    failing = Failing("nothing")
    guarded = Guarded("tensorboard", failing)
    guarded.log_metrics({"loss": float(torch.tensor(0.5))}, 8)
    guarded.save()
    guarded.finalize("success")
    assert failing.asked == ["log_metrics", "finalize"]
    assert guarded.version == "0"
