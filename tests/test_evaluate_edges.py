"""What evaluate does with bad input, empty sky and sets larger than memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galgen import checkpoint
from galgen.errors import ConfigError, DataError, OutputError
from galgen.evaluate import check_named, evaluate
from judged import FEW, ArraySet, Opened, folders, galaxies, run_of


def test_mistakes_are_named(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(8, seed=1), galaxies(12, seed=2))
    with pytest.raises(ConfigError, match="--real"):
        evaluate(fake)
    with pytest.raises(ConfigError, match="-n 1"):
        evaluate(fake, real, n=1)
    with pytest.raises(DataError, match="nowhere does not exist"):
        evaluate("nowhere", real)
    with pytest.raises(DataError, match="nowhere does not exist"):
        evaluate(fake, real, against="nowhere")
    with pytest.raises(DataError, match="elsewhere does not exist"):
        check_named(None, None, "elsewhere")
    check_named(None, None)
    (workdir / "blocker").write_text("in the way")
    with pytest.raises(OutputError, match="blocker"):
        evaluate(fake, real, out="blocker")
    model = run_of(workdir, config={})
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    with pytest.raises(ConfigError, match="--real"):
        evaluate()


def test_one_image_is_no_set(workdir: Path, opened: tuple[dict[str, ArraySet], Opened]) -> None:
    with pytest.raises(DataError, match="holds one image"):
        evaluate(*folders(opened[0], workdir, galaxies(1), galaxies(12, seed=1)))


@pytest.mark.parametrize(
    ("metrics", "scored"),
    [
        ("morphology", {"wasserstein_gini", "wasserstein_r_half", "morphology"}),
        ("spectrum", {"spectrum"}),
    ],
)
def test_shapes_and_spectra_are_scored_without_photometry(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    metrics: str,
    scored: set[str],
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(24), galaxies(60, seed=1))
    found = evaluate(fake, real, metrics=metrics)
    assert scored <= set(found.scores)
    assert not {"wasserstein_magnitude", "wasserstein_colour", "detected"} & set(found.scores)
    # What was not asked for is not explained either.
    assert not any("copy check" in note for note in found.result["notes"])


def test_a_crop_is_for_the_real_galaxies_and_says_so(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    fake, real = folders(opened[0], workdir, galaxies(24), galaxies(60, seed=1))
    found = evaluate(fake, real, metrics="spectrum", crop=16)
    assert any("taken whole (--crop" in note for note in found.result["notes"])


@pytest.mark.parametrize("metrics", ["radio", "conditions", "radio,conditions"])
def test_metrics_that_do_not_apply_are_no_empty_card(
    metrics: str, workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    with pytest.raises(ConfigError, match="nothing of it applies"):
        evaluate(*folders(opened[0], workdir, galaxies(24), galaxies(60)), metrics=metrics)
    assert {path.name for path in workdir.iterdir()} == {"fake", "real"}


def nothing(n: int) -> np.ndarray:
    return np.zeros((n, 3, 16, 16), dtype=np.float32)


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (galaxies(2), galaxies(2, seed=1)),
        (galaxies(3), galaxies(5, seed=1)),
        (nothing(24), galaxies(60)),
        (noise(24), noise(60)),
        (np.full((24, 3, 16, 16), np.nan, dtype=np.float32), galaxies(60)),
    ],
    ids=["two", "few", "blank", "noise", "nan"],
)
def test_what_cannot_be_judged_gets_a_sentence(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    fake: np.ndarray,
    real: np.ndarray,
) -> None:
    found = evaluate(*folders(opened[0], workdir, fake, real))
    for name, score in found.scores.items():
        assert score["value"] is not None or len(score["reason"].split()) > 3, name
    json.dumps(found.result, allow_nan=False)
    assert found.html.is_file()
    if len(real) < 6:
        assert {q["answer"] for q in found.result["questions"].values()} == {"unclear"}


def test_blank_real_images_are_refused(
    workdir: Path, opened: tuple[dict[str, ArraySet], Opened]
) -> None:
    with pytest.raises(DataError, match="every pixel"):
        evaluate(*folders(opened[0], workdir, galaxies(24), nothing(60)))


def test_memory_holds_numbers_and_no_images(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many galaxies there are, few are read at a time."""
    known, _ = opened
    model = run_of(workdir, samples=galaxies(400, seed=1))
    known["train"] = ArraySet(galaxies(600, seed=2), model.spec, "train")
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    largest = 0
    read = ArraySet.read

    def counted(self: ArraySet, indices: Any, margin: int = 0) -> np.ndarray:
        nonlocal largest
        largest = max(largest, len(indices))
        return read(self, indices, margin)

    monkeypatch.setattr(ArraySet, "read", counted)
    monkeypatch.setattr("galgen.metrics.comparison._SAMPLE", 100)
    monkeypatch.setattr("galgen.metrics.entries._FITTED", 100)
    monkeypatch.setattr("galgen.sides._SAMPLE", 100)
    evaluate(n=400, metrics=FEW)
    assert 0 < largest <= 128
