"""Each class is drawn from its own best snapshot where a run or an exported folder is named."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from torch import Tensor
from typer.testing import CliRunner

import galgen
from galgen import checkpoint
from galgen.errors import CheckpointError, ConfigError
from galgen.export import Sharing, export
from galgen.exported import read_card
from galgen.film import interpolate
from galgen.generated.again import Again
from galgen.models.sampling import Look
from galgen.sample import sample
from galgen.specialists import told
from galgen_cli.main import app
from tiny import classes_folder, run

CLASSES = ("edge", "middle", "round")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three classes; `middle` has no snapshot of its own, that of `edge` is old."""
    folder = tmp_path_factory.mktemp("trained")
    counts = {"edge": 30, "middle": 8, "round": 40}
    source = classes_folder(folder / "blobs", counts)
    changes = {"data__source": str(source), "data__count": None, "train__images": 128}
    changes |= {"train__metric_images": 32, "train__metric_samples": 24}
    made = run(folder / "runs", **changes, train__best_per_class=True).run
    short = run(folder / "short", **changes, train__best_per_class=True, train__minutes=1e-9).run
    _relabel(short / "checkpoints" / "last.ckpt", made / "checkpoints" / "best-edge.ckpt", "edge")
    _relabel(made / "checkpoints" / "last.ckpt", made / "checkpoints" / "best-round.ckpt", "round")
    _relabel(made / "checkpoints" / "last.ckpt", made / "checkpoints" / "best.ckpt", None)
    return made


def _relabel(source: Path, path: Path, name: str | None) -> None:
    content = torch.load(source, weights_only=True)
    if name is not None:
        content["galgen"]["best_of"] = name
    if path.name == "best.ckpt":
        for tensor in content["ema"].values():
            tensor *= 1.1
    torch.save(content, path)


def alone(run: Path, label: str, n: int = 70, **more: object) -> Tensor:
    """What a class's snapshot file gives by itself."""
    file = run / "checkpoints" / (f"best-{label}.ckpt" if label != "middle" else "best.ckpt")
    return checkpoint.load(file).sample(n, label=label, **more)  # type: ignore[arg-type]


def test_each_class_is_its_own_snapshot_bit_for_bit(trained: Path) -> None:
    model = galgen.load(trained)
    assert list(model.specialists) == ["edge", "round"]
    assert {name: one.images for name, one in model.specialists.items()} == {
        "edge": 8,
        "round": 128,
    }
    parts = {name: alone(trained, name, seed=5) for name in CLASSES}
    assert not torch.equal(parts["edge"], checkpoint.load(
        trained / "checkpoints" / "best.ckpt").sample(70, seed=5, label="edge"))  # fmt: skip
    for name in CLASSES:
        assert torch.equal(model.sample(70, seed=5, label=name), parts[name])
        assert torch.equal(model.sample(3, seed=5, start=40, label=name), parts[name][40:43])
    # The training set's mix: class by class the same galaxies again, whatever is drawn beside them.
    mix = model.sample(70, seed=5)
    rows = model.module.sample_conditions(range(70), 5)
    assert rows is not None
    classes = rows.argmax(1).tolist()
    assert set(classes) == {0, 1, 2}
    for index, number in enumerate(classes):
        assert torch.equal(mix[index], parts[CLASSES[number]][index])
    assert torch.equal(model.sample(9, seed=5, start=33), mix[33:42])
    order = [69, 3, 35, 4]
    drawn = {
        index: galaxy
        for members, flux in model.sample_chunks(order, seed=5)
        for index, galaxy in zip(members, flux, strict=True)
    }
    assert all(torch.equal(drawn[index], mix[index]) for index in order)


def test_a_checkpoint_file_is_that_file_alone(trained: Path) -> None:
    for name in ("best", "best-edge", "last"):
        model = checkpoint.load(trained / "checkpoints" / f"{name}.ckpt")
        assert not model.specialists
        assert not model.module.specialists
        assert told(model) == []


def told_again(model: checkpoint.TrainedModel) -> checkpoint.TrainedModel:
    """The model as another process has it, told through JSON and pickle."""
    again = model.again()
    for copy in (pickle.loads(pickle.dumps(again)), again):
        assert copy == again
        assert hash(copy) == hash(again)
    text = json.dumps(again.state(), sort_keys=True)
    assert Again.from_state(json.loads(text)) == again
    return Again.from_state(json.loads(text)).load("cpu")


def test_a_model_is_loaded_again_as_it_was(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    exported = export(checkpoint.load(trained), tmp_path / "exported", Sharing())
    file = Path("checkpoints", "best.ckpt")
    for source, snapshots in (("../" + trained.name, 2), (file, 0), (exported, 2)):
        model = checkpoint.load(source)
        assert len(model.specialists) == snapshots
        again = told_again(model)
        assert list(again.specialists) == list(model.specialists)
        assert torch.equal(again.sample(5, seed=3), model.sample(5, seed=3))
    alone = checkpoint.assemble(exported, read_card(exported))
    assert not told_again(alone).specialists
    assert torch.equal(told_again(alone).sample(5, seed=3), alone.sample(5, seed=3))
    for state in (
        {},
        {"path": "x"},
        {"path": 3, "digests": {"": ""}},
        {"path": "x", "digests": {}},
    ):
        with pytest.raises(CheckpointError, match="does not say which model"):
            Again.from_state(state)


def test_a_model_that_was_written_anew_is_not_the_same_again(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    folder = run / "checkpoints"
    whole, file = checkpoint.load(run).again(), checkpoint.load(folder / "best.ckpt").again()
    shutil.copy(folder / "best-round.ckpt", tmp_path / "kept")
    content = torch.load(folder / "best-round.ckpt", weights_only=True)
    content["galgen"]["clock"]["images"] += 1
    torch.save(content, folder / "best-round.ckpt")
    with pytest.raises(CheckpointError, match=r"best\.ckpt, or a snapshot beside it, was written"):
        whole.load()
    assert file.load().images == 128
    (folder / "best-round.ckpt").unlink()
    with pytest.raises(CheckpointError, match="was written anew"):
        whole.load()
    shutil.copy(tmp_path / "kept", folder / "best-round.ckpt")
    assert whole.load().images == 128
    model = checkpoint.load(folder / "best.ckpt")
    (folder / "best.ckpt").unlink()
    with pytest.raises(CheckpointError, match="does not exist"):
        file.load()
    with pytest.raises(CheckpointError, match=r"best\.ckpt cannot be read"):
        model.again()


def test_the_newest_run_has_its_specialists(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent.parent)
    assert list(checkpoint.load().specialists) == ["edge", "round"]


def test_what_is_told_and_which_snapshot_made_a_galaxy(trained: Path) -> None:
    model = checkpoint.load(trained)
    assert told(model) == [
        "snapshots: edge from best-edge.ckpt at 8 images, round from best-round.ckpt at 128 "
        "images, middle from best.ckpt"
    ]
    edge = trained / "checkpoints" / "best-edge.ckpt"
    assert model.made_by("edge") == {"checkpoint": checkpoint.digest(edge), "images": 8}
    own = {"checkpoint": model.digest, "images": 128}
    assert model.made_by("middle") == model.made_by(None) == own


def test_a_class_that_is_none_is_refused_before_snapshots_are_told(
    trained: Path, tmp_path: Path
) -> None:
    command = ["sample", str(trained), "--label", "Edge", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "did you mean edge?" in result.output
    assert "snapshots" not in result.output


def test_looks_hold_for_specialists(trained: Path) -> None:
    model = checkpoint.load(trained)
    flat = model.sample(4, seed=2, label="edge", noise=False)
    assert torch.equal(flat, alone(trained, "edge", 4, seed=2, noise=False))
    assert not torch.equal(flat, model.sample(4, seed=2, label="edge"))
    with pytest.raises(ConfigError, match="--psf"):
        model.sample_chunks([0], psf="none")
    renderer = model.module.renderer(2, Look(truncation=0.5), "edge")
    assert renderer.generator is model.specialists["edge"].network


@pytest.mark.parametrize("half", [False, True])
def test_exported_folders_carry_them(trained: Path, tmp_path: Path, half: bool) -> None:
    model = checkpoint.load(trained)
    folder = export(model, tmp_path / "exported", Sharing(half=half))
    assert {path.name for path in folder.iterdir()} == {
        "card.json", "model.safetensors", "best-edge.safetensors", "best-round.safetensors",
        "README.md", "overview.png",
    }  # fmt: skip
    again = checkpoint.load(folder)
    assert again.specialists["edge"].images == 8
    own = checkpoint.digest(folder / "best-edge.safetensors")
    whole = model.made_by("edge")["checkpoint"]
    assert again.made_by("edge")["checkpoint"] == (own if half else whole)
    assert {own, again.digest} < checkpoint.digests(folder) == checkpoint.digests(again)
    assert (whole in checkpoint.digests(folder)) != half
    a, b = (m.sample(40, seed=3) for m in (model, again))
    if half:
        assert (a - b).abs().max() < 0.05 * a.abs().max()
    else:
        assert torch.equal(a, b)
    twice = checkpoint.load(export(again, tmp_path / "twice", Sharing(half=half)))
    assert torch.equal(twice.sample(40, seed=3), b)
    (folder / "best-edge.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no snapshot of edge"):
        checkpoint.load(folder)


def test_a_snapshot_of_something_else_is_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    folder = copy / "checkpoints"
    shutil.copy(folder / "last.ckpt", folder / "best-edge.ckpt")
    with pytest.raises(CheckpointError, match=r"best-edge\.ckpt is not the snapshot of edge"):
        checkpoint.load(copy)
    (folder / "best-edge.ckpt").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"best-edge\.ckpt is"):
        checkpoint.load(copy)
    assert checkpoint.load(folder / "best.ckpt").images == 128


def test_only_the_averaged_generators_of_classes_are_read(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, mapped = [], []
    build, load = checkpoint._build, torch.load

    def reading(path: Path, **options: Any) -> Any:
        content = load(path, **options)
        if options.get("mmap"):
            mapped.append(path.name)
        return content

    monkeypatch.setattr(checkpoint, "_build", lambda *a: built.append(a[1].name) or build(*a))
    monkeypatch.setattr(torch, "load", reading)
    checkpoint.load(trained)
    assert built == ["best.ckpt"]
    assert mapped == ["last.ckpt", "best-edge.ckpt", "best-round.ckpt"]


def test_finetuning_from_a_snapshot_of_a_class_has_no_optimizers(
    trained: Path, tmp_path: Path
) -> None:
    content = torch.load(trained / "checkpoints" / "best-edge.ckpt", weights_only=True)
    del content["optimizer_states"]
    path = tmp_path / "best-edge.ckpt"
    torch.save(content, path)
    command = ["finetune", str(path), str(trained.parents[1] / "blobs"), "--images", "8"]
    command += ["--out", str(tmp_path / "runs"), "--set", "train.metric_images=0"]
    result = CliRunner().invoke(app, [*command, "--keep", "optimizers"])
    assert result.exit_code != 0
    assert "holds no optimizers that fit its networks" in " ".join(result.output.split())
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_an_unconditional_run_has_none(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    model = checkpoint.load(outcome.run)
    assert not model.specialists
    assert told(model) == []


def test_files_and_catalogue_say_which_snapshot_made_a_galaxy(
    trained: Path, tmp_path: Path
) -> None:
    model = checkpoint.load(trained)
    written = sample(trained, 12, seed=4, formats=["fits"], out=tmp_path / "mix")
    table = Table.read(written.catalogue)
    assert set(table["label"]) == set(CLASSES)
    digests = {"edge": "best-edge.ckpt", "middle": "best.ckpt", "round": "best-round.ckpt"}
    for row in table:
        header = fits.getheader(written.folder / row["file"])
        digest = checkpoint.digest(trained / "checkpoints" / digests[row["label"]])
        assert header["CKPTHASH"] == row["checkpoint"] == digest
        assert header["NIMAGES"] == row["images"] == (8 if row["label"] == "edge" else 128)
    plain = sample(trained / "checkpoints/last.ckpt", 2, formats=["fits"], out=tmp_path / "file")
    assert "checkpoint" not in Table.read(plain.catalogue).columns
    film = interpolate(
        model, [1, 2], 2, seed=4, label="edge", formats=["fits"], out=tmp_path / "film"
    )
    first = fits.open(film.folder / film.files[0])
    assert first[0].header["NIMAGES"] == 8
    pixels = np.stack([hdu.data for hdu in first if hdu.data is not None])
    assert np.array_equal(pixels, model.sample(1, seed=4, start=1, label="edge")[0].numpy())
    between = interpolate(model, [1, 2], 2, seed=4, formats=["fits"], out=tmp_path / "between")
    assert fits.getheader(between.folder / between.files[0])["NIMAGES"] == 128


def test_the_command_line_says_so(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = {
        ("sample", str(trained), "-n", "2"): (
            "snapshots: edge from best-edge.ckpt at 8 images, round from best-round.ckpt at 128 "
            "images, middle from best.ckpt"
        ),
        ("sample", str(trained), "-n", "2", "--label", "edge"): (
            "snapshots: edge from best-edge.ckpt at 8 images"
        ),
        ("sample", str(trained), "--interpolate", "1,2", "--dry-run"): (
            "snapshots: all from best.ckpt, because what lies between classes"
        ),
        ("evaluate", str(trained), "-n", "20"): "snapshots: edge from best-edge.ckpt at 8 images",
    }
    for arguments, line in lines.items():
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert line in " ".join(result.output.split()), result.output
    file = str(trained / "checkpoints" / "best.ckpt")
    result = CliRunner().invoke(app, ["sample", file, "-n", "2"])
    assert "snapshots" not in result.output
    found = json.loads((trained / "evaluation.json").read_text())
    assert found["generated"]["snapshots"]["edge"]["images"] == 8


def test_snapshots_of_classes_come_along_to_other_processes_and_when_going_on(
    trained: Path, tmp_path: Path
) -> None:
    from galgen.sample import go_on

    model = checkpoint.load(trained)
    assert model.specialists
    asked = {"formats": ["fits"], "device": "cpu"}
    want = sample(model, 40, **asked, out=tmp_path / "one")
    two = sample(model, 40, **asked, devices=2, out=tmp_path / "two")
    sample(model, 20, **asked, out=tmp_path / "again")
    again = go_on(tmp_path / "again", n=40, device="cpu")
    assert (two.made, again.made) == (40, 20)
    for path in want.folder.glob("*.fits"):
        for other in (two, again):
            assert path.read_bytes() == (other.folder / path.name).read_bytes(), path.name
