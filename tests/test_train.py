"""The verb train: run folders, exact repetition, interruption of every kind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from galgen import DCGAN, CutoutDataModule, checkpoint
from galgen.config import RunConfig
from galgen.data.augment import Augmentation
from galgen.errors import CheckpointError, ConfigError, DataError, OutputError
from galgen.train import prepare, resume, train
from tiny import (
    OPTIONS,
    assert_same_training,
    classes_folder,
    differences,
    interrupt_at,
    last,
    logged,
    run,
    tiny,
)


def digest(outcome: Any) -> str:
    return hashlib.sha256((outcome.run / "checkpoints" / "last.ckpt").read_bytes()).hexdigest()


def in_a_process_of_its_own(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )


def test_a_run_folder(tmp_path: Path) -> None:
    said: list[str] = []
    settings = tiny(train__grid_images=48, train__metric_images=48, train__metric_samples=16)
    outcome = train(settings, out=tmp_path / "runs", say=said.append)
    assert outcome.run == tmp_path / "runs" / "00001-dcgan-sersic-16px"
    assert (outcome.reason, outcome.images) == ("finished", 96)
    assert sorted(str(p.relative_to(outcome.run)) for p in outcome.run.rglob("*.*")) == [
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "config.yaml",
        "metrics.csv",
        "samples/000000048.png",
        "samples/000000096.png",
    ]
    assert outcome.checkpoint.name == "best.ckpt"
    assert outcome.picture == outcome.run / "samples" / "000000096.png"
    config = yaml.safe_load((outcome.run / "config.yaml").read_text())
    assert config["data"]["stretch"] == "asinh"
    assert config["data"]["bands"] == ["g", "r", "i"]
    rows = logged(outcome.run)
    assert [int(row["images"]) for row in rows] == list(range(16, 97, 16))
    wanted = {"loss_critic", "loss_generator", "score_real", "score_fake", "learning_rate"}
    assert wanted < set(rows[0])
    assert [bool(row["frechet"]) for row in rows] == [False, False, True] * 2
    assert any("43 galaxies to train on and 5 held out" in line for line in said)
    again = run(tmp_path / "runs", train__images=16)
    assert again.run.name == "00002-dcgan-sersic-16px"


def test_one_seed_gives_equal_bytes_and_another_does_not(tmp_path: Path) -> None:
    here = run(tmp_path / "a")
    body = """
        from pathlib import Path
        from tiny import run
        run(Path({!r}))
    """
    done = in_a_process_of_its_own(body.format(str(tmp_path / "b")))
    assert done.returncode == 0, done.stderr[-2000:]
    there = (tmp_path / "b").glob("*/checkpoints/last.ckpt")
    assert hashlib.sha256(next(there).read_bytes()).hexdigest() == digest(here)
    other = last(run(tmp_path / "c", seed=1))
    assert differences(last(here)["ema"], other["ema"])
    assert last(here)["galgen"]["holdout"] != other["galgen"]["holdout"]


def test_resuming_says_where_and_a_finished_run_returns_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 40)
        half = run(tmp_path)
    assert last(half)["galgen"]["clock"]["images"] == 40
    said: list[str] = []
    whole = resume(half.run, say=said.append)
    assert any("at 40 of 96 images" in line for line in said)
    before = digest(whole)
    said.clear()
    again = resume(half.run, say=said.append)
    assert again.images == 96
    assert "finished" in said[0]
    assert digest(again) == before


def test_a_larger_length_goes_further_as_if_it_had_been_meant_all_along(tmp_path: Path) -> None:
    constant = {"recipe__lr_decay": 1.0}
    whole = run(tmp_path / "a", **constant)
    part = run(tmp_path / "b", train__images=56, **constant)
    further = resume(part.run, changes={"train.images": 96})
    assert further.images == 96
    assert_same_training(last(whole), last(further))
    assert logged(whole.run) == logged(further.run)
    config = yaml.safe_load((part.run / "config.yaml").read_text())
    assert config["train"]["images"] == 96


def test_killed_after_rows_that_no_snapshot_knows(tmp_path: Path) -> None:
    done = in_a_process_of_its_own(f"""
        import os, signal
        from pathlib import Path
        import galgen.fitting
        from galgen.callbacks.ending import Ending
        from tiny import run

        class Killed(Ending):
            def on_train_batch_end(self, trainer, module, *rest):
                if module.clock.images == 56:
                    os.kill(os.getpid(), signal.SIGKILL)

        galgen.fitting.Ending = Killed
        run(Path({str(tmp_path / "b")!r}), train__log_images=8, train__snapshot_images=24)
    """)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    (folder,) = (tmp_path / "b").iterdir()
    rows = logged(folder)
    assert rows[-1]["images"] == "56"
    assert checkpoint.load(folder).images == 48
    resumed = resume(folder)
    whole = run(tmp_path / "a", train__log_images=8, train__snapshot_images=24)
    assert_same_training(last(whole), last(resumed))
    assert logged(whole.run) == logged(resumed.run)


def test_minutes_stop_early_and_schedules_use_images(tmp_path: Path) -> None:
    early = run(tmp_path / "a", train__minutes=1e-9)
    assert (early.reason, early.images) == ("minutes", 8)
    resumed = resume(early.run, changes={"train.minutes": None})
    assert_same_training(last(resumed), last(run(tmp_path / "b")))


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"data.size": 32}, {"recipe.lr": 0.1}, {"model.options.latent": 4}],
)
def test_a_resumed_run_stays_the_same_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    outcome = run(tmp_path, train__images=16)
    config = (outcome.run / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match="--resume keeps"):
        resume(outcome.run, changes={**changes, "train.images": 96})
    assert (outcome.run / "config.yaml").read_bytes() == config


def test_what_cannot_be_resumed(workdir: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no run under ./runs"):
        resume()
    (workdir / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty cannot be resumed"):
        resume("empty")


def test_the_newest_run_is_resumed(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(workdir / "runs", train__images=16)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 24)
        half = run(Path("runs"))
    assert resume().run == half.run


def test_signals_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path, train__images=16)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_schedule_is_a_cosine_of_the_clock(tmp_path: Path) -> None:
    import math

    outcome = run(tmp_path, train__log_images=8, recipe__lr=0.01, recipe__lr_decay=0.2)
    for row in logged(outcome.run):
        before = int(row["images"]) - 8
        want = 0.01 * (0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * before / 96)))
        assert float(row["learning_rate"]) == pytest.approx(want, rel=1e-5)


def test_a_critic_that_steps_more_often(tmp_path: Path) -> None:
    steps = {"recipe__critic_steps": 3, "recipe__loss": "wasserstein", "recipe__gp": 10}
    content = last(run(tmp_path, **steps))
    counts = [s["state"][0]["step"].item() for s in content["optimizer_states"]]
    assert counts == [4, 12]
    assert content["galgen"]["clock"] == {"images": 96, "batch": 8}


def test_lazy_penalties_weigh_what_they_would_weigh_every_step(tmp_path: Path) -> None:
    rows = logged(run(tmp_path, train__log_images=8, recipe__penalty_every=3).run)
    assert [bool(row["r1"]) for row in rows] == [True, False, False] * 4


def test_bf16_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 40)
        half = run(tmp_path / "a", train__precision="bf16")
    resumed = last(resume(half.run))
    assert_same_training(resumed, last(run(tmp_path / "b", train__precision="bf16")))
    assert all(v.isfinite().all() for v in resumed["state_dict"].values())
    assert {v.dtype for v in resumed["state_dict"].values()} == {torch.float32}


def test_a_gradient_that_is_not_finite_spares_the_weights(tmp_path: Path) -> None:
    data = CutoutDataModule("sersic", size=16, count=16, batch=8)
    model = DCGAN(size=16, bands=["g", "r", "i"], **OPTIONS)
    data.setup("fit")
    data.train_set.kept[0] = float("nan")
    from contract import fit

    fit(model, data, 4)
    assert all(v.isfinite().all() for v in model.state_dict().values())
    means = model.means.take()
    assert 0 < means["nonfinite_critic"] <= 1


def test_turns_reach_the_training_images(tmp_path: Path) -> None:
    seen = []
    original = Augmentation.apply

    def spy(self: Augmentation, images: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        out = original(self, images, *args, **more)
        seen.append(not torch.equal(out, images))
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Augmentation, "apply", spy)
        run(tmp_path, train__images=24)
    assert seen == [True] * 3


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model.name": "dcgann"}, ConfigError, "--model dcgann is not known: did you mean dcgan"),
        ({"model.options": {"lattent": 8}}, ConfigError, "did you mean latent"),
        ({"model.options": {"widths": [8]}}, ConfigError, "model.options.widths needs 3"),
        ({"model.options": {"latent": "many"}}, ConfigError, "model.options.latent"),
        ({"model.options": {"latent": 0}}, ConfigError, "model.options.latent"),
        ({"recipe.label_noise": 0.1}, ConfigError, "label_noise"),
        ({"data.source": "nowhere"}, DataError, "nowhere"),
        ({"train.batch": 9, "train.devices": 2}, ConfigError, "--batch 9 does not divide"),
    ],
)
def test_mistakes_leave_no_run_folder(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        train({**tiny(), **changes}, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give another folder to --out"):
        run(tmp_path / "file" / "runs")


def test_a_model_that_does_not_fit_the_data(tmp_path: Path) -> None:
    from contract import fit

    data = CutoutDataModule("sersic", size=32, count=16, batch=8)
    with pytest.raises(ConfigError, match="makes 16 px images in g, r, i, the data hold 32 px"):
        fit(DCGAN(size=16, bands=["g", "r", "i"], **OPTIONS), data, 1)
    data = CutoutDataModule("sersic", size=16, count=16, batch=8)
    with pytest.raises(ConfigError, match=r"in r, g, i"):
        fit(DCGAN(size=16, bands=["r", "g", "i"], **OPTIONS), data, 1)


def test_without_arguments_it_is_the_real_set_and_a_length_for_the_machine() -> None:
    config = prepare()
    assert config.data.source == "hubble"
    assert config.train.images >= 40_000
    assert prepare({"train.images": 50}).train.images == 50
    assert prepare({"train": {"batch": 4}}, {"train.batch": 8}).train.batch == 8


def test_what_is_chosen_is_kept(tmp_path: Path) -> None:
    outcome = run(tmp_path, train__images=16, data__size=None, data__count=24, model__options={})
    kept = RunConfig.build(yaml.safe_load((outcome.run / "config.yaml").read_text()))
    assert kept.data.size == 32
    assert json.loads(json.dumps(kept.to_dict())) == kept.to_dict()
    assert checkpoint.load(outcome.run).config["data"]["size"] == 32


def test_config_yaml_says_what_auto_penalties_are(tmp_path: Path) -> None:
    first, _, rest = (run(tmp_path).run / "config.yaml").read_text().partition("\n")
    assert first.startswith("# penalties: R1 with gamma 0.25 and R2 with 0.25 (16 px, batch 8, ")
    assert "r1: auto" in rest
    without = run(tmp_path, recipe__loss="logistic", recipe__r1=0, recipe__r2=0)
    assert (without.run / "config.yaml").read_text().startswith("seed:")


def test_resuming_with_other_classes_is_refused(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "blobs")
    first = run(tmp_path / "runs", data__source=str(folder), data__count=None)
    (folder / "edge").rename(folder / "spiral")
    with pytest.raises(ConfigError, match=r"began with the classes edge, round.* now have round"):
        resume(first.run, changes={"train.images": 160})


def test_labels_to_drop_are_missed_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.label_dropout 0\.1 has no labels to drop"):
        run(tmp_path / "runs", recipe__label_dropout=0.1)
    assert not (tmp_path / "runs").exists()
