"""Runs that are killed, in this process or in one of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

import galgen.fitting
from galgen.callbacks.ending import Ending
from tiny import OPTIONS, assert_same_training, logged, run, tiny

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
