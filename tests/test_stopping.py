"""Full disks and signals end a run, which goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from disturbed import SETTINGS, equal, in_a_shell
from galgen.errors import OutputError
from galgen.recovery import latest
from galgen.train import resume
from tiny import assert_same_training, logged, run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    outcome = run(tmp_path_factory.mktemp("whole"), **SETTINGS)
    assert outcome.reason == "finished"
    return Path(outcome.run)


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
