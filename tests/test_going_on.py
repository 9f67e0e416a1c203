"""What `--resume` says and refuses before it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from galgen.errors import CheckpointError
from galgen.train import resume
from tiny import classes_folder, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 96 images on a folder beside it."""
    folder = tmp_path_factory.mktemp("going-on")
    blobs = classes_folder(folder / "blobs")
    changes = {"data__source": str(blobs), "data__count": None, "data__labels": "none"}
    return run(folder / "runs", train__minutes=100.0, **changes).run


def copied(trained: Path, folder: Path) -> Path:
    return Path(shutil.copytree(trained, folder / "run"))


def said(run: Path, **changes: object) -> str:
    lines: list[str] = []
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    resume(run, changes={"train.images": 112, **settings}, say=lines.append)
    return "\n".join(lines)


def test_it_says_what_it_runs_on_and_that_the_minutes_stay(trained: Path, tmp_path: Path) -> None:
    text = said(copied(trained, tmp_path))
    assert "going on with" in text
    assert "at 96 of 112 images" in text
    assert "run: dcgan, 112 images in batches of 8, on the CPU" in text
    assert "for 100 minutes again" in text
    assert "no longer equal" not in text
    assert "the data have changed" not in text


def test_another_precision_is_no_longer_the_same_run(trained: Path, tmp_path: Path) -> None:
    text = said(copied(trained, tmp_path), train__precision="bf16", train__minutes=50)
    assert "precision bf16 from here on, 32 until now" in text
    assert "again" not in text


def test_other_galaxies_are_noticed(trained: Path, tmp_path: Path) -> None:
    blobs = trained.parent.parent / "blobs"
    gone = sorted((blobs / "round").glob("*.png"))[:3]
    try:
        for path in gone:
            path.rename(tmp_path / path.name)
        assert "the data have changed: " in said(copied(trained, tmp_path))
    finally:
        for path in gone:
            (tmp_path / path.name).rename(path)


def test_a_snapshot_that_is_gone_is_said(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path)
    (folder / "checkpoints" / "last.ckpt").unlink()
    assert "last.ckpt is not there: going on from" in said(folder)


def test_a_run_without_its_checkpoints_is_not_begun_anew(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path)
    for path in (folder / "checkpoints").glob("*"):
        path.unlink()
    before = (folder / "metrics.csv").read_text()
    with pytest.raises(CheckpointError, match="are gone from its checkpoints folder"):
        said(folder)
    assert (folder / "metrics.csv").read_text() == before


def test_what_is_no_run_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        said(tmp_path / "nowhere")
    file = trained / "checkpoints" / "last.ckpt"
    with pytest.raises(CheckpointError, match="is a file: name the run's folder"):
        said(file)


def test_a_finished_run_stays_as_it_is(trained: Path) -> None:
    lines: list[str] = []
    resume(trained, changes={"train.images": 40}, say=lines.append)
    assert "is finished at 96 images, and --images asks for 40" in lines[0]
