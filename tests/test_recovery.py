"""A run goes on, or back, to a checkpoint that is whole, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import galgen.fitting
from galgen.callbacks.ending import Ending
from galgen.chain import chain, resume_chain
from galgen.errors import CheckpointError, ConfigError, OutputError
from galgen.finetune import finetune
from galgen.io.atomic import replacing
from galgen.models.base import AdversarialModule
from galgen.recovery import DAMAGED, MOST, go_back, latest, read_whole
from galgen.train import resume, train
from tiny import OPTIONS, assert_same_training, interrupt_at, last, logged, run, tiny

#: A snapshot every third batch, so that there is something between two.
SETTINGS = {"train__log_images": 8, "train__snapshot_images": 24}


def slow(value: Any, *more: Any) -> Any:
    """One of several parameters that the quick tests leave out."""
    return pytest.param(value, *more, marks=pytest.mark.slow)


class Killed(Exception):
    """Stands for kill -9: it is raised out of a run, and nothing is saved on the way."""


def die_at(patch: pytest.MonkeyPatch, images: int, rollbacks: int = 0) -> None:
    """End every later run at so many images without a word."""

    class Dying(Ending):
        def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
            if module.clock.images == images and module.rollbacks == rollbacks:
                raise Killed
            super().on_train_batch_end(trainer, module, *rest)

    patch.setattr(galgen.fitting, "Ending", Dying)


def killed(out: Path, images: int, rollbacks: int = 0, **settings: Any) -> Path:
    """The folder of a run that was killed."""
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, images, rollbacks)
        with pytest.raises(Killed):
            run(out, **{**SETTINGS, **settings})
    (folder,) = out.iterdir()
    return folder


def equal(one: Path, other: Path) -> None:
    """Two finished runs have the same checkpoints and rows."""
    for name in ("last.ckpt", "previous.ckpt"):
        contents = (torch.load(p / "checkpoints" / name, weights_only=True) for p in (one, other))
        assert_same_training(*contents)
    assert logged(one) == logged(other)


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


# -- divergence ---------------------------------------------------------------------------


def spoil(patch: pytest.MonkeyPatch, at: dict[int, int], how: str = "weight") -> None:
    """Let weights or gradients be no numbers at a clock, as long as a run has gone back less often.

    Parameters
    ----------
    at
        Images to the number of times that a run has to have gone back to be spared.
    """
    step = AdversarialModule.training_step

    def training_step(self: AdversarialModule, batch: Any, batch_idx: int) -> None:
        step(self, batch, batch_idx)
        if self.rollbacks < at.get(self.clock.images, 0):
            if how == "weight":
                next(self.critic.parameters()).data[0] = float("nan")
            else:
                self.bad_steps = self.bad_steps + 1

    patch.setattr(AdversarialModule, "training_step", training_step)


def test_a_run_that_diverges_goes_back_with_half_the_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1, 80: 2})
    said: list[str] = []
    constant = {"recipe.lr_decay": 1.0}
    outcome = train({**tiny(**SETTINGS), **constant}, out=tmp_path, say=said.append)
    assert outcome.reason == "finished"
    back = [line for line in said if "Going back" in line]
    assert [line.split(":")[0] for line in back] == [
        "training diverged at 64 images",
        "training diverged at 80 images",
    ]
    assert "last.ckpt" in back[0]
    assert "1 of at most 3 times" in back[0]
    card = last(outcome)["galgen"]
    assert (card["rollbacks"], card["lr_scale"], card["bad_steps"]) == (2, 0.25, 0)
    rows = {int(row["images"]): row for row in logged(outcome.run)}
    assert list(rows) == list(range(8, 97, 8))
    rates = [float(rows[images]["learning_rate"]) for images in (48, 56, 72, 80, 96)]
    # From 72 it went back to 72.
    assert rates == pytest.approx([1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])
    assert [rows[images]["rollbacks"] for images in (48, 56, 72, 80)] == ["", "1", "1", "2"]
    assert all(v.isfinite().all() for v in last(outcome)["state_dict"].values())


@pytest.mark.parametrize("how", [slow("weight"), "gradient"])
def test_a_run_that_never_recovers_ends_with_its_last_good_checkpoint(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 9, 56: 9 if how == "gradient" else 0}, how)
    settings = tiny(**SETTINGS, train__nonfinite_steps=2)
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"diverged at 64 images: .*had gone back 3 times") as end:
        train(settings, out=tmp_path, say=said.append)
    assert end.value.exit_code == 2
    assert len([line for line in said if "Going back" in line]) == MOST
    (folder,) = tmp_path.iterdir()
    content = read_whole(folder / "checkpoints" / "last.ckpt")
    assert content["galgen"]["clock"]["images"] == 48
    assert all(v.isfinite().all() for v in content["state_dict"].values())
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(ConfigError, match="had gone back 3 times"):
        resume(folder)
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_few_bad_steps_between_two_snapshots_are_borne(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {16: 9, 32: 9, 64: 9, 88: 9}, "gradient")
    outcome = run(tmp_path, **SETTINGS, train__nonfinite_steps=2)
    assert last(outcome)["galgen"]["rollbacks"] == 0
    assert logged(outcome.run) == logged(whole)


@pytest.mark.parametrize(
    ("images", "rollbacks"), [slow(56, 0), slow(64, 1), slow(72, 1), (80, 1), slow(88, 2)]
)
def test_killed_around_going_back_it_ends_as_undisturbed(
    images: int, rollbacks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1, 88: 2})
    undisturbed = run(tmp_path / "a", **SETTINGS)
    assert last(undisturbed)["galgen"]["rollbacks"] == 2
    folder = killed(tmp_path / "b", images, rollbacks)
    resume(folder)
    equal(undisturbed.run, folder)


@pytest.mark.parametrize("images", [slow(56), 80])
def test_interrupted_before_it_diverges_it_goes_back_to_the_same_place(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {64: 1, 88: 2})
    undisturbed = run(tmp_path / "a", **SETTINGS)
    with monkeypatch.context() as patch:
        interrupt_at(patch, images)
        half = run(tmp_path / "b", **SETTINGS)
        assert (half.reason, last(half)["galgen"]["clock"]["images"]) == ("interrupted", images)
    resume(half.run)
    equal(undisturbed.run, half.run)


@pytest.mark.slow
def test_a_real_divergence_by_an_absurd_learning_rate(tmp_path: Path) -> None:
    settings = tiny(**SETTINGS, recipe__lr=1e8, train__nonfinite_steps=2)
    with pytest.raises(ConfigError, match=r"smaller recipe\.lr"):
        train(settings, out=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert all(v.isfinite().all() for v in latest(folder).content["state_dict"].values())  # type: ignore[union-attr]


# -- a full disk --------------------------------------------------------------------------


def test_a_disk_that_fills_up_under_metrics_csv_ends_the_run_with_its_last_snapshot(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galgen.training import csvlog

    real, calls = os.fsync, []

    class Full:
        """os, of which fsync finds no space after some rows."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        @staticmethod
        def fsync(number: int) -> None:
            calls.append(number)
            if len(calls) == 8:
                raise OSError(28, "No space left on device")
            real(number)

    with monkeypatch.context() as patch:
        patch.setattr(csvlog, "os", Full())
        with pytest.raises(
            OutputError, match=r"metrics.csv cannot be written \(No space.*--resume"
        ):
            run(tmp_path, **SETTINGS)
    (folder,) = tmp_path.iterdir()
    assert (folder / "metrics.csv").read_text().endswith("\n")
    rows = logged(folder)
    assert latest(folder).images <= int(rows[-1]["images"])  # type: ignore[union-attr]
    resume(folder)
    equal(whole, folder)


@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_picture_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if ".png" in self.name:
            write(self, content[:10])
            raise OSError(28, "No space left on device")
        return write(self, content)

    undisturbed = run(tmp_path / "a", **SETTINGS, train__grid_images=40)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"000000040.png cannot be written .*--resume"):
            run(tmp_path / "b", **SETTINGS, train__grid_images=40)
    (folder,) = (tmp_path / "b").iterdir()
    assert not list((folder / "samples").iterdir())
    resume(folder)
    equal(undisturbed.run, folder)


def in_a_shell(
    out: Path, before: str, settings: dict[str, Any], *options: str
) -> subprocess.CompletedProcess[str]:
    """``galgen train`` in a process of its own, after some lines of Python."""
    values = {k: v for k, v in tiny(**settings).items() if k != "model.options"}
    values |= {f"model.options.{k}": v for k, v in OPTIONS.items()}
    arguments = ["train", "--out", str(out), *options]
    arguments += [f"--set={k}={v}" for k, v in values.items()]
    body = textwrap.dedent(before) + f"\nfrom galgen_cli.main import app\napp({arguments!r})\n"
    return subprocess.run(
        [sys.executable, "-c", body],
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_file_that_may_grow_no_further_ends_the_command_in_a_sentence(
    whole: Path, tmp_path: Path
) -> None:
    pytest.importorskip("resource")
    limit = (whole / "checkpoints" / "last.ckpt").stat().st_size - 1
    before = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
    """
    done = in_a_shell(tmp_path, before, SETTINGS)
    assert done.returncode == 2, done.stderr
    assert "last.ckpt cannot be written (File too large): free some space" in done.stderr
    assert "Traceback" not in done.stderr
    (folder,) = tmp_path.iterdir()
    assert sorted(p.name for p in folder.rglob("*.*")) == [
        "config.yaml",
        "metrics.csv",
        "previous.ckpt",
    ]
    resume(folder)
    equal(whole, folder)


# -- signals ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_to_all_processes_saves_and_says_how_to_go_on(
    name: str, whole: Path, tmp_path: Path
) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"no {name} here")
    before = f"""
        import os, signal
        import galgen.fitting
        from galgen.callbacks.ending import Ending

        class Signalled(Ending):
            def on_train_batch_end(self, trainer, module, *rest):
                if module.clock.images == 40:
                    os.killpg(0, signal.{name})
                super().on_train_batch_end(trainer, module, *rest)

        galgen.fitting.Ending = Signalled
    """
    done = in_a_shell(tmp_path, before, {**SETTINGS, "data__workers": 2})
    assert done.returncode == 130, done.stderr
    (folder,) = tmp_path.iterdir()
    assert f"interrupted at 40 images; go on with: galgen train {folder} --resume" in done.stdout
    resume(folder)
    contents = [torch.load(p / "checkpoints/last.ckpt", weights_only=True) for p in (whole, folder)]
    for content in contents:
        # The number of readers is in it.
        del content["galgen"]["config"]
    assert_same_training(*contents)
    assert logged(whole) == logged(folder)
