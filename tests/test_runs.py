"""Run folders are numbered, never shared, and found again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from galgen.errors import OutputError
from galgen.runs import (
    checkpoint_in,
    make_folder,
    new_folder,
    newest_run,
    run_label,
    slug,
    snapshot_names,
)


def with_checkpoint(run: Path, *names: str) -> Path:
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    for name in names:
        (run / "checkpoints" / name).touch()
    return run


def test_labels_are_safe_in_paths() -> None:
    assert run_label("dcgan", "My Galaxies/2024 (v2)", 64) == "dcgan-my-galaxies-2024-v2-64px"
    assert slug("../..") == "data"


def test_numbers_count_up_past_gaps_and_strangers(tmp_path: Path) -> None:
    parent = tmp_path / "deep" / "runs"
    assert new_folder(parent, "a").name == "00001-a"
    (parent / "00007-x").mkdir()
    (parent / "notes.txt").touch()
    (parent / "123-short").mkdir()
    assert new_folder(parent, "a").name == "00008-a"
    (parent / "100000-x").mkdir()
    assert new_folder(parent, "a").name == "100001-a"


def test_runs_started_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder(tmp_path / "runs", "a"), range(24)))
    assert len(set(folders)) == 24


def test_best_before_last(tmp_path: Path) -> None:
    run = with_checkpoint(tmp_path, "last.ckpt")
    found = checkpoint_in(run)
    assert found is not None
    assert found.name == "last.ckpt"
    with_checkpoint(run, "best.ckpt")
    found = checkpoint_in(run)
    assert found is not None
    assert found.name == "best.ckpt"
    assert checkpoint_in(tmp_path / "none") is None


def test_the_newest_run_is_the_highest_number_with_a_checkpoint(tmp_path: Path) -> None:
    assert newest_run(tmp_path / "none") is None
    assert newest_run(tmp_path) is None
    with_checkpoint(tmp_path / "00002-a", "last.ckpt")
    with_checkpoint(tmp_path / "00010-a", "last.ckpt")
    with_checkpoint(tmp_path / "00011-a")
    with_checkpoint(tmp_path / "stray", "last.ckpt")
    assert newest_run(tmp_path) == tmp_path / "00010-a"


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="give another folder to --out") as caught:
            make_folder(path)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    for path in (closed, closed / "below"):
        with pytest.raises(OutputError, match="Permission denied"):
            make_folder(path)


def test_the_probe_leaves_nothing(tmp_path: Path) -> None:
    assert list(make_folder(tmp_path / "a" / "b").iterdir()) == []


def test_snapshots_of_classes_have_names_that_are_safe_and_different() -> None:
    names = ["FRII", "frii", "a/b c", "..", "\u7403", "A b-C"]
    files = snapshot_names(names)
    assert files["FRII"] == "best-FRII.ckpt"
    assert files["a/b c"] == "best-a-b-c.ckpt"
    assert files[".."] == "best-4.ckpt"
    assert len({file.lower() for file in files.values()}) == len(names)
    assert all(file.isascii() and "/" not in file for file in files.values())
