"""Scores of each class, agreement with the class asked for, numbers against measured ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import blobs
from galgen.bands import ImageSpec
from galgen.measure.photometry import measure
from galgen.metrics import agreement as agreeing
from galgen.metrics import classifier
from galgen.metrics.conditional import (
    NO_CLASSES,
    Asked,
    Pool,
    class_agreement,
    class_scores,
    number_scores,
)
from galgen.metrics.images import Images
from galgen.metrics.scorecard import Score, null
from galgen.stretch import Stretch

CLASSES = ("faint", "bright", "rare")


def asked(fake: list[int], real: list[int], **more: Any) -> Asked:
    labels = [np.array(x, dtype=np.int64) for x in (fake, real, real[:4])]
    return Asked(CLASSES, *labels, **more)


def test_each_class_is_scored_by_its_own_galaxies() -> None:
    seen: list[tuple[list[int], list[int], list[int]]] = []

    def score(fake: np.ndarray, real: np.ndarray, held: np.ndarray) -> dict[str, Score]:
        seen.append((fake.tolist(), real.tolist(), held.tolist()))
        return {"m": null("a score")}

    found = class_scores(asked([0, 1] * 12 + [2] * 9, [1, 0] * 20 + [2] * 50), score, ["m"])
    assert seen[0] == (list(range(0, 24, 2)), list(range(1, 40, 2)), [1, 3])
    assert seen[1][0] == list(range(1, 24, 2))
    assert len(seen) == 2
    assert found["bright"] == {"metrics": {"m": null("a score")}, "n_generated": 12, "n_real": 20}
    rare = found["rare"]["metrics"]["m"]
    assert rare["value"] is None
    assert rare["reason"].startswith("9 generated and 50 real galaxies of this class are too few")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that learn for a moment; the classes here differ in a way that needs no more."""
    train = agreeing.train_classifier
    monkeypatch.setattr(classifier, "BATCH", 16)
    monkeypatch.setattr(
        agreeing, "train_classifier", lambda *a, **k: train(*a, **{**k, "shown": 1600})
    )


def sets(n: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Compact galaxies and fluxes ten times as high, in turn."""
    flux = blobs.galaxies(n, size=16, seed=seed, flux=300, scatter=0.1)
    labels = np.arange(n) % 2
    flux[labels == 1] *= 10
    return flux, labels


def agree(fake_labels: np.ndarray, spec: ImageSpec, **more: Any) -> dict[str, Any]:
    real, real_labels = sets(60, 1)
    real_labels[0] = 2
    pool = Pool(lambda: real, real_labels, [str(k) for k in range(60)], **more)
    fake, _ = sets(40, 2)
    return class_agreement(
        asked(fake_labels.tolist(), real_labels.tolist(), pool=pool),
        Images.of(fake),
        spec,
        Stretch.fit(real, "asinh"),
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("display", [False, True])
def test_classes_that_come_as_asked_agree_and_swapped_ones_do_not(display: bool) -> None:
    spec = ImageSpec(16, ("g", "r", "i"), display=display)
    labels = np.arange(40) % 2
    found = agree(labels, spec)
    assert found["value"] > 0.9
    assert found["ceiling"]["value"] > 0.9
    assert found["chance"] == 0.5
    assert found["ceiling"]["n"] == 59
    assert list(found["classes"]) == ["faint", "bright"]
    assert found["left_out"].keys() == {"rare"}
    assert "1 real galaxies" in found["left_out"]["rare"]
    swapped = agree(1 - labels, spec)
    assert swapped["value"] < 0.1
    assert swapped["ceiling"] == found["ceiling"]


def test_agreement_that_cannot_be_computed_says_why() -> None:
    spec, stretch = ImageSpec(16, ("g", "r", "i")), Stretch.fit(sets(8, 1)[0], "asinh")
    real = sets(8, 1)[0]
    fake = Images.of(real)
    nothing = class_agreement(asked([0] * 8, [0] * 8), fake, spec, stretch)
    assert nothing["value"] is None
    assert "no classes" in nothing["reason"]
    numbers = class_agreement(Asked(numbers=("mag_r",)), fake, spec, stretch)
    assert numbers == {"value": None, "reason": NO_CLASSES}
    found = agree(np.full(40, 2), spec)
    assert found["value"] is None
    assert "asked to be of a class" in found["reason"]
    pool = Pool(lambda: real, np.zeros(8, np.int64), ["one"] * 8)
    one = class_agreement(asked([0] * 8, [0] * 8, pool=pool), fake, spec, stretch)
    assert "fewer than two classes" in one["reason"]
    pool = Pool(lambda: real, np.arange(8) % 2, ["a", "b"] * 4)
    few = class_agreement(asked([0] * 8, [0] * 8, pool=pool), fake, spec, stretch)
    assert few["value"] is None


@pytest.mark.usefixtures("quick")
def test_a_class_in_one_group_cannot_be_left_out_and_learnt() -> None:
    real, labels = sets(40, 1)
    groups = ["scene" if label else str(k) for k, label in enumerate(labels)]
    found = class_agreement(
        asked([0, 1] * 4, labels.tolist(), pool=Pool(lambda: real, labels, groups)),
        Images.of(sets(8, 2)[0]),
        ImageSpec(16, ("g", "r", "i")),
        Stretch.fit(real, "asinh"),
    )
    assert found["value"] is None
    assert "'bright' has no real image" in found["reason"]


def test_numbers_are_measured_where_they_can_be() -> None:
    spec = ImageSpec(32, ("g", "r"), "nanomaggy", (22.5, 22.5), pixel_scale=0.5)
    flux = blobs.galaxies(40, bands=2, size=32, seed=3)
    columns = measure(flux, spec)
    truth = 22.5 - 2.5 * np.log10(flux[:, 1].double().sum((1, 2)).numpy())
    values = np.column_stack([truth, truth, truth, truth + 1])
    scores, pairs = number_scores(
        Asked(
            numbers=("mag_r", "redshift", "mag_z", "r_half"),
            fake_values=values,
            real_values=values + np.array([0.25, 0, 0, np.nan]),
            no_values={"r_half": "nobody knows"},
        ),
        spec,
        columns,
        columns,
    )
    assert list(pairs) == ["mag_r", "r_half"]
    magnitude = scores["mag_r"]
    assert magnitude["r2"] > 0.95
    assert magnitude["unit"] == "mag"
    assert abs(magnitude["bias"]) < 0.1
    # The catalogue of the real galaxies says 0.25 mag more than that of the generated ones.
    assert magnitude["real"]["bias"] == pytest.approx(magnitude["bias"] - 0.25)
    assert scores["redshift"] == {
        "r2": None,
        "reason": "'redshift' is nothing that can be measured: mag_BAND, colours such as g-r, "
        "r_half and ellipticity are",
    }
    assert "no band 'z'" in scores["mag_z"]["reason"]
    assert scores["r_half"]["unit"] == "arcsec"
    assert scores["r_half"]["real"] is None
    assert scores["r_half"]["no_real"] == "nobody knows"
