"""Run folders: ``runs/00001-<model>-<data>-<size>px`` and what is found in them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from galgen.errors import OutputError

RUNS = Path("runs")
#: Checkpoint that a run goes on from, and the one before it, or of its beginning.
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
CONFIG = "config.yaml"
#: Entry of a checkpoint's card that names the class whose best snapshot it is.
BEST_OF = "best_of"
#: Entry beside it that names the metric.
BEST_BY = "best_by"
_NUMBER = re.compile(r"^(\d{5,})-")


def slug(text: str) -> str:
    """A name that is safe in a path: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "data"


def make_folder(path: Path, option: str = "--out") -> Path:
    """Create a folder, or say why it cannot be written.

    Raises
    ------
    OutputError
        If it exists as a file, or cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".galgen-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{path} cannot be written ({reason}): give another folder to {option}."
        ) from None
    return path


def new_folder(parent: Path, label: str) -> Path:
    """Create ``parent/<next number>-label``; two runs started at once get two numbers."""
    make_folder(parent)
    while True:
        numbers = [int(m[1]) for p in parent.iterdir() if (m := _NUMBER.match(p.name))]
        folder = parent / f"{max(numbers, default=0) + 1:05d}-{label}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def run_label(model: str, data: str, size: int) -> str:
    """``dcgan-hubble-32px``."""
    return f"{slug(model)}-{slug(data)}-{size}px"


def checkpoint_in(run: Path) -> Path | None:
    """best.ckpt of a run, else last.ckpt, else None.

    Not previous.ckpt, which may hold networks that have learnt nothing yet.
    """
    for name in ("best.ckpt", LAST):
        path = run / "checkpoints" / name
        if path.is_file():
            return path
    return None


def snapshot_names(classes: Sequence[str]) -> dict[str, str]:
    """Class to the name of its best snapshot, ``best-CLASS.ckpt``: of letters and digits only, and
    different on any file system.
    """
    found: dict[str, str] = {}
    for number, name in enumerate(classes, start=1):
        stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        if not stem or any(stem.lower() == other.lower() for other in found.values()):
            stem = f"{stem}-{number}".strip("-")
        found[name] = stem
    return {name: f"best-{stem}.ckpt" for name, stem in found.items()}


def newest_run(parent: Path = RUNS) -> Path | None:
    """The run with the highest number that has a checkpoint to draw from."""
    return next((run for run in _newest_first(parent) if checkpoint_in(run) is not None), None)


def newest_begun(parent: Path = RUNS) -> Path | None:
    """The run with the highest number that can be gone on with, maybe from its beginning."""
    return next((run for run in _newest_first(parent) if (run / CONFIG).is_file()), None)


def can_go_on(run: Path) -> bool:
    """Whether a run has a checkpoint to go on from."""
    return any((run / "checkpoints" / name).is_file() for name in (LAST, PREVIOUS))


def _newest_first(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    numbered = [(int(m[1]), p) for p in parent.iterdir() if (m := _NUMBER.match(p.name))]
    return [run for _, run in sorted(numbered, reverse=True)]
