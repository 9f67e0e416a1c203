"""Checkpoints appear whole, at their intervals, and best is the lowest finite value, of all
classes and of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from galgen import DCGAN, CutoutDataModule, ImageSpec, checkpoint
from galgen.callbacks.snapshots import (
    Snapshots,
    check_choice,
    choice_notes,
    chosen_alone,
)
from galgen.conditions import Conditions
from galgen.errors import ConfigError, OutputError
from galgen.sections import TrainConfig
from tiny import OPTIONS

VALUES = {8: 5.0, 16: float("nan"), 24: 3.0, 32: 4.0, 40: float("inf"), 48: 3.0}
EDGE = {8: float("nan"), 16: 2.0, 24: 2.0, 32: 1.0, 40: 7.0, 48: 1.5}
ROUND = {images: 1.0 + images for images in VALUES}
BEGUN = {"previous": 0}
FILES = {"edge": "best-edge.ckpt", "round": "best-round.ckpt"}


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
        images = module.clock.images
        self.snapshots.offer({"frechet": VALUES[images], "colour": -images})
        self.snapshots.offer({"rmae": 9.0, "rmae_edge": EDGE[images], "rmae_round": ROUND[images]})
        self.snapshots.offer({})


def fit(folder: Path, every: int, *choice: Any) -> tuple[Metric, Snapshots]:
    snapshots = Snapshots(folder, every, *choice)
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
        0: {"previous": 0},
        8: {"best": 8, "previous": 0},
        16: {"best": 8, "previous": 0},
        24: {"best": 24, "last": 24, "previous": 0},
        32: {"best": 24, "last": 24, "previous": 0},
        40: {"best": 24, "last": 40, "previous": 24},
    }
    assert snapshots.best == 3.0
    state = {"metric": "frechet", "best": 3.0, "best_of": {}}
    assert snapshots.state_dict() == state
    content = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["callbacks"]["Snapshots"] == state
    assert "best_of" not in content["galgen"]


def test_each_class_has_its_own_snapshot_and_it_says_so(tmp_path: Path) -> None:
    metric, snapshots = fit(tmp_path, 48, "rmae", FILES)
    assert metric.found[16] == {**BEGUN, "best": 8, "best-round": 8, "best-edge": 16}
    assert metric.found[40] == {**BEGUN, "best": 8, "best-round": 8, "best-edge": 32}
    assert snapshots.best_of == {"edge": 1.0, "round": 9.0}
    names = {"best": None, "best-edge": "edge", "best-round": "round", "last": None}
    for stem, name in names.items():
        card = checkpoint.read(tmp_path / f"{stem}.ckpt")["galgen"]
        assert card.get("best_of") == name
        assert card.get("best_by") == (None if name is None else "rmae")
        content = checkpoint.read(tmp_path / f"{stem}.ckpt")
        assert ("optimizer_states" in content) == (name is None)
        assert checkpoint.load(tmp_path / f"{stem}.ckpt").sample(2).shape == (2, 3, 16, 16)
    state = snapshots.state_dict()
    same, other, fewer = (
        Snapshots(tmp_path, 48, "rmae", FILES),
        Snapshots(tmp_path, 48, "frechet", FILES),
        Snapshots(tmp_path, 48, "rmae", {"round": "best-round.ckpt"}),
    )
    for callback in (same, other, fewer):
        callback.load_state_dict(state)
    assert (same.best, same.best_of) == (9.0, {"edge": 1.0, "round": 9.0})
    assert (other.best, other.best_of) == (None, {})
    assert fewer.best_of == {"round": 9.0}


RADIO, COLOUR = ImageSpec(64, ("I",), display=True), ImageSpec(64, ("R", "G", "B"), display=True)


@pytest.mark.parametrize(
    ("settings", "spec", "classes", "words"),
    [
        ({"best": "rmae", "metric_images": 0}, RADIO, ("a", "b"), "train.metric_images is 0"),
        ({"best_per_class": True, "metric_images": 0}, RADIO, ("a", "b"), "best_per_class has"),
        ({"best": "rmae"}, COLOUR, ("a", "b"), r"3 bands \(R, G, B\).* use frechet"),
        ({"best": "rmae"}, ImageSpec(64, ("r",), unit="nanomaggy"), (), "fluxes in nanomaggy"),
        ({"best_per_class": True}, RADIO, (), "no classes"),
    ],
)
def test_choices_that_cannot_be_made_are_refused(
    settings: dict[str, Any], spec: ImageSpec, classes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_choice(TrainConfig(**settings), spec, classes)


def test_choices_that_can_be_made() -> None:
    check_choice(TrainConfig(metric_images=0), COLOUR, ())
    check_choice(TrainConfig(best="rmae"), RADIO, ())
    check_choice(TrainConfig(best_per_class=True), COLOUR, ("a", "b"))


def test_small_classes_have_no_snapshot_of_their_own() -> None:
    conditions = Conditions(("a", "b", "c"), (100, 19, 20))
    train = TrainConfig(best_per_class=True)
    assert chosen_alone(train, conditions) == {"a": "best-a.ckpt", "c": "best-c.ckpt"}
    (line,) = choice_notes(train, conditions)
    assert "b (19): fewer than 20 images" in line
    assert chosen_alone(TrainConfig(), conditions) == {}
    assert choice_notes(TrainConfig(), conditions) == []
    assert choice_notes(train, Conditions(("a",), (20,))) == []


@pytest.mark.parametrize("how", ["disk", "torch"])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, count = torch.save, []

    def full(content: Any, file: Any) -> None:
        count.append(1)
        if len(count) > 3:
            file.write(b"half")
            try:
                raise OSError(28, "No space left on device")
            except OSError:
                if how == "disk":
                    raise
                # What torch makes of it, in its own handling of that error.
                raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904
        save(content, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"best.ckpt cannot be written \(No space left"):
        fit(tmp_path, 16)
    names = ["best.ckpt", "last.ckpt", "previous.ckpt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert checkpoint.load(tmp_path / "last.ckpt").images == 16
    assert checkpoint.load(tmp_path / "best.ckpt").images == 8


class Stops(L.Callback):
    """Saves last.ckpt between two intervals too, as a signal does."""

    def __init__(self, snapshots: Snapshots, at: tuple[int, ...]) -> None:
        self.snapshots, self.at = snapshots, at
        self.kept: list[tuple[int, int]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
        if module.clock.images in self.at:
            self.snapshots.save_last(trainer, module)
        last, previous = (
            checkpoint.read(path)["galgen"]["clock"]["images"] if path.exists() else -1
            for path in (self.snapshots.folder / name for name in ("last.ckpt", "previous.ckpt"))
        )
        self.kept.append((last, previous))


def test_the_interval_before_stays_whatever_was_saved_in_between(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, 16)
    stops = Stops(snapshots, (8, 40))
    data = CutoutDataModule("sersic", size=16, count=16, batch=8, epoch_images=48)
    L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[snapshots, stops],
    ).fit(DCGAN(size=16, bands=["g", "r", "i"], **OPTIONS), data)  # fmt: skip
    assert stops.kept == [(8, 0), (16, 0), (16, 0), (32, 16), (40, 32), (48, 32)]
