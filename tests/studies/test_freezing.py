"""The study of frozen layers: what it trains, keeps, writes and refuses."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from galgen import checkpoint
from galgen.errors import ConfigError, DataError
from galgen.report.diagrams import to_png
from galgen.studies import freezing as command
from galgen.studies.freezing import Interrupted, Study, freezing, main
from galgen.studies.freezing_settings import FreezingConfig, validate
from galgen.studies.freezing_table import Row, draw, rich_table, row_of
from tiny import OPTIONS, interrupt_at

TRAIN = {"images": 32, "batch": 8, "precision": "32", "accelerator": "cpu", "metric_images": 16}
TRAIN |= {"metric_samples": 16}
REAL = {"data.source": "hubble"}
TINY: dict[str, Any] = {
    "depths": [0, 3],
    "n": 16,
    "pretrain": {
        "data": {"source": "sersic", "bands": ["R", "G", "B"], "size": 16, "count": 48},
        "model": {"options": OPTIONS},
        "train": TRAIN,
        "recipe": {"lr": 0.01},
    },
    "finetune": {"data": {"source": "hubble"}, "train": TRAIN},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two depths and two seeds, run once."""
    return freezing({**TINY, "seeds": [0, 1]}, out=tmp_path_factory.mktemp("study"))


def test_every_depth_and_seed_and_the_control(study: Study) -> None:
    found = [(row.name, row.seed) for row in study.rows]
    names = ("freeze 0", "freeze 3", "from scratch")
    assert found == [(name, seed) for name in names for seed in (0, 1)]
    models = [checkpoint.load(row.run) for row in study.rows]
    start = checkpoint.load(study.csv.parent / "pretrained" / "00001-dcgan-sersic-16px")
    assert len({model.holdout for model in models}) == 1
    assert [model.config["seed"] for model in models] == [0, 1] * 3
    learnt = start.module.average.state()["stages.0.conv.weight"]
    same = [torch.equal(m.module.average.state()["stages.0.conv.weight"], learnt) for m in models]
    assert same == [False, False, True, True, False, False]
    assert [m.config["finetune"] is None for m in models] == [False] * 4 + [True] * 2
    # The control trains at the pair's own rate, fine-tuning at a gentle one.
    assert {m.config["recipe"]["lr"] for m in models[:4]} == {5e-4}
    assert {m.config["recipe"]["lr"] for m in models[4:]} == {0.01}
    assert study.rows[2].frozen == "mapping, 4x4 dense, 4x4 convolution"
    assert len({row.frechet_floor for row in study.rows}) == 1
    assert len({row.frechet for row in study.rows}) == 6


def test_the_files_hold_the_rows(study: Study) -> None:
    with study.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["freeze"] for row in rows] == ["0", "0", "3", "3", "", ""]
    assert float(rows[0]["frechet"]) == study.rows[0].frechet
    text = study.markdown.read_text()
    assert text.count("| freeze 3 |") == 2
    assert text.count("| from scratch |") == 2
    assert "- freeze 3: mapping, 4x4 dense, 4x4 convolution" in text
    assert "Galaxies a side: 16." in text
    assert study.plot.read_bytes().startswith(b"\x89PNG")


def test_run_again_it_only_adds_what_is_missing(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.csv.parent
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.ckpt")}
    before |= {p: p.stat().st_mtime_ns for p in folder.rglob("evaluation.json")}
    said: list[str] = []
    again = freezing({**TINY, "seeds": [0, 1]}, out=folder, say=said.append)
    assert again == study
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert sum(line.endswith("is there already") for line in said) == 7
    more = freezing({**TINY, "depths": [1], "seeds": [0]}, out=folder)
    assert [row.name for row in more.rows] == ["freeze 1", "from scratch"]
    assert more.rows[1] == study.rows[4]


def test_other_settings_need_another_folder(study: Study) -> None:
    other = {**TINY, "finetune": {**TINY["finetune"], "train": {**TRAIN, "images": 64}}}
    with pytest.raises(ConfigError, match="holds a study with other settings"):
        freezing(other, out=study.csv.parent)


def test_a_depth_too_many_shows_before_a_pre_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 8)
        with pytest.raises(Interrupted):
            freezing(TINY, out=tmp_path)
    (last,) = tmp_path.rglob("last.ckpt")
    before = last.stat().st_mtime_ns
    with pytest.raises(ConfigError, match="--freeze 99 asks for more"):
        freezing({**TINY, "depths": [99]}, out=tmp_path)
    assert last.stat().st_mtime_ns == before


def test_an_interrupted_study_goes_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = {**TINY, "depths": [3], "checkpoint": str(study.csv.parent / "pretrained")}
    start["checkpoint"] += "/00001-dcgan-sersic-16px"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 16)
        with pytest.raises(Interrupted):
            freezing(start, out=tmp_path)
    said: list[str] = []
    done = freezing(start, out=tmp_path, say=said.append)
    assert any(line.startswith("going on with") for line in said)
    # The hold-out, the seed and the checkpoint are those of the study, and so is the result.
    for mine, theirs in zip(done.rows, (study.rows[2], study.rows[4]), strict=True):
        assert (mine.frechet, mine.ratio) == (theirs.frechet, theirs.ratio)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depths": [99]}, "--freeze 99 asks for more than the network has"),
        ({"unit": "stage"}, "unit: .* the study has model, depths, unit"),
        ({"freeze": 1}, "freeze: .* the study has"),
        ({"pretrain": {"train": {"bacth": 1}}}, "did you mean train.batch"),
        ({"model": "dcgun"}, "did you mean dcgan"),
        (
            {"seeds": [0, 1], "finetune": {"data": {"source": "hubble", "count": 9}}},
            "each seed other galaxies",
        ),
        ({"finetune": {"train": TRAIN}}, "no real galaxies: name them by --data FOLDER"),
        ({"finetune": {"data": 5}}, "finetune.data: say which setting"),
        ({"finetune": {**REAL, "train": {"bacth": 1}}}, "did you mean train.batch"),
        ({"finetune": {**REAL, "recipe": {"label_noise": 0.1}}}, "label_noise"),
        ({"finetune": {**REAL, "model.options": {"lattent": 8}}}, "lattent is not an option"),
        ({"finetune": {**REAL, "data.size": 32}}, "choose --size 16"),
        ({"finetune": {**REAL, "model.name": "progan"}}, "--model progan is not the dcgan"),
    ],
)
def test_mistakes(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        freezing({**TINY, **changes}, out=tmp_path / "out")
    # Not even the record, so that the corrected command runs in the same folder.
    assert not (tmp_path / "out").exists()


def test_depths_and_seeds_count_once() -> None:
    settings = validate({**TINY, "depths": [3, 0, 3], "seeds": [1, 1]})
    assert (settings.depths, settings.seeds) == ((3, 0), (1,))


def test_the_control_has_the_options_of_the_tuned(study: Study) -> None:
    options = {"grain": False}
    given = {**TINY, "finetune": {**TINY["finetune"], "model.options": options}}
    source = checkpoint.load(study.csv.parent / "pretrained" / "00001-dcgan-sersic-16px")
    settings = validate(given)
    control = command._scratch(settings, source, 0)
    assert control.model == command._tuning(settings, source, 3, 0).model
    assert control.model.options == {**OPTIONS, **options}


def test_missing_galaxies_show_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist: name the folder by --data"):
        freezing({**TINY, "finetune": {"data": {"source": "nowhere"}}}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    asked: list[dict[str, Any]] = []

    def instead(config: dict[str, Any], **more: Any) -> Study:
        asked.append(FreezingConfig.model_validate(config).model_dump())
        return Study((row(0), row(None)), Path("a.csv"), Path("a.md"), Path("a.png"))

    monkeypatch.setattr(command, "freezing", instead)
    (workdir / "study.yaml").write_text(yaml.safe_dump(TINY))
    options = "--model progan --data elsewhere --images 10k --pretrain-images 20k --depths 0,2"
    options += " --seeds 3,4 --unit block -n 100 --set finetune.train.batch=4"
    assert main(["--config", "study.yaml", *options.split()]) == 0
    (config,) = asked
    assert (config["model"], config["depths"], config["seeds"]) == ("progan", (0, 2), (3, 4))
    assert (config["unit"], config["n"]) == ("block", 100)
    assert config["pretrain"]["train"]["images"] == 20_000
    assert config["finetune"]["train"] == {**TRAIN, "images": 10_000, "batch": 4}
    assert config["finetune"]["data"] == {"source": "elsewhere"}
    printed = capsys.readouterr().out
    assert "from scratch" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert main(["--config", "none.yaml"]) == 2
    assert main(["--config", "study.yaml", "--seeds", "a"]) == 2
    assert "--seeds a: give whole numbers" in capsys.readouterr().err


def test_the_command_exists() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "galgen.studies.freezing", "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "--pretrain-images" in done.stdout


def row(freeze: int | None, frechet: float = 30.0, seed: int = 0, **scores: Any) -> Row:
    score = {"value": 0.6, "floor": 0.8, "interval": [0.5, 0.7], "z": 2.0, "n": 40}
    distance = {"value": frechet, "floor": 14.0, "interval": [frechet - 5, frechet + 9], "z": 4.0}
    metrics = {
        "frechet_physics": {**distance, "n": 42},
        "colour_magnitude": score,
        "coverage_physics": score,
        "copies_aligned": score,
    }
    result = {"metrics": metrics | scores, "generated": {"images": 20_000}}
    return row_of(result, freeze, seed, ["mapping"][: freeze or 0], Path("runs/1"))


def test_a_row_has_the_ratio_and_the_spread_of_its_floor() -> None:
    found = row(1)
    assert found.frechet_spread == pytest.approx((30 - 14) / 4)
    assert found.ratio == pytest.approx(0.75)
    assert (found.ratio_low, found.ratio_high) == pytest.approx((0.5 / 0.8, 0.7 / 0.8))
    assert found.ratio_spread == pytest.approx(0.1 / 0.8)
    null = {"value": None, "floor": None, "interval": None, "z": None, "n": 0, "reason": "why"}
    one_band = row(1, colour_magnitude=null)
    assert (one_band.ratio, one_band.ratio_spread, one_band.ratio_low) == (None, None, None)


def test_the_plot_has_floors_as_bands_and_the_control_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Any] = []

    def keep(figure: Any) -> bytes:
        figures.append(figure)
        return to_png(figure)

    monkeypatch.setattr("galgen.studies.freezing_table.to_png", keep)
    rows = [row(0, 30.0), row(0, 40.0, seed=1), row(5, 25.0), row(None, 900.0)]
    draw(rows, tmp_path / "plot.png", "block")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    left, right = figures[0].axes
    assert left.get_yscale() == "log"
    assert right.get_yscale() == "linear"
    for axes, floor, sigma in ((left, 14.0, 4.0), (right, 1.0, 0.125)):
        (band,) = axes.patches
        bottom, height = band.get_y(), band.get_height()
        assert height >= 2 * sigma
        assert bottom < floor < bottom + height
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "5", "scratch"]
        assert "frozen generator blocks" in axes.get_xlabel()
        means = axes.lines[[line.get_alpha() for line in axes.lines].index(0.6)]
        assert means.get_xdata().tolist() == [0, 5]
    assert left.lines[[line.get_alpha() for line in left.lines].index(0.6)].get_ydata()[0] == 35
    assert "scratch" in " ".join(text.get_text() for text in left.get_legend().get_texts())


def test_one_band_draws_and_prints(tmp_path: Path) -> None:
    null = {"value": None, "floor": None, "interval": None, "z": None, "n": 0, "reason": "why"}
    rows = [row(0, colour_magnitude=null), row(None, colour_magnitude=null)]
    draw(rows, tmp_path / "plot.png", "layer")
    assert rich_table(rows).row_count == 2
