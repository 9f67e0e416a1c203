"""A run that diverges goes back, and ends as one that was not disturbed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

import galgen.fitting
from disturbed import SETTINGS, equal, killed, slow
from galgen.callbacks.snapshots import Snapshots
from galgen.errors import ConfigError
from galgen.models.base import AdversarialModule
from galgen.recovery import MOST, latest, read_whole
from galgen.train import resume, train
from tiny import interrupt_at, last, logged, run, tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    outcome = run(tmp_path_factory.mktemp("whole"), **SETTINGS)
    assert outcome.reason == "finished"
    return Path(outcome.run)


def spoil(patch: pytest.MonkeyPatch, at: dict[int, int], how: str = "weight") -> None:
    """Let weights or gradients be no numbers at a clock, as long as a run has gone back less often.

    Parameters
    ----------
    at
        Images to the number of times that a run has to have gone back to be spared.
    """
    step = AdversarialModule.training_step

    def training_step(self: AdversarialModule, batch: Any, batch_idx: int) -> None:
        step(self, batch, batch_idx)
        if self.rollbacks < at.get(self.clock.images, 0):
            if how == "weight":
                next(self.critic.parameters()).data[0] = float("nan")
            else:
                self.bad_steps = self.bad_steps + 1

    patch.setattr(AdversarialModule, "training_step", training_step)


def test_a_run_that_diverges_goes_back_with_half_the_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1, 80: 2})
    said: list[str] = []
    constant = {"recipe.lr_decay": 1.0}
    outcome = train({**tiny(**SETTINGS), **constant}, out=tmp_path, say=said.append)
    assert outcome.reason == "finished"
    back = [line for line in said if "Going back" in line]
    assert [line.split(":")[0] for line in back] == [
        "training diverged at 64 images",
        "training diverged at 80 images",
    ]
    assert "last.ckpt" in back[0]
    assert "1 of at most 3 times" in back[0]
    card = last(outcome)["galgen"]
    assert (card["rollbacks"], card["lr_scale"], card["bad_steps"]) == (2, 0.25, 0)
    rows = {int(row["images"]): row for row in logged(outcome.run)}
    assert list(rows) == list(range(8, 97, 8))
    rates = [float(rows[images]["learning_rate"]) for images in (48, 56, 72, 80, 96)]
    # From 72 it went back to 72.
    assert rates == pytest.approx([1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])
    assert [rows[images]["rollbacks"] for images in (48, 56, 72, 80)] == ["", "1", "1", "2"]
    assert all(v.isfinite().all() for v in last(outcome)["state_dict"].values())


@pytest.mark.parametrize("how", [slow("weight"), "gradient"])
def test_a_run_that_never_recovers_ends_with_its_last_good_checkpoint(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 9, 56: 9 if how == "gradient" else 0}, how)
    settings = tiny(**SETTINGS, train__nonfinite_steps=2)
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"diverged at 64 images: .*had gone back 3 times") as end:
        train(settings, out=tmp_path, say=said.append)
    assert end.value.exit_code == 2
    assert len([line for line in said if "Going back" in line]) == MOST
    (folder,) = tmp_path.iterdir()
    content = read_whole(folder / "checkpoints" / "last.ckpt")
    assert content["galgen"]["clock"]["images"] == 48
    assert all(v.isfinite().all() for v in content["state_dict"].values())
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(ConfigError, match="had gone back 3 times"):
        resume(folder)
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_few_bad_steps_between_two_snapshots_are_borne(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {16: 9, 32: 9, 64: 9, 88: 9}, "gradient")
    outcome = run(tmp_path, **SETTINGS, train__nonfinite_steps=2)
    assert last(outcome)["galgen"]["rollbacks"] == 0
    assert logged(outcome.run) == logged(whole)


@pytest.mark.parametrize(
    ("images", "rollbacks"), [slow(56, 0), slow(64, 1), slow(72, 1), (80, 1), slow(88, 2)]
)
def test_killed_around_going_back_it_ends_as_undisturbed(
    images: int, rollbacks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1, 88: 2})
    undisturbed = run(tmp_path / "a", **SETTINGS)
    assert last(undisturbed)["galgen"]["rollbacks"] == 2
    folder = killed(tmp_path / "b", images, rollbacks)
    resume(folder)
    equal(undisturbed.run, folder)


@pytest.mark.parametrize("images", [slow(56), 80])
def test_interrupted_before_it_diverges_it_goes_back_to_the_same_place(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1, 88: 2})
    undisturbed = run(tmp_path / "a", **SETTINGS)
    with monkeypatch.context() as patch:
        interrupt_at(patch, images)
        half = run(tmp_path / "b", **SETTINGS)
        assert (half.reason, last(half)["galgen"]["clock"]["images"]) == ("interrupted", images)
    resume(half.run)
    equal(undisturbed.run, half.run)


@pytest.mark.slow
def test_a_real_divergence_by_an_absurd_learning_rate(tmp_path: Path) -> None:
    settings = tiny(**SETTINGS, recipe__lr=1e8, train__nonfinite_steps=2)
    with pytest.raises(ConfigError, match=r"smaller recipe\.lr"):
        train(settings, out=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert all(v.isfinite().all() for v in latest(folder).content["state_dict"].values())  # type: ignore[union-attr]


def test_loggers_forget_what_came_after_and_hear_of_memory_without_a_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1})
    made: list[int | None] = []
    heard: list[str] = []

    def noted(config: Any, folder: Path, resumed_at: int | None = None) -> list[Any]:
        made.append(resumed_at)
        return []

    step = AdversarialModule.training_step

    def training_step(self: AdversarialModule, batch: Any, batch_idx: int) -> None:
        if self.clock.images == 16:
            self.say("memory ran out")
        step(self, batch, batch_idx)

    monkeypatch.setattr(galgen.fitting, "extra_loggers", noted)
    monkeypatch.setattr(AdversarialModule, "training_step", training_step)
    train(tiny(**SETTINGS), out=tmp_path, say=heard.append)
    assert made == [None, 48]
    assert "memory ran out" in heard


class Offered(L.Callback):
    """Metrics by the clock and how often the run went back: the lowest before it diverges."""

    def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
        values = {40: 5.0, 56: 3.0} if module.rollbacks == 0 else {56: 8.0, 80: 7.0, 88: 9.0}
        if module.clock.images in values:
            value = values[module.clock.images]
            found = [c for c in trainer.callbacks if isinstance(c, Snapshots)]
            found[0].offer({"frechet": value})
            module.means.note("frechet", torch.tensor(value))


@pytest.mark.parametrize(
    ("images", "rollbacks"), [(None, 0), slow(56, 0), (56, 1), slow(64, 1), slow(80, 1)]
)
def test_the_best_snapshot_of_an_abandoned_stretch_is_gone(
    images: int | None, rollbacks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1})
    real = galgen.fitting._callbacks

    def with_metrics(*given: Any) -> list[L.Callback]:
        return [*real(*given), Offered()]

    monkeypatch.setattr(galgen.fitting, "_callbacks", with_metrics)
    if images is None:
        folder = run(tmp_path, **SETTINGS).run
    else:
        folder = killed(tmp_path, images, rollbacks)
        resume(folder)
    best = read_whole(folder / "checkpoints" / "best.ckpt")["galgen"]
    assert (best["clock"]["images"], best["rollbacks"]) == (80, 1)
    state = read_whole(folder / "checkpoints" / "last.ckpt")["callbacks"]["Snapshots"]
    assert state["best"] == 7.0
