"""What is logged, measured, drawn and shown along training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from galgen import checkpoint
from galgen.callbacks import metrics
from galgen.callbacks.metrics import SEED, FrechetCallback
from galgen.errors import ConfigError
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frechet import FrechetDistance
from galgen.models.base import AdversarialModule
from galgen.report.pictures import composite
from galgen.train import make_data, prepare, train
from tiny import classes_folder, last, logged, run, tiny


def test_means_are_those_of_the_steps_between_rows(tmp_path: Path) -> None:
    fine = logged(run(tmp_path / "a", train__log_images=8).run)
    coarse = logged(run(tmp_path / "b", train__log_images=24).run)
    assert [int(row["images"]) for row in coarse] == [24, 48, 72, 96]
    for name in ("loss_critic", "loss_generator", "score_real", "gradient_critic", "r1"):
        for number, row in enumerate(coarse):
            parts = [float(r[name]) for r in fine[3 * number : 3 * number + 3] if r[name]]
            if parts:
                assert float(row[name]) == pytest.approx(np.mean(parts), rel=1e-5)
            else:
                assert row[name] == ""


def test_the_logged_frechet_distance_is_that_of_the_kept_samples(tmp_path: Path) -> None:
    settings = {"train__metric_images": 96, "train__metric_samples": 40}
    outcome = run(tmp_path, **settings)
    row = logged(outcome.run)[-1]
    model = checkpoint.load(outcome.run)
    data = make_data(prepare(tiny()))
    real = torch.from_numpy(data.cutouts.read(data.split[0].tolist()))
    metric = FrechetDistance(PhysicsFeatures.fit(real, model.spec))
    metric.update(real, real=True)
    metric.update(model.sample(40, seed=SEED), real=False)
    assert float(row["frechet"]) == pytest.approx(float(metric.compute()["frechet"]), rel=1e-5)
    assert last(outcome)["callbacks"]["Snapshots"]["best"] == pytest.approx(float(row["frechet"]))


def test_metrics_of_a_moment_draw_their_samples_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = metrics._draw

    def counted(module: AdversarialModule, n: int, label: str | None) -> torch.Tensor:
        drawn.append(module.clock.images)
        return draw(module, n, label)

    monkeypatch.setattr(metrics, "_draw", counted)
    settings = {"train__metric_images": 48, "train__metric_samples": 16}
    rows = logged(run(tmp_path, **settings).run)
    assert drawn == [48, 96]
    assert all(row["frechet"] and row["colour_magnitude"] for row in (rows[2], rows[5]))
    # Other weights, other samples.
    module = checkpoint.load(next(tmp_path.iterdir())).module
    one = metrics.local_samples(module, 16)
    assert metrics.local_samples(module, 16) is one
    with torch.no_grad():
        next(module.average.network.parameters()).mul_(1.5)
    assert not torch.equal(metrics.local_samples(module, 16), one)


def test_a_collapse_in_training_is_said_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = iter([(0.9, 0.6), (0.9, 0.6), (0.9, 0.6), (0.1, 0.6)])

    def collapsing(self: FrechetCallback, module: object) -> dict[str, float]:
        diversity, coverage = next(rows)
        return {"frechet": 10.0, "coverage": coverage, "diversity": diversity}

    monkeypatch.setattr(FrechetCallback, "measure", collapsing)
    text = io.StringIO()
    console = Console(file=text, width=400)
    found = train(tiny(train__metric_images=24), out=tmp_path, console=console)
    assert "collapse alarm at 96 images: diversity" in text.getvalue()
    assert [row["collapse"] for row in logged(found.run) if row["collapse"]][-2:] == ["0", "1"]
    assert found.images == 96  # training goes on


def test_one_band_has_a_frechet_distance_and_no_colour(tmp_path: Path) -> None:
    changes = {"data__bands": ["r"], "train__metric_images": 96, "train__metric_samples": 16}
    row = logged(run(tmp_path, **changes).run)[-1]
    assert row["frechet"]
    assert "colour_magnitude" not in row


def test_metrics_need_the_data_module(tmp_path: Path) -> None:
    import lightning as L

    from galgen import DCGAN
    from tiny import OPTIONS

    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[FrechetCallback(8, 8)], max_epochs=1,
    )  # fmt: skip
    batches = torch.utils.data.DataLoader([{"images": torch.zeros(3, 16, 16)}] * 8, batch_size=8)
    with pytest.raises(ConfigError, match="CutoutDataModule"):
        trainer.fit(DCGAN(size=16, **OPTIONS), batches)


def test_grids_show_the_same_latents_a_class_a_row(tmp_path: Path) -> None:
    source = classes_folder(tmp_path / "blobs")
    changes = {"data__source": str(source), "data__count": None, "train__grid_images": 48}
    outcome = run(tmp_path / "runs", **changes)
    pictures = sorted((outcome.run / "samples").glob("*.png"))
    assert [path.name for path in pictures] == ["000000048.png", "000000096.png"]
    shapes = []
    for path in pictures:
        with Image.open(path) as picture:
            shapes.append(picture.size)
    assert shapes[0] == shapes[1]
    width, height = shapes[0]
    assert width > 3 * height
    module = checkpoint.load(outcome.run).module
    flux = torch.cat(
        [module.sample(8, start=8 * k, label=name) for k, name in enumerate(module.classes)]
    )
    shown = composite(flux, module.spec, module.stretch).repeat(6, 1).repeat(6, 2)
    side, rows = 16 * 6, len(module.classes)
    with Image.open(pictures[-1]) as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    left = width - 8 * (side + 2)
    for place in range(8 * rows):
        y, x = 2 + place // 8 * (side + 2), left + place % 8 * (side + 2)
        assert np.array_equal(sheet[y : y + side, x : x + side], shown[place])
    # The name of each row to its left.
    names = [sheet[2 + k * (side + 2) :][:side, : left - 2] for k in range(rows)]
    assert all((name.max(axis=2) > 150).any() for name in names)
    assert not np.array_equal(names[0], names[1])


def test_steps_without_a_finite_gradient_are_counted() -> None:
    from types import SimpleNamespace

    from galgen import DCGAN
    from galgen.callbacks.log import LogMeans
    from tiny import OPTIONS

    module, log = DCGAN(size=16, **OPTIONS), LogMeans(16)
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.001}])
    trainer = SimpleNamespace(optimizers=[optimizer], loggers=[])
    log.on_train_start(trainer, module)  # type: ignore[arg-type]
    for bad in (1.0, 0.0, 1.0, 0.0, 1.0):
        module.means.note("nonfinite_critic", torch.tensor(bad))
        module.clock.advance(8)
        log.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    # The fifth step belongs to the next row.
    assert log.nonfinite == 2
