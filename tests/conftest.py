"""Shared fixtures. No torch at import: the tests that need none stay quick."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Helpers of several test modules show what differed, as the tests themselves do.
pytest.register_assert_rewrite("blobs", "contract", "judged", "tiny")

REPOSITORY = Path(__file__).resolve().parents[1]

# Read by the numerical libraries when they load, and passed on to subprocesses.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")
# Precision and compiling by the rule of thumb, so that no stopwatch decides what a test computes.
os.environ["GALGEN_TUNING"] = "off"


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Folder of real observations by name; skips where it is absent.

    The folders lie under ``$GALGEN_DATA``, by default ``../shared/data`` beside the repository.
    """
    root = Path(os.environ.get("GALGEN_DATA") or REPOSITORY.parent / "shared" / "data")

    def folder(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"no real data at {path}: name their folder in GALGEN_DATA")
        return path

    return folder


@pytest.fixture
def repository() -> Path:
    """Root of the working tree."""
    return REPOSITORY


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that runs and pictures land nowhere else."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Sets by the name that `open_set` is asked for, and what it was asked."""
    from galgen.data import sets

    known: dict[str, Any] = {}
    calls: list[tuple[str, Any]] = []

    def open_set(source: str | Path, **options: Any) -> Any:
        calls.append((str(source), options))
        return known[Path(source).name]

    monkeypatch.setattr(sets, "open_set", open_set)
    return known, calls


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure is kept for them alone, not in the user's cache folder."""
    from galgen.data import measured

    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "cache_folder", lambda: folder)
        yield


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    """Seeds of the global generators, and one thread for a torch that is already loaded."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(0)
        torch.set_num_threads(1)
