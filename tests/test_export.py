"""Models as folders to share."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from galgen import checkpoint
from galgen.errors import CheckpointError, ConfigError, OutputError
from galgen.export import Sharing, export, private, unsaid, write
from galgen.export.folder import _put as put
from galgen.export.page import page
from galgen.exported import CARD, PAGE, WEIGHTS, digest
from galgen.sample import sample
from galgen_cli.main import app
from tiny import classes_folder, run

FILES = [PAGE, CARD, WEIGHTS, "overview.png"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("export") / "runs").run


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(checkpoint.load(trained), tmp_path_factory.mktemp("shared") / "model")


def card_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CARD).read_text())


def test_the_folder_says_what_it_is(exported: Path, trained: Path) -> None:
    card, path = card_in(exported), checkpoint.resolve(trained)
    assert sorted(path.name for path in exported.iterdir()) == sorted(FILES)
    assert card["name"] == "dcgan-sersic-16px"
    assert card["from"] == digest(path)
    assert card["training"] == {
        "model": "dcgan", "images": 96, "seed": 0, "version": card["version"],
        "finetuned_from": None,
    }  # fmt: skip
    data = card["data"]
    assert (data["source"], data["galaxies"], data["held_out"]) == ("sersic", 43, 5)
    assert (data["bands"], data["unit"], data["size"]) == (["g", "r", "i"], "nanomaggy", 16)
    assert data["names_digest"] == card["trained_on"]["names"]
    assert card["licence"] == "not stated"
    assert card["scores"]["metrics"] is None
    assert "galgen evaluate" in card["scores"]["reason"]
    for name, entry in card["files"].items():
        assert entry == {
            "bytes": (exported / name).stat().st_size, "sha256": digest(exported / name),
        }  # fmt: skip
    assert set(card["files"]) == {WEIGHTS, "overview.png"}
    assert "sums" not in card


def test_galaxies_are_those_of_the_checkpoint_to_the_last_byte(
    exported: Path, trained: Path, tmp_path: Path
) -> None:
    model, shared = checkpoint.load(trained), checkpoint.load(exported)
    assert torch.equal(model.sample(9, seed=4), shared.sample(9, seed=4))
    assert model.digest == shared.digest
    folders = [
        sample(source, 3, formats=["fits"], out=tmp_path / name).folder
        for name, source in (("run", trained), ("shared", exported))
    ]
    for path in folders[0].glob("galaxy_*.fits"):
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()
    # Exported once more it stays the same model.
    again = export(shared, tmp_path / "again")
    assert card_in(again)["from"] == model.digest
    assert (again / WEIGHTS).read_bytes() == (exported / WEIGHTS).read_bytes()
    assert (again / PAGE).read_bytes() == (exported / PAGE).read_bytes()
    assert (again / "overview.png").read_bytes() == (exported / "overview.png").read_bytes()


def test_hashes_that_it_answers_to(exported: Path, trained: Path, tmp_path: Path) -> None:
    path = checkpoint.resolve(trained)
    own = digest(exported / WEIGHTS)
    both = {digest(path), own}
    assert checkpoint.digests(exported) == checkpoint.digests(checkpoint.load(exported)) == both
    assert checkpoint.digests(path) == checkpoint.digests(checkpoint.load(path)) == {digest(path)}
    half = export(checkpoint.load(trained), tmp_path / "half", Sharing(half=True))
    # Its galaxies are others, so it answers to no name but its own.
    assert card_in(half)["from"] == digest(path)
    assert checkpoint.digests(half) == {digest(half / WEIGHTS)} == {checkpoint.load(half).digest}
    changed = tmp_path / "changed"
    shutil.copytree(exported, changed)
    shutil.copy(export(checkpoint.load(half), tmp_path / "other") / WEIGHTS, changed)
    assert checkpoint.digests(changed) == {digest(changed / WEIGHTS)}
    assert checkpoint.load(changed).digest == digest(changed / WEIGHTS)


def test_nothing_tells_of_the_machine(tmp_path: Path) -> None:
    images = classes_folder(tmp_path / "secret place" / "anna" / "blobs")
    table = images / "catalogue.csv"
    first = run(
        tmp_path / "runs",
        data__source=str(images),
        data__condition=[f"{table}:height,width"],
        data__select=f"{table}:height>0.1",
        data__group=f"{table}:file",
        train__images=16,
    ).run
    folder = export(checkpoint.load(first), tmp_path / "model")
    card = card_in(folder)
    data = card["config"]["data"]
    assert card["data"]["source"] == data["source"] == "blobs"
    assert data["condition"] == ["catalogue.csv:height,width"]
    assert (data["select"], data["group"]) == ("catalogue.csv:height>0.1", "catalogue.csv:file")
    assert {n["source"] for n in card["conditions"]["numbers"]} == {"catalogue.csv"}
    assert card["cite"][0].startswith("the makers of blobs")
    for path in folder.iterdir():
        for word in (str(tmp_path), "secret", "anna", str(Path.home()) + "/"):
            assert word.encode() not in path.read_bytes(), f"{word} in {path.name}"
    assert set(card["data"]["numbers"]) == {"height", "width"}
    assert "--where height=" in (folder / PAGE).read_text()


@pytest.mark.parametrize(
    ("place", "value", "want"),
    [
        (("config", "finetune", "checkpoint"), "/home/anna/runs/00003-x/checkpoints/best.ckpt",
         "00003-x"),
        (("config", "model", "options", "psf"), "/home/anna/my psf.fits", "my psf.fits"),
        (("options", "psf"), "C:\\Users\\anna\\psf.fits", "psf.fits"),
        (("options", "psf"), "moffat:0.7", "moffat:0.7"),
        (("config", "data", "labels"), "/home/anna/my set/t.csv:kind", "t.csv:kind"),
        (("config", "data", "redshift"), "header:Z", "header:Z"),
        (("config", "data", "select"), "u/g>0.3", "u/g>0.3"),
        (("config", "data", "source"), "~anna/set/", "set"),
        (("config", "evaluate", "inception"), "/home/anna/i.pt", "i.pt"),
        (("spec", "unit"), "erg/s/cm2/Hz", "erg/s/cm2/Hz"),
    ],
)  # fmt: skip
def test_paths_keep_their_last_part(place: tuple[str, ...], value: str, want: str) -> None:
    card: Any = value
    for name in reversed(place):
        card = {name: card}
    found: Any = private.clean(card)
    for name in place:
        found = found[name]
    assert found == want
    assert getpass.getuser() == "anna" or "anna" not in json.dumps(private.clean(card))


def judged(model: checkpoint.TrainedModel, **more: Any) -> dict[str, Any]:
    score = {"value": 0.5, "floor": 0.1, "interval": [0.4, 0.6], "z": 4.0, "n": 22}
    null = {"value": None, "floor": None, "interval": None, "z": None, "n": 0, "reason": "none"}
    return {
        "metrics": {"frechet_galaxy": score, "rmae": null},
        "real": {"source": "/home/anna/set", "name": "set", "n": 48},
        "generated": {"digest": model.digest, "n": 48, "source": "/home/anna/runs"},
        "verdict": ["Is it real? No.", "Read /home/anna/set."],
        "version": "0.1.0",
        **more,
    }


def test_scores_are_those_of_this_snapshot(trained: Path, tmp_path: Path) -> None:
    home = tmp_path / trained.name
    shutil.copytree(trained, home)
    model = checkpoint.load(home)
    other = {"generated": {"digest": "0" * 64, "n": 4}}
    (home / "evaluation.json").write_text(json.dumps(judged(model, **other)))
    card = write.card_of(model, Sharing())
    assert card["scores"] == {"metrics": None, "reason": card["scores"]["reason"]}
    assert "another snapshot" in card["scores"]["reason"]
    (home / "metrics.csv").write_text("images,loss_critic,frechet,drift\n48,1,9,0\n96,1,7.5,0\n")
    card = write.card_of(model, Sharing())
    assert card["scores"] == {"from": "training", "metrics": {"frechet": {"value": 7.5}}}
    assert "| Fréchet distance | 7.50 |" in page(card)
    (home / "evaluation.json").write_text(json.dumps(judged(model)))
    folder = export(model, tmp_path / "model")
    scores = card_in(folder)["scores"]
    assert scores["metrics"]["frechet_galaxy"]["value"] == 0.5
    assert (scores["real"], scores["generated"]) == ({"name": "set", "n": 48}, 48)
    text = (folder / PAGE).read_text()
    assert "Is it real? No." in text
    assert scores["verdict"] == ["Is it real? No.", "Read set."]
    assert "| 0.500 | 0.100 | 4.00 | 22 |" in text
    assert "anna" not in text + (folder / CARD).read_text()
    # An exported model keeps them.
    assert card_in(export(checkpoint.load(folder), tmp_path / "again"))["scores"] == scores


def test_what_a_person_says(exported: Path, tmp_path: Path) -> None:
    model = checkpoint.load(exported)
    assert len(unsaid(card_in(exported))) == 1
    said = Sharing("CC-BY-4.0", "Smith | Jones\n<2024>", "Ellipticals")
    folder = export(model, tmp_path / "model", said)
    card, text = card_in(folder), (folder / PAGE).read_text()
    assert (card["name"], card["licence"]) == ("Ellipticals", "CC-BY-4.0")
    assert card["cite"][0] == said.cite
    assert card["cite"][1].startswith("galgen ")
    assert unsaid(card) == []
    front = yaml.safe_load(text.split("---")[1])
    assert (front["license"], front["library_name"]) == ("cc-by-4.0", "galgen")
    assert "# Ellipticals" in text
    assert "- Smith | Jones &lt;2024>" in text
    kept = card_in(export(checkpoint.load(folder), tmp_path / "again"))
    assert all(kept[key] == card[key] for key in ("name", "licence", "cite"))
    assert yaml.safe_load((exported / PAGE).read_text().split("---")[1])["license"] == "unknown"
    own = {**card, "licence": "for students: of Bonn"}
    front = yaml.safe_load(page(own).split("---")[1])
    assert (front["license"], front["license_name"]) == ("other", "for students: of Bonn")


def test_folders_are_never_overwritten_by_chance(exported: Path, tmp_path: Path) -> None:
    model = checkpoint.load(exported)
    folder = tmp_path / "model"
    folder.mkdir()
    export(model, folder)
    with pytest.raises(OutputError, match="holds an exported model: --overwrite"):
        export(model, folder)
    export(model, folder, Sharing(licence="MIT"), overwrite=True)
    assert card_in(folder)["licence"] == "MIT"
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds thesis.tex, which no export wrote"):
        export(model, folder, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        export(model, folder / "thesis.tex", overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_breaks_off_leaves_what_was(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = checkpoint.load(exported), tmp_path / "model"
    export(model, folder, Sharing(name="old"))
    for place, error in (("page", KeyboardInterrupt), ("_dump", OSError(28, "No space left"))):
        with monkeypatch.context() as patch:

            def fail(*_: Any, error: Any = error) -> None:
                raise error

            patch.setattr(write, place, fail)
            with pytest.raises((KeyboardInterrupt, OutputError)):
                export(model, folder, Sharing(name="new"), overwrite=True)
            with pytest.raises((KeyboardInterrupt, OutputError)):
                export(model, tmp_path / "other")

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"/other cannot be written \(No space left on dev"):
            export(model, tmp_path / "other")
    assert card_in(folder)["name"] == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_renames_loses_no_model(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    folder, model = tmp_path / "model", checkpoint.load(exported)
    export(model, folder, Sharing(name="old"))
    done: list[Any] = []
    rename = os.replace

    def dying(*paths: Any) -> None:
        # As if the process had ended here: what follows a kill does nothing either.
        if len(done) == renames:
            raise SystemExit
        rename(*paths)
        done.append(paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        new = tmp_path / ".model.1.new"
        shutil.copytree(exported, new)
        with pytest.raises(SystemExit):
            put(new, folder)
    shutil.rmtree(new, ignore_errors=True)
    places = [path for path in tmp_path.iterdir() if path.name == "model" or ".old" in path.name]
    for place in places:
        checkpoint.load(place)
    assert folder.exists() == (renames != 1)
    with pytest.raises(OutputError, match="holds an exported model: --overwrite"):
        export(model, folder)
    assert card_in(folder)["name"] == ("dcgan-sersic-16px" if renames == 2 else "old")
    checkpoint.load(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
@pytest.mark.parametrize("last", ["page", "_draw", "_dump"])
def test_a_killed_export_leaves_nothing_that_loads(
    exported: Path, tmp_path: Path, last: str
) -> None:
    code = (
        "import os, signal, sys, galgen\n"
        "from galgen.export import export, write\n"
        f"write.{last} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "export(galgen.load(sys.argv[1]), sys.argv[2])\n"
    )
    command = [sys.executable, "-c", code, str(exported), str(tmp_path / "model")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with pytest.raises(CheckpointError):
        checkpoint.load(left)
    export(checkpoint.load(exported), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def call(*words: str | os.PathLike[str]) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def test_commands_take_the_folder(exported: Path, trained: Path, workdir: Path) -> None:
    code, text = call("finetune", exported, "--images", "16", "--set", "train.batch=8")
    assert code == 0, text
    assert "were never trained on" in text or "was never trained on stay held out" in text
    code, text = call("evaluate", exported, "-n", "8", "--metrics", "physics", "--out", "judged")
    assert code == 0, text
    said = json.loads(Path("judged/evaluation.json").read_text())
    assert said["generated"]["digest"] == checkpoint.load(exported).digest
    code, text = call("sample", exported, "-n", "2", "--fits", "--out", "galaxies")
    assert code == 0, text
    code, text = call("sample", trained, "-n", "2", "--fits", "--out", "own")
    assert code == 0, text
    for path, source in (("galaxies", exported), ("galaxies", trained), ("own", exported)):
        code, text = call("replay", f"{path}/galaxy_000001.fits", "--checkpoint", source)
        assert code == 0, text
    for words in (("train", exported, "--resume"), ("train", exported, "--resume", "--dry-run")):
        code, text = call(*words)
        assert code == 2
        assert "is an exported model, which cannot be resumed" in text


def test_a_folder_of_images_is_known_again_by_its_name(workdir: Path) -> None:
    from galgen.evaluate import evaluate
    from galgen.finetune import begin, prepare

    images = classes_folder(workdir / "far" / "blobs")
    options = {"data.labels": "none", "data.crop": 14, "data.source": str(images)}
    outcome = run(workdir / "runs", **options, train__images=16)
    model = checkpoint.load(outcome.run)
    shared = checkpoint.load(export(model, workdir / "model"))
    for call_it in (lambda: prepare(shared), lambda: evaluate(workdir / "model", n=4)):
        with pytest.raises(ConfigError, match="was trained on blobs, which is not here: name "):
            call_it()
    config = prepare(shared, str(images))
    assert (config.data.crop, config.data.source) == (14, str(images))
    said: list[str] = []
    data = begin(shared, config, said.append)[1]
    assert sorted(data.holdout_names) == sorted(model.holdout)
    strangers = classes_folder(workdir / "other" / "blobs", {"disc": 8, "ring": 8})
    with pytest.raises(ConfigError, match="none of the galaxies that it held out"):
        begin(shared, prepare(shared, str(strangers)), said.append)


def test_the_command(trained: Path, workdir: Path) -> None:
    code, text = call("export", trained, "--dry-run")
    assert code == 0
    assert "would write: dcgan-sersic-16px" in text
    assert "licence: not stated" in text
    assert not list(workdir.iterdir())
    result = CliRunner().invoke(app, ["export", str(trained), "--licence", "MIT", "--json"])
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["folder"], said["licence"]) == ("dcgan-sersic-16px", "MIT")
    assert said["files"] == card_in(Path("dcgan-sersic-16px"))["files"]
    code, text = call("export", trained)
    assert code == 2
    assert "--overwrite" in text
    code, text = call("export", trained, "--overwrite", "--half", "--name", "Small", "--out", "x")
    assert code == 0
    assert "float16" in Path("x", PAGE).read_text()
    assert call("export", "nowhere")[0] == 2
