"""Chains of trainings: settings by stage, what goes from one to the next, interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from galgen import checkpoint
from galgen.chain import ChainOutcome, chain, resume_chain, standing
from galgen.errors import CheckpointError, ConfigError, DataError
from galgen.stages import plan
from galgen_cli.main import app
from tiny import assert_same_training, classes_folder, interrupt_at, tiny

#: From pictures to fluxes in more bands.
STAGES = [
    {"name": "pictures", "data": {"bands": "i,r,g"}, "train": {"images": 16}},
    {
        "name": "simulated",
        "data": {"source": "sersic", "bands": "g,r,i,z"},
        "finetune": {"freeze": 1},
    },
    {"name": "real", "data": {"source": "hubble", "bands": "R,G,B"}, "train": {"batch": 4}},
]


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    """A chain that begins with the pictures in a folder."""
    if not folder.exists():
        classes_folder(folder)
    shared = tiny(train__images=32, train__metric_images=16, train__metric_samples=16)
    del shared["data.source"]
    first = {**STAGES[0], "data": {**STAGES[0]["data"], "source": str(folder), "labels": "none"}}  # type: ignore[dict-item]
    return {**shared, **more, "chain": [first, *STAGES[1:]]}


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_each_stage_starts_from_the_best_of_the_one_before(tmp_path: Path) -> None:
    said: list[str] = []
    done = chain(settings(tmp_path / "blobs"), out=tmp_path / "runs", say=said.append)
    assert done.reason == "finished"
    assert [stage.name for stage in done.stages] == ["pictures", "simulated", "real"]
    assert [stage.images for stage in done.stages] == [16, 32, 32]
    assert [stage.run.name[:5] for stage in done.stages] == ["00002", "00003", "00004"]
    pictures, simulated, real = (checkpoint.load(stage.checkpoint) for stage in done.stages)
    assert "finetune" not in pictures.config or pictures.config["finetune"] is None
    for before, stage in zip(done.stages, (simulated, real), strict=False):
        assert before.checkpoint.name == "best.ckpt"
        assert stage.config["finetune"]["checkpoint"] == str(before.checkpoint)
    assert simulated.spec.bands == ("g", "r", "i", "z")
    assert real.spec.bands == ("R", "G", "B")
    assert [m.config["train"]["batch"] for m in (simulated, real)] == [8, 4]
    # What is frozen is bit for bit what the first stage learnt.
    learnt = pictures.module.average.state()["mapping.0.weight"]
    assert torch.equal(simulated.module.average.state()["mapping.0.weight"], learnt)
    assert done.stages[0].best_at == 16
    assert all(stage.frechet is not None and stage.frechet > 0 for stage in done.stages)
    assert "stage 2 of 3: simulated" in said
    record = yaml.safe_load((done.folder / "chain.yaml").read_text())
    assert [entry["name"] for entry in record["chain"]] == ["pictures", "simulated", "real"]
    assert record["runs"]["real"] == {
        "run": done.stages[2].run.name, "images": 32, "reason": "finished"
    }  # fmt: skip


def runs_of(outcome: ChainOutcome) -> dict[str, Any]:
    return {stage.name: last(stage.run) for stage in outcome.stages}


@pytest.mark.parametrize("images", [8, 24])
def test_an_interrupted_chain_goes_on_and_equals_an_uninterrupted_one(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = chain(settings(tmp_path / "blobs"), out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        # 8 stops the first stage, 24 the second.
        interrupt_at(patch, images)
        half = chain(settings(tmp_path / "blobs"), out=tmp_path / "half")
    assert half.reason == "interrupted"
    assert len(half.stages) == (1 if images == 8 else 2)
    told = [str(stage) for stage in standing(half.folder)]
    assert told[-1] == "real: would begin"
    assert told[len(half.stages) - 1].endswith(f"would go on with {half.stages[-1].run}")
    # A run folder moves with its chain, and what is finished is not trained again.
    moved = (tmp_path / "half").rename(tmp_path / "moved")
    kept = {p: p.stat().st_mtime_ns for p in moved.rglob("*.ckpt")} if images == 24 else {}
    said: list[str] = []
    resumed = resume_chain(moved / half.folder.name, say=said.append)
    assert resumed.reason == "finished"
    assert sum(line.endswith("is there already") for line in said) == len(half.stages) - 1
    for path, time in kept.items():
        assert path.stat().st_mtime_ns == time or "sersic" in str(path)
    for name, content in runs_of(whole).items():
        other = runs_of(resumed)[name]
        for card in (content, other):
            card["galgen"]["config"]["finetune"] = None
        assert_same_training(content, other)
    again = resume_chain(moved / half.folder.name)
    assert again == resumed


def test_a_stage_that_was_cut_off_before_its_first_snapshot_begins_again(tmp_path: Path) -> None:
    done = chain(settings(tmp_path / "blobs"), out=tmp_path / "runs")
    real = done.stages[2].run
    for path in (real / "checkpoints").iterdir():
        path.unlink()
    # What has ended is not done again behind one's back.
    for act in (resume_chain, standing):
        with pytest.raises(CheckpointError, match=r"stage real has ended, but .* no checkpoint"):
            act(done.folder)
    record = yaml.safe_load((done.folder / "chain.yaml").read_text())
    record["runs"]["real"] = {"run": real.name}
    (done.folder / "chain.yaml").write_text(yaml.safe_dump(record))
    again = resume_chain(done.folder)
    assert again.stages[2].run != real
    assert again.stages[:2] == done.stages[:2]


@pytest.mark.parametrize("runs", [5, [1], {"real": 5}, {"real": {"run": "a", "reason": "minutes"}}])
def test_a_record_that_was_spoilt(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(
        yaml.safe_dump({**with_stages({"name": "real"}), "runs": runs})
    )
    with pytest.raises(ConfigError, match="does not say under runs"):
        standing(tmp_path)


def with_stages(*stages: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": {"source": "sersic", "size": 16}, "chain": list(stages)}


@pytest.mark.parametrize(
    ("config", "layer", "words"),
    [
        (with_stages(), {}, "at least one stage"),
        ({"chain": {"a": 1}}, {}, "give a list of stages"),
        (with_stages({"data": {}}), {}, "cannot be called ''"),
        (with_stages({"name": "a.b"}), {}, "cannot be called 'a.b'"),
        (with_stages({"name": "data"}), {}, "cannot be called 'data'"),
        (with_stages({"name": "a"}, {"name": "a"}), {}, "two stages are called a"),
        (with_stages({"name": "a", "trian": {}}), {}, "stage a: unknown configuration key trian"),
        (
            with_stages({"name": "a"}, {"name": "b", "train": {"bacth": 8}}),
            {},
            "stage b: unknown configuration key train.bacth: did you mean train.batch",
        ),
        (with_stages({"name": "a", "finetune": {"freeze": 1}}), {}, "stage a: .* without finetune"),
        (with_stages({"name": "real"}), {"reel.data.crop": 8}, "reel is neither .* mean real"),
        (with_stages({"name": "real"}), {"real": 8}, "real: say which setting"),
        (with_stages({"name": "real"}), {"data.source": "x"}, "data for each stage: .*--set real"),
        (
            with_stages({"name": "a"}, {"name": "b", "data": {"size": 32}}),
            {},
            "not 16 px in a, 32 px in b",
        ),
        (with_stages({"name": "a"}, {"name": "b", "model": {"name": "other"}}), {}, "stage b: "),
        ({**with_stages({"name": "a"}), "runs": {}}, {}, "go on with it by galgen train FOLDER"),
    ],
)
def test_mistakes_name_the_stage(config: Any, layer: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(config, layer)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        ({"model": {"options": {"lattent": 8}}}, "lattent is not an option .* mean latent"),
        ({"model": {"name": "progan"}}, "--model progan is not the dcgan"),
        ({"recipe": {"label_noise": 0.1}}, "label"),
        ({"recipe": {"loss": "wasserstein", "r1": 0, "r2": 0}}, "no bound on its scores"),
        ({"recipe": {"grow_images": 8}}, "grow_images 8 is for pairs that grow"),
        ({"finetune": {"freeze": 99}}, "--freeze 99 asks for more"),
        ({"finetune": {"checkpoint": "x.ckpt"}}, "finetune.checkpoint is the best of the stage"),
        ({"data": 5}, "data: say which setting of this section, got 5"),
        ({"finetune": 5}, "finetune: say which setting"),
    ],
)
def test_mistakes_of_later_stages_show_before_anything_is_trained(
    later: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"stage b: .*{words}"):
        chain(with_stages({"name": "a"}, {"name": "b", **later}), out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [("dcgun", 16, "did you mean dcgan"), ("progan", 17, "stage a: .*17")],
)
def test_pairs_and_sizes_that_are_not(model: str, size: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(with_stages({"name": "a"}), {"model.name": model, "data.size": size})


def test_without_a_size_it_is_that_of_the_first_data(tmp_path: Path) -> None:
    classes_folder(tmp_path / "blobs")
    data = {"source": str(tmp_path / "blobs"), "labels": "none"}
    first = {"name": "a", "data": data}
    stages = [first, {"name": "b", "finetune": {"freeze": 99}}]
    with pytest.raises(ConfigError, match="stage b: --freeze 99 asks for more"):
        plan({"chain": stages})
    with pytest.raises(DataError, match=r"stage a: .* lower --size or --crop"):
        plan({"chain": [{**first, "data": {**data, "crop": 9999}}]})


def test_missing_data_show_before_anything_is_trained(tmp_path: Path) -> None:
    stages = with_stages({"name": "a"}, {"name": "b", "data": {"source": "nowhere"}})
    with pytest.raises(DataError, match=r"stage b: nowhere does not exist: .*--set b.data.source="):
        chain(stages, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_settings_of_stages_and_of_all() -> None:
    config = {
        "seed": 3,
        "finetune": {"freeze": 2},
        "train": {"images": "10k"},
        **with_stages({"name": "a"}, {"name": "b", "train": {"images": 20, "batch": 4}}),
    }
    layers = [{"b.train.batch": 8, "train.minutes": 2}, {"train": {"log_images": 7}}]
    a, b = (stage.build() for stage in plan(config, *layers))
    assert (a.seed, a.train.images, a.train.minutes, a.train.log_images) == (3, 10_000, 2, 7)
    assert (b.seed, b.train.images, b.train.batch, b.train.log_images) == (3, 20, 8, 7)
    assert a.finetune is None
    assert b.finetune is not None
    assert b.finetune.freeze == 2
    assert plan(config, {"train.images": 5})[1].build().train.images == 5


def test_a_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no chain.yaml"):
        resume_chain(tmp_path)


def galgen(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def file(workdir: Path) -> str:
    (workdir / "chain.yaml").write_text(yaml.safe_dump(settings(workdir / "blobs")))
    return "chain.yaml"


def test_the_command_trains_a_chain(file: str, workdir: Path) -> None:
    plan = galgen("train", "--config", file, "--dry-run", "--json")
    assert plan.exit_code == 0, plan.output
    assert [s["name"] for s in json.loads(plan.stdout)["stages"]] == [
        "pictures",
        "simulated",
        "real",
    ]
    assert "sersic" in plan.stderr
    assert not (workdir / "runs").exists()
    done = galgen("train", "--config", file, "--images", "16", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [stage["images"] for stage in result["stages"]] == [16, 16, 16]
    assert result["checkpoint"] == result["stages"][2]["checkpoint"]
    for word in ("Fréchet", "colour-magnitude", "simulated", "runs/00003-dcgan-sersic-16px"):
        assert word in done.stderr
    # The newest run, which the other commands take, is the last stage.
    assert "runs/00004-dcgan-hubble" in galgen("sample", "-n", "2").output
    again = galgen("train", "runs/00001-chain", "--resume", "--json")
    assert json.loads(again.stdout) == result
    looked = galgen("train", "runs/00001-chain", "--resume", "--dry-run")
    assert "real: done at 16 images" in looked.output
    told = json.loads(galgen("train", "runs/00001-chain", "--resume", "--dry-run", "--json").stdout)
    assert told["chain"] == "runs/00001-chain"
    assert [(stage["name"], stage["images"]) for stage in told["stages"]] == [
        ("pictures", 16),
        ("simulated", 16),
        ("real", 16),
    ]


def test_ctrl_c_in_a_chain_says_how_to_go_on(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 24)
        half = galgen("train", "--config", file)
    assert half.exit_code == 130
    assert "go on with: galgen train runs/00001-chain --resume" in half.output
    assert galgen("train", "runs/00001-chain", "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["blobs"], "a chain has data for each stage: leave DATA out"),
        (["--resume"], "galgen train FOLDER --resume"),
        (["--set", "reel.data.crop=8"], "reel is neither a section nor a stage"),
        (["--set", "real.data.crop=x"], "stage real: data.crop"),
        (["--set", "data=5"], "data: say which setting"),
    ],
)
def test_mistakes_at_the_command(file: str, arguments: list[str], words: str) -> None:
    result = galgen("train", *arguments, "--config", file)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="gloo needs POSIX here")
def test_two_processes_train_a_chain(file: str, workdir: Path) -> None:
    command = [sys.executable, "-m", "galgen_cli.main", "train", "--config", file, "--json"]
    # A batch of 4 would tear the groups that the critic compares.
    command += ["--set", "real.train.batch=8"]
    done = subprocess.run(
        [*command, "--devices", "2", "--images", "16"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [stage["reason"] for stage in result["stages"]] == ["finished"] * 3
    assert len(list((workdir / "runs").iterdir())) == 4
