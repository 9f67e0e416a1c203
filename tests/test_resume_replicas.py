"""Two processes: killed, spoilt, out of space, and gone on with by one or the other number."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from galgen.recovery import latest, read_whole
from galgen.train import resume
from tiny import OPTIONS, assert_same_training, last, logged, run, tiny

pytestmark = pytest.mark.slow

SETTINGS = {"train__log_images": 8, "train__snapshot_images": 24, "train__devices": 2}


def galgen(folder: Path, *arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """The command in processes of its own, all of which run some lines of Python first.

    The replicas that galgen starts run the same file.
    """
    script = folder / "command.py"
    script.write_text(
        textwrap.dedent(before)
        + "\nfrom galgen_cli.main import app\nimport sys\napp(sys.argv[1:])\n"
    )
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )


def begin(folder: Path, before: str = "", **settings: Any) -> subprocess.CompletedProcess[str]:
    """``galgen train`` in ``folder / runs``."""
    values = {k: v for k, v in tiny(**{**SETTINGS, **settings}).items() if k != "model.options"}
    values |= {f"model.options.{k}": v for k, v in OPTIONS.items()}
    sets = [f"--set={k}={v}" for k, v in values.items()]
    return galgen(folder, "train", "--out", str(folder / "runs"), *sets, before=before)


def the_run(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


SPOIL = """
    from galgen.models.base import AdversarialModule
    step = AdversarialModule.training_step

    def training_step(self, batch, batch_idx):
        step(self, batch, batch_idx)
        if self.rollbacks < {at}.get(self.clock.images, 0):
            next(self.critic.parameters()).data[0] = float("nan")

    AdversarialModule.training_step = training_step
"""

KILL = """
    import os, signal
    import galgen.fitting
    from galgen.callbacks.ending import Ending

    class Killed(Ending):
        def on_train_batch_end(self, trainer, module, *rest):
            if module.clock.images == 80 and trainer.is_global_zero:
                os.killpg(0, signal.{signal})
            super().on_train_batch_end(trainer, module, *rest)

    galgen.fitting.Ending = Killed
"""


def same(one: Path, other: Path) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        assert_same_training(*(read_whole(p / "checkpoints" / name) for p in (one, other)))
    assert logged(one) == logged(other)


def test_they_go_back_together_and_a_kill_in_between_changes_nothing(tmp_path: Path) -> None:
    spoil = SPOIL.format(at={64: 1, 88: 2})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = begin(tmp_path / "a", spoil)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("Going back to") == 2
    cut = begin(tmp_path / "b", spoil + KILL.format(signal="SIGKILL"))
    assert cut.returncode == -9, cut.stderr
    run_b = the_run(tmp_path / "b")
    rest = galgen(tmp_path / "b", "train", str(run_b), "--resume", before=spoil)
    assert rest.returncode == 0, rest.stderr
    assert read_whole(run_b / "checkpoints" / "last.ckpt")["galgen"]["rollbacks"] == 2
    same(the_run(tmp_path / "a"), run_b)


def test_one_that_never_recovers_ends_in_one_sentence(tmp_path: Path) -> None:
    done = begin(tmp_path, SPOIL.format(at={64: 9}))
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("galgen:")]
    assert len(said) == 1
    assert "had gone back 3 times" in said[0]
    assert latest(the_run(tmp_path)).images == 48  # type: ignore[union-attr]


def test_a_full_disk_ends_all_in_one_sentence(tmp_path: Path) -> None:
    before = """
        import torch
        save, count = torch.save, []

        def full(content, file):
            count.append(1)
            if len(count) == 3:
                raise OSError(28, "No space left on device")
            save(content, file)

        torch.save = full
    """
    done = begin(tmp_path, before)
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("galgen:")]
    assert len(said) == 1
    assert "last.ckpt cannot be written (No space left on device)" in said[0]
    found = latest(the_run(tmp_path))
    assert found is not None
    assert (found.images, found.damaged) == (24, "")


def test_scheduler_s_signal_is_agreed_on_within_ten_steps(tmp_path: Path) -> None:
    done = begin(tmp_path, KILL.format(signal="SIGUSR1"), train__images=240)
    assert done.returncode == 130, done.stderr
    folder = the_run(tmp_path)
    assert f"interrupted at 80 images; go on with: galgen train {folder} --resume" in done.stdout
    rest = galgen(tmp_path, "train", str(folder), "--resume")
    assert rest.returncode == 0, rest.stderr
    undisturbed = tmp_path / "other"
    undisturbed.mkdir()
    assert begin(undisturbed, train__images=240).returncode == 0
    same(the_run(undisturbed), folder)


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_another_number_of_devices_shows_the_same_images_from_there(
    first: int, then: int, tmp_path: Path
) -> None:
    shown = textwrap.dedent("""
        from pathlib import Path
        from galgen.data.module import CutoutDataModule
        real = CutoutDataModule.on_after_batch_transfer

        def noted(self, batch, index):
            with (Path(__file__).parent / f"rank{self._sampler.rank}.txt").open("a") as file:
                for image in batch["images"]:
                    print(int(batch["position"]), float(image.double().sum()), file=file)
            return real(self, batch, index)

        CutoutDataModule.on_after_batch_transfer = noted
    """)
    for name in ("whole", "changed"):
        (tmp_path / name).mkdir()
    assert begin(tmp_path / "whole", shown, train__devices=1).returncode == 0
    cut = begin(
        tmp_path / "changed",
        shown + textwrap.dedent(KILL.format(signal="SIGKILL")),
        train__devices=first,
    )
    assert cut.returncode == -9, cut.stderr
    for path in (tmp_path / "changed").glob("rank*.txt"):
        path.unlink()
    folder = the_run(tmp_path / "changed")
    rest = galgen(
        tmp_path / "changed", "train", str(folder), "--resume", "--devices", str(then), before=shown
    )
    assert rest.returncode == 0, rest.stderr
    assert "at 72 of 96 images" in rest.stdout
    a, b = (
        read_whole(the_run(tmp_path / name) / "checkpoints/last.ckpt")
        for name in ("whole", "changed")
    )
    assert a["galgen"]["clock"] == b["galgen"]["clock"] == {"images": 96, "batch": 8}
    assert a["CutoutDataModule"] == b["CutoutDataModule"] == {"position": 96}

    def images(name: str) -> list[tuple[str, str]]:
        """Position and sum of each image from 72 on, in the order of the global batches."""
        found: list[tuple[int, int, str]] = []
        for rank, path in enumerate(sorted((tmp_path / name).glob("rank*.txt"))):
            for line in path.read_text().splitlines():
                position, total = line.split()
                found.append((int(position), rank, total))
        found.sort(key=lambda entry: entry[:2])
        return [(str(position), total) for position, _, total in found if position >= 72]

    assert len(images("whole")) == 24
    assert images("whole") == images("changed")


def test_the_position_is_of_what_was_trained_on_not_of_what_was_read_ahead(tmp_path: Path) -> None:
    """Readers are many batches ahead; a checkpoint in between goes on at the next batch."""
    one = run(
        tmp_path / "a", **{**SETTINGS, "train__devices": 1}, train__images=48, recipe__lr_decay=1.0
    )
    two = run(
        tmp_path / "b",
        **{**SETTINGS, "train__devices": 1},
        train__images=48,
        data__workers=2,
        recipe__lr_decay=1.0,
    )
    assert last(one)["CutoutDataModule"] == last(two)["CutoutDataModule"] == {"position": 48}
    further = [resume(outcome.run, changes={"train.images": 96}) for outcome in (one, two)]
    contents = [last(outcome) for outcome in further]
    for content in contents:
        del content["galgen"]["config"]
    assert_same_training(*contents)
