"""RMAE and Frechet distances of classes along training, and the snapshots that they choose."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

import galgen.callbacks.metrics
import galgen.callbacks.progress
import galgen.train
from galgen import checkpoint
from galgen.callbacks.metrics import SEED, local_samples, samples_by_class
from galgen.errors import ConfigError
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frechet import frechet_between
from galgen.metrics.radio import image_counts, rmae_of
from galgen.train import make_data, prepare
from tiny import assert_same_training, classes_folder, interrupt_at, last, logged, run, tiny

RMAE = {"train__best": "rmae", "train__best_per_class": True}

#: Checkpoints that every run with metrics leaves.
WRITTEN = {"last.ckpt", "previous.ckpt", "best.ckpt"}


def grey_folder(folder: Path, **counts: int) -> Path:
    """Grey pictures of blobs in one folder a class."""
    for path in classes_folder(folder, counts or {"edge": 40, "round": 60}).rglob("*.png"):
        with Image.open(path) as picture:
            grey = picture.convert("L")
        grey.save(path)
    return folder


def settings(source: Path, **changes: Any) -> dict[str, Any]:
    """A run on the folder that measures every 32 images."""
    given = {"train__metric_images": 32, "train__metric_samples": 40, **changes}
    return {"data__source": str(source), "data__count": None, "data__holdout": 0.1, **given}


def real_set(changes: dict[str, Any]) -> tuple[Tensor, np.ndarray, Any]:
    """Training galaxies of such a run, their labels, and their spec."""
    data = make_data(prepare(tiny(**changes)))
    rows = data.split[0]
    assert data.cutouts.labels is not None
    return torch.from_numpy(data.cutouts.read(rows.tolist())), data.cutouts.labels[rows], data.spec


def values(outcome: Any, name: str) -> list[float]:
    """A column of metrics.csv where it is filled."""
    return [float(row[name]) for row in logged(outcome.run) if row.get(name)]


def test_rmae_is_that_of_the_kept_samples_and_chooses(tmp_path: Path) -> None:
    changes = settings(grey_folder(tmp_path / "grey"), **RMAE)
    outcome = run(tmp_path / "runs", **changes)
    real, labels, _ = real_set(changes)
    folder = outcome.run / "checkpoints"
    state = last(outcome)["callbacks"]["Snapshots"]
    for number, name in enumerate(("edge", "round")):
        measured = values(outcome, f"rmae_{name}")
        assert len(measured) == 3
        model = checkpoint.load(folder / f"best-{name}.ckpt")
        assert model.images == 32 * (1 + int(np.argmin(measured)))
        assert model.card["best_of"] == name
        fake = model.sample(20, seed=SEED, label=name)
        counts = [image_counts(x).sum(0).numpy() for x in (real[labels == number], fake)]
        wanted = np.mean(list(rmae_of(*counts).values()))
        assert min(measured) == pytest.approx(wanted, rel=1e-5)
        assert state["best_of"][name] == pytest.approx(min(measured), rel=1e-5)
    overall = values(outcome, "rmae")
    both = [values(outcome, f"rmae_{name}") for name in ("edge", "round")]
    assert overall == pytest.approx(np.mean(both, axis=0).tolist(), rel=1e-5)
    assert checkpoint.load(outcome.run).images == 32 * (1 + int(np.argmin(overall)))
    assert "best_of" not in checkpoint.load(outcome.run).card


@pytest.mark.parametrize("metric", ["rmae", "frechet"])
def test_progress_shows_the_metric_that_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    monkeypatch.setattr(galgen.callbacks.progress, "LINE_SECONDS", 0.0)
    text = io.StringIO()
    changes = settings(grey_folder(tmp_path / "grey"), train__best=metric)
    console = Console(file=text, width=200)
    galgen.train.train(tiny(**changes), out=tmp_path / "runs", console=console)
    last_line = text.getvalue().splitlines()[-1]
    assert f", {metric} " in last_line
    assert {"rmae": "frechet", "frechet": "rmae"}[metric] not in last_line


def test_frechet_of_classes_is_that_of_their_own_images(tmp_path: Path) -> None:
    changes = settings(classes_folder(tmp_path / "blobs", {"edge": 30, "odd": 3, "round": 60}))
    changes["train__best_per_class"] = True
    outcome = run(tmp_path / "runs", **changes)
    files = {path.name for path in (outcome.run / "checkpoints").iterdir()}
    assert files == {*WRITTEN, "best-edge.ckpt", "best-round.ckpt"}
    real, labels, spec = real_set(changes)
    features = PhysicsFeatures.fit(real, spec)
    model = checkpoint.load(outcome.run / "checkpoints" / "best-round.ckpt")
    fake = model.sample(13, seed=SEED, label="round")
    wanted = frechet_between(features(real[labels == 2]), features(fake))
    assert min(values(outcome, "frechet_round")) == pytest.approx(wanted, rel=1e-4)
    assert not any(name.startswith("rmae") for name in logged(outcome.run)[0])


def test_classes_are_measured_with_equally_many_samples(tmp_path: Path) -> None:
    changes = settings(grey_folder(tmp_path / "grey", edge=10, round=40), train__metric_images=0)
    model = checkpoint.load(run(tmp_path / "runs", **changes).run).module
    parts = dict(samples_by_class(model, 41))
    assert {number: len(flux) for number, flux in parts.items()} == {0: 20, 1: 20}
    assert not torch.equal(parts[0], parts[1])
    assert [len(flux) for _, flux in samples_by_class(model, 2)] == [2, 2]


def test_one_class_is_enough_for_rmae(tmp_path: Path) -> None:
    changes = settings(grey_folder(tmp_path / "grey"), data__labels="none", train__best="rmae")
    outcome = run(tmp_path / "runs", **changes)
    assert len(values(outcome, "rmae")) == 3
    assert {path.name for path in (outcome.run / "checkpoints").iterdir()} == WRITTEN
    assert last(outcome)["callbacks"]["Snapshots"]["best"] == min(values(outcome, "rmae"))


@pytest.mark.parametrize("best", ["rmae", "frechet"])
def test_resumed_choices_equal_uninterrupted_ones(
    best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = grey_folder(tmp_path / "grey")
    changes = settings(source, train__best=best, train__best_per_class=True)
    changes |= {"train__metric_images": 16, "train__snapshot_images": 40}
    whole = run(tmp_path / "whole", **changes)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 56)
        half = run(tmp_path / "half", **changes)
    resumed = galgen.train.resume(half.run)
    assert_same_training(last(whole), last(resumed))
    assert logged(whole.run) == logged(resumed.run)
    wanted = {"frechet_galaxy", f"{best}_edge", f"{best}_round"}
    wanted |= {"rmae"} if best == "rmae" else {"frechet_galaxy_edge", "frechet_galaxy_round"}
    names = set(logged(whole.run)[0])
    assert {name for name in names if name.startswith(("rmae", "frechet_"))} == wanted
    assert {"coverage", "coverage_galaxy", "diversity", "collapse"} <= names
    for name in ("best", "best-edge", "best-round"):
        one, two = (checkpoint.read(r.run / "checkpoints" / f"{name}.ckpt")
                    for r in (whole, resumed))  # fmt: skip
        assert_same_training(one, two)


def test_no_samples_are_drawn_for_a_metric_that_chooses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str | None] = []

    def counted(module: Any, n: int, label: str | None = None) -> Tensor:
        drawn.append(label)
        return local_samples(module, n, label)

    monkeypatch.setattr(galgen.callbacks.metrics, "local_samples", counted)
    changes = settings(grey_folder(tmp_path / "grey"), train__metric_images=96)
    run(tmp_path / "runs", **changes)
    assert drawn == [None]
    run(tmp_path / "runs", **changes, train__best="rmae")
    assert drawn == [None, None, "edge", "round"]


def test_a_run_that_goes_on_by_another_choice_leaves_old_snapshots_alone(tmp_path: Path) -> None:
    changes = settings(grey_folder(tmp_path / "grey"), **RMAE)
    outcome = run(tmp_path / "runs", **changes)
    assert list(checkpoint.load(outcome.run).specialists) == ["edge", "round"]
    # No metric is due, so best.ckpt is still of the old choice.
    more = {"train.images": 104, "train.metric_images": 1000}
    for images, best, alone in ((104, "rmae", False), (112, "frechet", True)):
        changes = more | {"train.images": images, "train.best": best}
        galgen.train.resume(outcome.run, changes=changes | {"train.best_per_class": alone})
        assert not checkpoint.load(outcome.run).specialists
    changes |= {"train.images": 128, "train.metric_images": 16, "train.best_per_class": True}
    galgen.train.resume(outcome.run, changes=changes)
    found = checkpoint.load(outcome.run).specialists
    assert {name: one.images for name, one in found.items()} == {"edge": 128, "round": 128}
    card = checkpoint.read(found["edge"].path)["galgen"]
    assert (card["best_of"], card["best_by"]) == ("edge", "frechet")


def test_refusals_come_before_a_folder_is_made(tmp_path: Path) -> None:
    source = grey_folder(tmp_path / "grey")
    with pytest.raises(ConfigError, match="no classes"):
        run(tmp_path / "runs", **settings(source, data__labels="none", train__best_per_class=True))
    assert not (tmp_path / "runs").exists()
    done = run(tmp_path / "runs", **settings(source))
    more = {"train.images": 128, "train.best": "rmae", "train.metric_images": 0}
    with pytest.raises(ConfigError, match="metric_images is 0"):
        galgen.train.resume(done.run, changes=more)
