"""A run goes on from a checkpoint that is whole, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from disturbed import SETTINGS, Killed, die_at, equal, killed, slow
from galgen.chain import chain, resume_chain
from galgen.checkpoint import OtherVersion
from galgen.errors import CheckpointError, OutputError
from galgen.finetune import finetune
from galgen.io.atomic import replacing
from galgen.recovery import DAMAGED, go_back, latest
from galgen.train import resume
from tiny import run, tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    outcome = run(tmp_path_factory.mktemp("whole"), **SETTINGS)
    assert outcome.reason == "finished"
    return Path(outcome.run)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def changed(path: Path) -> None:
    """A bit of a weight turns over, which torch does not notice."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["state_dict"]["critic.score.weight"]
    place = content.find(weights.numpy().tobytes())
    assert place > 0
    content[place] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)


@pytest.mark.parametrize("damage", [slow(cut_short), slow(emptied), changed])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[Path], None], whole: Path, tmp_path: Path
) -> None:
    folder = killed(tmp_path, 80)
    damage(folder / "checkpoints" / "last.ckpt")
    said: list[str] = []
    resume(folder, say=said.append)
    assert "last.ckpt is damaged" in said[0]
    assert "Going back to" in said[0]
    assert "at 48 of 96 images" in said[1]
    equal(whole, folder)
    assert (folder / "checkpoints" / DAMAGED).is_file()
    assert go_back(folder, 24).name == "last.ckpt"


def test_a_damaged_checkpoint_is_told_from_one_of_another_version(tmp_path: Path) -> None:
    """Whatever the folder is called."""
    folder = killed(tmp_path / "this was written by galgen", 80)
    path = folder / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["galgen"]["format"] += 1
    torch.save(content, path)
    with pytest.raises(OtherVersion, match="is newer than this one: upgrade galgen"):
        latest(folder)
    cut_short(path)
    found = latest(folder)
    assert found is not None
    assert found.path.name == "previous.ckpt"


def test_with_no_whole_checkpoint_it_says_so_and_changes_nothing(tmp_path: Path) -> None:
    folder = killed(tmp_path, 80)
    for name in ("last.ckpt", "previous.ckpt"):
        cut_short(folder / "checkpoints" / name)
    before = {p: p.read_bytes() for p in folder.rglob("*.*")}
    with pytest.raises(CheckpointError, match=r"neither last.ckpt nor previous.ckpt .* is whole"):
        resume(folder)
    (folder / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"its only checkpoint is not whole"):
        resume(folder)
    del before[folder / "checkpoints" / "last.ckpt"]
    assert before == {p: p.read_bytes() for p in folder.rglob("*.*")}


@pytest.mark.slow
def test_a_run_killed_at_its_first_image_goes_on_from_there(whole: Path, tmp_path: Path) -> None:
    folder = killed(tmp_path, 8)
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["previous.ckpt"]
    assert latest(folder).images == 0  # type: ignore[union-attr]
    resume(folder)
    equal(whole, folder)


def test_a_run_killed_before_its_first_checkpoint_starts_from_its_configuration(
    whole: Path, tmp_path: Path
) -> None:
    folder = killed(tmp_path, 8)
    (folder / "checkpoints" / "previous.ckpt").unlink()
    (folder / "checkpoints").rmdir()
    # Rows of it come later than the first checkpoint.
    (folder / "metrics.csv").unlink(missing_ok=True)
    said: list[str] = []
    resume(folder, say=said.append)
    assert "at 0 of 96 images" in said[0]
    equal(whole, folder)


def test_a_fine_tuning_killed_at_its_first_image_keeps_what_it_began_with(
    whole: Path, tmp_path: Path
) -> None:
    settings = {k: v for k, v in tiny(**SETTINGS).items() if k.startswith("train.")}
    settings |= {"finetune.keep": ["ema", "optimizers"], "finetune.freeze_critic": 1}

    def tune(out: Path) -> Path:
        return finetune(whole, config=settings, freeze=1, out=out).run

    undisturbed = tune(tmp_path / "a")
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, 8)
        with pytest.raises(Killed):
            tune(tmp_path / "b")
    (folder,) = (tmp_path / "b").iterdir()
    resume(folder)
    equal(undisturbed, folder)


def test_a_chain_killed_in_its_first_stage_goes_on_with_it(tmp_path: Path) -> None:
    settings = tiny(**SETTINGS, train__images=48)
    stages = {"chain": [{"name": "one"}, {"name": "two"}], **settings}
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, 16)
        with pytest.raises(Killed):
            chain(stages, out=tmp_path)
    (folder,) = tmp_path.glob("*-chain")
    outcome = resume_chain(folder)
    assert outcome.reason == "finished"
    assert [stage.images for stage in outcome.stages] == [48, 48]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_without_a_configuration_cannot_be_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "00001-dcgan-sersic-16px"
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"has no config.yaml: start a run with galgen train"):
        resume(folder)


def test_what_a_kill_left_in_the_middle_of_a_write_is_cleared_away(
    whole: Path, tmp_path: Path
) -> None:
    folder = killed(tmp_path, 80)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [f"checkpoints/.last.ckpt.{gone.pid}.tmp", f".metrics.csv.{gone.pid}.tmp"]
    alive = folder / "checkpoints" / f".best.ckpt.{os.getppid()}.tmp"
    for path in (*(folder / name for name in left), alive):
        path.write_bytes(b"half")
    # A row that was cut off in a number that is small enough to be one of the past.
    with (folder / "metrics.csv").open("a") as file:
        file.write("2")
    resume(folder)
    equal(whole, folder)
    assert list(folder.rglob(".*.tmp")) == [alive]


def test_at_every_moment_of_a_snapshot_there_is_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_file, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    last_file.write_text("1")
    previous.write_text("0")
    seen: list[tuple[str, str]] = []
    calls = {"replace": os.replace, "link": os.link, "unlink": os.unlink}

    def watched(name: str) -> Callable[..., Any]:
        def call(*paths: Any, **more: Any) -> None:
            seen.append((last_file.read_text(), previous.read_text()))
            calls[name](*paths, **more)
            seen.append((last_file.read_text(), previous.read_text()))

        return call

    for name in calls:
        monkeypatch.setattr(os, name, watched(name))
    with replacing(last_file, durable=True, keep=previous) as temporary:
        temporary.write_text("2")
    assert set(seen) == {("1", "0"), ("1", "1"), ("2", "1")}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_a_disk_without_links_keeps_the_one_before_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*paths: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    for content in "123":
        with replacing(tmp_path / "a", keep=tmp_path / "b") as temporary:
            temporary.write_text(content)
    assert [(tmp_path / name).read_text() for name in "ab"] == ["3", "2"]
    assert len(list(tmp_path.iterdir())) == 2


def test_without_links_too_there_is_a_whole_file_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen, replace = tmp_path / "a", [], os.replace

    def no_links(*paths: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    def watched(*paths: Any) -> None:
        replace(*paths)
        seen.append(path.exists())

    path.write_text("1")
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", watched)
    with replacing(path, keep=tmp_path / "b") as temporary:
        temporary.write_text("2")
    assert seen == [True, True]


def test_a_disk_too_full_for_a_link_leaves_both_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in "ab":
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(os, "link", full)
    with (
        pytest.raises(OutputError, match=r"No space .*choose another folder, or make room\."),
        replacing(tmp_path / "a", keep=tmp_path / "b") as temporary,
    ):
        temporary.write_text("2")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "a", "b": "b"}
