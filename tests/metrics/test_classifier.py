"""A classifier of galaxies, and how generated ones agree with what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.data.sets import open_set
from galgen.errors import DataError
from galgen.metrics.agreement import Verdicts, agreement, cross_fitted, too_few
from galgen.metrics.classifier import Classifier, train_classifier
from galgen.metrics.images import Images

CLASSES = ("round", "long", "double")
SHOWN = 1500


def galaxies(n: int, size: int = 16, bands: int = 2, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Three shapes, any angle, any flux, in noise."""
    rng = np.random.default_rng(seed)
    axis = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    labels = np.arange(n) % 3
    images = rng.normal(0, 0.05, (n, bands, size, size))
    for i, label in enumerate(labels):
        angle = rng.uniform(0, np.pi)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        width = size / 10
        if label == 2:
            shape = sum(np.exp(-((u - s * 2 * width) ** 2 + v**2) / width**2) for s in (-1, 1))
        else:
            shape = np.exp(-((u / (1 + 2 * label)) ** 2 + v**2) / 2 / width**2)
        images[i] += rng.uniform(0.5, 1.5) * shape
    return torch.from_numpy(images).float(), labels


@pytest.fixture(scope="module")
def trained() -> Classifier:
    images, labels = galaxies(90)
    return train_classifier(images, labels, CLASSES, shown=SHOWN)


def test_it_learns_and_does_not_care_which_way_up(trained: Classifier) -> None:
    images, labels = galaxies(60, seed=9)
    found = trained.predict(images)
    assert found.shape == (60, 3)
    assert torch.allclose(found.sum(1), torch.ones(60), atol=1e-5)
    assert (found.argmax(1).numpy() == labels).mean() > 0.9
    turned = trained.predict(images.rot90(1, (2, 3)).flip(3))
    assert torch.allclose(found, turned, atol=1e-4)
    assert trained.predict(images[:0]).shape == (0, 3)


def test_labels_without_meaning_are_not_learnt() -> None:
    images, labels = galaxies(90)
    mixed = np.random.default_rng(3).permutation(labels)
    network = train_classifier(images, mixed, CLASSES, shown=SHOWN)
    other, truth = galaxies(150, seed=9)
    said = network.predict(other).argmax(1).numpy()
    assert agreement(truth, said, CLASSES)["value"] < 0.6


def test_the_same_seed_gives_the_same_network_and_leaves_other_draws_alone() -> None:
    images, labels = galaxies(30)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, three = (
        train_classifier(images, labels, CLASSES, seed=seed, shown=128).predict(images)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.allclose(one, three)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_of_gpus_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(5)
    assert seeded == [5]
    images, labels = galaxies(9)
    train_classifier(images, labels, CLASSES, shown=64)
    assert seeded == [5]


def test_scale_and_offset_of_the_images_do_not_matter() -> None:
    images, labels = galaxies(30)
    one = train_classifier(images, labels, CLASSES, shown=192).predict(images)
    other = images * 200 + 3000
    assert torch.allclose(
        one, train_classifier(other, labels, CLASSES, shown=192).predict(other), atol=0.02
    )


@pytest.mark.parametrize(("size", "bands"), [(17, 1), (130, 5)])
def test_any_size_and_number_of_bands(size: int, bands: int) -> None:
    images, labels = galaxies(6, size, bands)
    images[:, 0] = 0.0  # A band without anything in it.
    counted = []
    network = train_classifier(images, labels, CLASSES, shown=64, progress=counted.append)
    assert bool(torch.isfinite(network.predict(images)).all())
    assert sum(counted) == 64


def test_a_rare_class_is_shown_as_often_as_a_common_one() -> None:
    images, labels = galaxies(300)
    rare = np.flatnonzero(labels == 2)[:5]
    rows = np.concatenate([np.flatnonzero(labels != 2), rare])
    network = train_classifier(images[rows], labels[rows], CLASSES, shown=SHOWN)
    other, truth = galaxies(150, seed=9)
    found = agreement(truth, network.predict(other).argmax(1).numpy(), CLASSES)
    assert found["classes"]["double"]["value"] > 0.6


def test_a_class_without_images_is_named() -> None:
    images, labels = galaxies(9)
    with pytest.raises(DataError, match="'double' has no real image"):
        train_classifier(images[labels < 2], labels[labels < 2], CLASSES)
    with pytest.raises(DataError, match="two classes"):
        train_classifier(images, labels * 0, CLASSES[:1])


def test_agreement_counts_classes_alike() -> None:
    asked = np.array([0] * 90 + [1] * 10 + [-1] * 5)
    said = np.array([0] * 90 + [0] * 9 + [1] + [1] * 5)
    found = agreement(asked, said, ("a", "b"))
    assert found["value"] == pytest.approx((1 + 0.1) / 2)
    assert found["n"] == 100
    assert found["chance"] == 0.5
    assert found["confusion"] == [[90, 0], [9, 1]]
    low, high = found["interval"]
    assert low < found["value"] < high
    assert found["classes"]["a"]["interval"][1] == 1.0
    # All of 90 agree, which still leaves room for a few per cent that would not.
    assert 0.94 < found["classes"]["a"]["interval"][0] < 0.99
    assert found == agreement(asked, said, ("a", "b"))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    asked = np.repeat([0, 1], 40)
    inside = 0
    for trial in range(100):
        right = rng.random(80) < np.where(asked == 0, 0.9, 0.6)
        low, high = agreement(asked, np.where(right, asked, 1 - asked), "ab", trial)["interval"]
        inside += low <= 0.75 <= high
    assert 88 <= inside <= 100


def test_a_class_that_was_never_asked_for_has_no_value() -> None:
    found = agreement(np.array([0, 0]), np.array([0, 2]), CLASSES)
    assert found["classes"]["long"] == {"value": None, "interval": None, "n": 0}
    assert found["value"] == 0.5
    assert agreement(np.array([-1]), np.array([0]), CLASSES)["value"] is None


def judged(labels: np.ndarray, real: Tensor, held: np.ndarray | None = None) -> Verdicts:
    fake, _ = galaxies(30, seed=8)
    groups = [str(k // 2) for k in range(len(real))]
    return cross_fitted(
        real, labels, CLASSES, Images.of(fake), groups=groups, held=held, shown=SHOWN
    )


def test_every_real_galaxy_is_judged_by_a_network_that_has_not_seen_it() -> None:
    real, labels = galaxies(90)
    told: list[tuple[int, int]] = []
    found = cross_fitted(
        real,
        labels,
        CLASSES,
        Images.of(galaxies(30, seed=8)[0]),
        shown=640,
        progress=lambda *a: told.append(a),
    )
    assert found.rows.tolist() == list(range(90))
    assert "3 networks" in found.how
    assert told[-1] == (1920, 1920)
    # Labels without meaning can be remembered but not foreseen: the ceiling says so.
    mixed = np.random.default_rng(1).permutation(labels)
    ceiling = agreement(mixed, judged(mixed, real).real, CLASSES)
    assert ceiling["value"] < 0.6
    honest = judged(labels, real)
    assert agreement(labels, honest.real, CLASSES)["value"] > 0.85
    assert agreement(np.arange(30) % 3, honest.fake, CLASSES)["value"] > 0.85


def test_held_out_galaxies_judge_where_there_are_enough() -> None:
    real, labels = galaxies(180)
    held = np.arange(180) < 93
    found = judged(labels, real, held)
    assert found.rows.tolist() == list(range(93))
    assert "held out" in found.how
    few = judged(labels, real, np.arange(180) < 30)
    assert len(few.rows) == 180


def test_classes_with_few_galaxies_are_told() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [-1] * 9)
    found = too_few(labels, CLASSES)
    assert list(found) == ["long", "double"]
    assert found["long"].startswith("5 real galaxies")


@pytest.mark.parametrize(("name", "crop", "least"), [("radio_first_png", 128, 0.35)])
def test_real_galaxies(
    real_data: Callable[[str], Path], name: str, crop: int, least: float
) -> None:
    cutouts = open_set(real_data(name) / "train", size=32, crop=crop)
    held = open_set(real_data(name) / "valid", size=32, crop=crop)
    assert cutouts.labels is not None
    assert held.labels is not None
    assert cutouts.classes == held.classes
    network = train_classifier(
        torch.from_numpy(cutouts.read(range(len(cutouts)))),
        cutouts.labels,
        cutouts.classes,
        shown=4000,
    )
    said = network.predict(torch.from_numpy(held.read(range(len(held))))).argmax(1).numpy()
    assert agreement(held.labels, said, held.classes)["value"] > least
