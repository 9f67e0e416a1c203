"""Conditions as rows: classes, numbers in standard deviations, and what is not known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from galgen.conditions import KEPT_OF_CLASS, KEPT_ROWS, Conditions, Number

LABELS = np.array([0, 1, 1, 1])
VALUES = np.array([[18.0, 0.5], [20.0, 0.7], [22.0, 0.9], [20.0, 0.7]])


def both() -> Conditions:
    return Conditions.of(("E", "S"), LABELS, [Number("mag_r", "measure"), Number("g-r")], VALUES)


def test_standardised_by_the_training_set() -> None:
    conditions = both()
    assert conditions.counts == (1, 3)
    assert conditions.names == ("mag_r", "g-r")
    magnitude, colour = conditions.numbers
    assert (magnitude.low, magnitude.high) == (18.0, 22.0)
    assert magnitude.mean == pytest.approx(20.0)
    assert colour.std == pytest.approx(VALUES[:, 1].std())
    rows = conditions.encode(LABELS, VALUES)
    assert rows.dtype == np.float32
    assert rows.shape == (4, conditions.width) == (4, 5)
    assert np.allclose(rows[:, 2:4].mean(axis=0), 0, atol=1e-6)
    assert np.allclose(rows[:, 2:4].std(axis=0), 1, atol=1e-6)
    assert (rows[:, 4] == 1).all()
    assert rows[:, :2].argmax(axis=1).tolist() == LABELS.tolist()


def test_unknown_is_zero_and_comes_back_as_unknown() -> None:
    conditions = both()
    rows = conditions.encode([-1, 1], np.array([[19.0, np.nan], [21.0, 0.8]]))
    assert not rows[0].any()
    labels, values = conditions.decode(rows)
    assert labels.tolist() == [-1, 1]
    assert np.isnan(values[0]).all()
    assert values[1] == pytest.approx([21.0, 0.8], rel=1e-6)


@pytest.mark.parametrize(
    ("classes", "numbers", "width"),
    [((), (), 0), (("E", "S"), (), 2), ((), ("mag_r",), 2), (("E", "S"), ("a", "b"), 5)],
)
def test_widths(classes: tuple[str, ...], numbers: tuple[str, ...], width: int) -> None:
    conditions = Conditions.named(classes, numbers)
    assert conditions.width == width
    assert bool(conditions) == (width > 0)


def test_the_scale_of_a_checkpoint_stays_and_its_range_goes() -> None:
    old = both().numbers
    conditions = Conditions.of((), None, old, VALUES + 1)
    assert [n.mean for n in conditions.numbers] == [n.mean for n in old]
    assert [n.std for n in conditions.numbers] == [n.std for n in old]
    assert conditions.numbers[0].low == 19.0


def test_a_few_thousand_galaxies_are_kept() -> None:
    values = np.random.default_rng(0).normal(size=(3 * KEPT_ROWS, 1))
    conditions = Conditions.of((), None, [Number("x")], values)
    assert KEPT_ROWS / 2 < len(conditions.rows) <= KEPT_ROWS
    assert conditions.rows[0][0] == -1
    kept = np.array(conditions.rows)[:, 1]
    assert abs(kept.mean() - values.mean()) < 0.05


def test_some_galaxies_of_every_class_are_kept() -> None:
    labels = np.zeros(20 * KEPT_ROWS, np.int64)
    # None of the rare ones, and few of the middling ones, lie on the rows that are kept anyhow.
    labels[7:2000:200], labels[1::600] = 1, 2
    conditions = Conditions.of(
        ("often", "rare", "seldom"), labels, [Number("x")], np.arange(len(labels))[:, None] * 1.0
    )
    kept = np.array(conditions.rows)
    counts = np.bincount(kept[:, 0].astype(int), minlength=3)
    assert counts[1] == (labels == 1).sum() < KEPT_OF_CLASS
    assert counts[2] >= KEPT_OF_CLASS
    assert counts[0] <= KEPT_ROWS
    assert np.array_equal(labels[kept[:, 1].astype(int)], kept[:, 0])
    assert (np.diff(kept[:, 1]) > 0).all()


def test_there_and_back_through_json() -> None:
    conditions = both()
    text = json.dumps(conditions.to_dict(), allow_nan=False)
    assert Conditions.from_dict(json.loads(text)) == conditions
    empty = Conditions.named(("E",), ("mag_r",))
    assert Conditions.from_dict(json.loads(json.dumps(empty.to_dict(), allow_nan=False))) == empty
