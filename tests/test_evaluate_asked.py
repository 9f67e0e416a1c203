"""The verb evaluate where something was asked of the galaxies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen import checkpoint
from galgen.bands import ImageSpec
from galgen.conditions import Conditions, Number
from galgen.evaluate import evaluate
from galgen.metrics import agreement, classifier
from judged import FEW, ArraySet, Model, Opened, galaxies, run_of


def kinds(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Galaxies of 3 bands, ten times as bright in every second one; class number, flux."""
    images, labels = galaxies(n, seed=seed), np.arange(n) % 2
    images[labels == 1] *= 10
    return images, labels, images.sum((1, 2, 3)).astype(np.float64)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers that learn for a moment, in small steps."""
    train = agreement.train_classifier
    monkeypatch.setattr(classifier, "BATCH", 16)
    monkeypatch.setattr(
        agreement, "train_classifier", lambda *a, **k: train(*a, **{**k, "shown": 1600})
    )


def conditional(workdir: Path, known: dict[str, ArraySet], spec: ImageSpec) -> Model:
    """A model that obeys, and its training set."""
    images, labels, total = kinds(48, seed=1)
    magnitude = 22.5 - 2.5 * np.log10(total / 3)
    numbers = (Number("mag_g", "catalogue"), Number("redshift", "catalogue"))
    values = np.column_stack([magnitude, np.linspace(0.1, 0.2, 48)])
    conditions = Conditions.of(("dim", "bright"), labels, numbers, values)
    real, kind, flux = kinds(90, seed=2)
    known["train"] = ArraySet(real, spec, "train", labels=1 - kind, classes=("bright", "dim"))
    known["train"].numbers = numbers
    known["train"].values = np.column_stack(
        [22.5 - 2.5 * np.log10(flux / 3), np.linspace(0.1, 0.2, 90)]
    )
    rows = conditions.encode(labels, values)
    config = {"seed": 7, "data": {"source": "train", "condition": ["mag_g,redshift"]}}
    return run_of(
        workdir, samples=images, spec=spec, conditions=conditions, rows=rows, config=config
    )


@pytest.mark.usefixtures("quick")
def test_a_conditional_model_is_asked_whether_it_obeys(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = ImageSpec(16, ("g", "r", "i"), "nanomaggy", (22.5,) * 3)
    model = conditional(workdir, opened[0], spec)
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=48, metrics=FEW)
    assert opened[1][0][1]["condition"] == ["mag_g,redshift"]
    classes, conditions = found.result["classes"], found.result["conditions"]
    # The model and the real set count their classes in different orders.
    assert list(classes) == ["dim", "bright"]
    for entry in classes.values():
        assert list(entry["metrics"]) == list(found.scores)
        assert entry["n_generated"] == 24
        assert entry["n_real"] == 45
        assert entry["metrics"]["frechet_physics"]["n"] == 22
        assert abs(entry["metrics"]["frechet_physics"]["z"]) < 5
    agreed = conditions["agreement"]
    assert agreed["value"] > 0.9
    assert agreed["ceiling"]["value"] > 0.9
    assert agreed["ceiling"]["n"] == 90
    magnitude = conditions["numbers"]["mag_g"]
    assert magnitude["r2"] > 0.9
    assert magnitude["real"]["r2"] > 0.9
    assert magnitude["r2_shuffled"] < 0.1
    assert "nothing that can be measured" in conditions["numbers"]["redshift"]["reason"]
    text = " ".join(found.verdict)
    assert "Galaxies are of the class that was asked for" in text
    assert "mag_g follows the request" in text
    page = found.html.read_text()
    for heading in ("<h2>A class a row", "<h4>Classes", "<h2>What was asked for"):
        assert heading in page
    # A model that does not listen is found out, and only there.
    assert model.rows is not None
    deaf = np.random.default_rng(0).permutation(model.rows)
    monkeypatch.setattr(model, "rows", deaf)
    other = evaluate(n=48, metrics=FEW)
    assert other.scores == found.scores
    assert other.result["conditions"]["agreement"]["value"] < 0.75
    assert other.result["conditions"]["agreement"]["ceiling"] == agreed["ceiling"]
    assert other.result["conditions"]["numbers"]["mag_g"]["r2"] < 0.3


def test_without_the_classifier_the_rest_is_there(
    workdir: Path,
    opened: tuple[dict[str, ArraySet], Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = ImageSpec(16, ("g", "r", "i"), "nanomaggy", (22.5,) * 3)
    model = conditional(workdir, opened[0], spec)
    monkeypatch.setattr(checkpoint, "load", lambda source: model)
    found = evaluate(n=48, classifier=False, metrics=FEW).result
    assert found["conditions"]["agreement"]["value"] is None
    assert "evaluate.classifier" in found["conditions"]["agreement"]["reason"]
    assert found["conditions"]["numbers"]["mag_g"]["r2"] > 0.9
    assert found["classes"]["dim"]["metrics"]["recall_physics"]["value"] is not None
    # Real galaxies of which nothing is known.
    opened[0]["train"].classes = ("bright", "odd")
    notes = evaluate(n=48, classifier=False, metrics=FEW).result["notes"]
    assert any("Real galaxies of odd are of no class of the model" in note for note in notes)
    opened[0]["other"] = ArraySet(kinds(60, seed=4)[0], spec, "other")
    other = evaluate(None, "other", n=48, out="here", metrics=FEW).result
    assert "classes" not in other
    assert "no classes" in other["conditions"]["agreement"]["reason"]
    assert other["conditions"]["numbers"]["mag_g"]["real"] is None
    assert "data.condition" in other["conditions"]["numbers"]["mag_g"]["no_real"]


@pytest.mark.usefixtures("quick")
def test_a_folder_of_samples_with_its_catalogue_is_asked_too(workdir: Path) -> None:
    real, kind, _ = kinds(40, seed=2)
    for image, number, place in zip(real, kind, range(40), strict=True):
        (workdir / "sky" / "dB"[number]).mkdir(parents=True, exist_ok=True)
        header = fits.Header({"BANDS": "g,r,i", "BUNIT": "nanomaggy", "MAGZERO": 22.5})
        fits.writeto(workdir / "sky" / "dB"[number] / f"{place:03d}.fits", image, header)
    made, kind, total = kinds(24, seed=3)
    (workdir / "made").mkdir()
    names = [f"galaxy_{k:06d}.fits" for k in range(24)]
    for image, name in zip(made, names, strict=True):
        header = fits.Header({"BANDS": "g,r,i", "BUNIT": "nanomaggy", "MAGZERO": 22.5})
        fits.writeto(workdir / "made" / name, image, header)
    asked = 22.5 - 2.5 * np.log10(total / 3) + 0.5
    labels = ["", *("dB"[k] for k in kind[1:])]
    table = Table({"file": names, "label": labels, "mag_r_requested": asked})
    table.write(workdir / "made" / "catalogue.fits")
    found = evaluate("made", "sky", metrics=FEW).result
    conditions = found["conditions"]
    assert list(found["classes"]) == ["B", "d"]
    assert found["classes"]["d"]["n_generated"] == 11
    assert conditions["agreement"]["n"] == 23
    assert conditions["agreement"]["value"] > 0.9
    assert conditions["numbers"]["mag_r"]["r2"] > 0.9
    assert conditions["numbers"]["mag_r"]["bias"] == pytest.approx(-0.5, abs=0.2)
