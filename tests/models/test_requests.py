"""What can be asked of samples: rows keyed by the sample, and training galaxies for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from galgen import DCGAN
from galgen.conditions import Conditions, Number
from galgen.errors import ConfigError
from galgen.models.requests import (
    NEIGHBOURS,
    Request,
    draw,
    draw_labels,
    parse_where,
    read_rows,
    told_range,
)
from galgen.randomness import generator

NAMES = ("mag_r", "g-r", "r_half_2")


def galaxies(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Labels and numbers, the colour a straight line in the magnitude and other for each class."""
    random = np.random.default_rng(7)
    labels = (random.random(count) < 0.75).astype(np.int64)
    magnitude = random.uniform(17.9, 22.1, count)
    colour = 0.1 * (magnitude - 20) + labels + random.normal(0, 0.001, count)
    return labels, np.column_stack([magnitude, colour, random.lognormal(0, 0.3, count)])


def both() -> Conditions:
    labels, values = galaxies()
    return Conditions.of(("blue", "red"), labels, [Number(n) for n in NAMES], values)


def numbers_alone() -> Conditions:
    return Conditions.of((), None, [Number(n) for n in NAMES], galaxies()[1])


CLASSES = Conditions(("edge", "round", "spiral"), (5, 30, 15))


def asked(conditions: Conditions, count: int = 200, seed: int = 1, **request: Any) -> Any:
    """Labels and numbers of samples."""
    rows = draw(conditions, Request(**request), seed, range(count))
    assert rows is not None
    assert rows.dtype == np.float32
    assert rows.shape == (count, conditions.width)
    return conditions.decode(rows)


def test_class_draws_are_those_of_the_key() -> None:
    """Written out anew: these decide which galaxy a sample number is, and must never change."""
    edges = np.cumsum(CLASSES.counts) / 50
    want = [
        int(np.searchsorted(
            edges, float(torch.rand((), dtype=torch.float64, generator=generator(3, "label", i)))))
        for i in range(100)
    ]  # fmt: skip
    assert draw_labels(3, range(100), CLASSES.counts).tolist() == want
    rows = draw(CLASSES, Request(), 3, range(100))
    assert rows is not None
    assert np.array_equal(rows, np.eye(3, dtype=np.float32)[want])


@pytest.mark.parametrize(
    ("conditions", "request_"),
    [
        (CLASSES, Request()),
        (CLASSES, Request("round")),
        (numbers_alone(), Request()),
        (numbers_alone(), Request(where={"g-r": (0.0, 0.5)})),
        (both(), Request()),
        (both(), Request("blue", {"mag_r": (18.0, 20.0), "r_half_2": (1.0, 1.0)})),
    ],
)
def test_a_sample_is_asked_the_same_whatever_is_drawn_with_it(
    conditions: Conditions, request_: Request
) -> None:
    whole = draw(conditions, request_, 5, range(40))
    assert whole is not None
    picked = draw(conditions, request_, 5, [31, 2, 17])
    assert np.array_equal(picked, whole[[31, 2, 17]])
    other = draw(conditions, request_, 6, range(40))
    assert (request_ == Request("round")) == np.array_equal(whole, other)


def test_nothing_asked_for_gives_training_galaxies_whole() -> None:
    conditions = both()
    labels, values = asked(conditions, 400)
    table = np.array(conditions.rows)
    drawn = np.column_stack([labels, values])
    apart = np.abs(drawn[:, None] - table).max(axis=2)
    assert apart.min(axis=1).max() < 1e-5
    assert len(set(apart.argmin(axis=1))) > 200
    assert 0.65 < labels.mean() < 0.85
    assert 19.7 < values[:, 0].mean() < 20.3


def test_ranges_are_filled_evenly_and_points_are_points() -> None:
    labels, values = asked(both(), 500, where={"mag_r": (18.0, 20.0), "r_half_2": (1.5, 1.5)})
    assert values[:, 0].min() >= 18
    assert values[:, 0].max() <= 20
    counts = np.histogram(values[:, 0], bins=4, range=(18, 20))[0]
    assert counts.min() > 90
    assert np.allclose(values[:, 2], 1.5, atol=1e-6)
    assert set(labels) == {0, 1}


def test_what_is_not_asked_for_goes_with_what_is() -> None:
    """Colours follow from the magnitude, as they do in training, in the class asked for."""
    conditions = both()
    labels, values = asked(conditions, 200, label="blue", where={"mag_r": (18.0, 22.0)})
    assert set(labels) == {0}
    # The 16 nearest of 150 over 4.2 mag lie within about a quarter of a magnitude.
    assert np.abs(values[:, 1] - 0.1 * (values[:, 0] - 20)).max() < 0.06
    # Class and size of a colour that only red galaxies have.
    labels, values = asked(conditions, 200, where={"g-r": (0.9, 1.1)})
    assert set(labels) == {1}
    assert 18.7 < values[:, 0].min() < values[:, 0].max() < 21.3
    near = asked(conditions, 400, where={"mag_r": (20.0, 20.0)})[1]
    assert len(np.unique(np.round(near[:, 2], 4))) == NEIGHBOURS


def test_one_condition_more_changes_nothing_about_the_others() -> None:
    conditions = numbers_alone()
    one = asked(conditions, where={"mag_r": (18.0, 20.0)})[1]
    two = asked(conditions, where={"g-r": (0.0, 0.5), "mag_r": (18.0, 20.0)})[1]
    assert np.array_equal(one[:, 0], two[:, 0])
    assert not np.array_equal(one[:, 1], two[:, 1])


def test_galaxies_without_a_class_are_asked_as_such() -> None:
    labels, values = galaxies(40)
    labels[::2] = -1
    conditions = Conditions(
        ("blue", "red"), (3, 17), both().numbers,
        tuple(tuple(row) for row in np.column_stack([labels, values])),
    )  # fmt: skip
    assert {-1, 1} <= set(asked(conditions)[0])
    assert set(asked(conditions, label="red")[0]) == {1}


def test_classes_too_rare_for_the_rows_are_drawn_by_their_counts_with_their_own_numbers() -> None:
    """One galaxy in 2,000 is a ring: red rings, blue others, of all magnitudes."""
    random = np.random.default_rng(3)
    labels = np.zeros(60_000, np.int64)
    labels[5::2000] = 1
    values = np.column_stack(
        [random.uniform(18, 22, 60_000), labels + random.normal(0, 0.1, 60_000)]
    )
    conditions = Conditions.of(("other", "ring"), labels, [Number("mag_r"), Number("g-r")], values)
    drawn, numbers = asked(conditions, 4000)
    assert (drawn == 1).sum() <= 8
    drawn, numbers = asked(conditions, 50, label="ring")
    assert numbers[:, 1].min() > 0.5
    # Neighbours in magnitude are as seldom rings, though more of these than of others are kept.
    drawn, numbers = asked(conditions, 2000, where={"mag_r": (18.0, 22.0)})
    assert (drawn == 1).sum() <= 6
    rare = Conditions(("other", "ring"), (1000, 3000), conditions.numbers, conditions.rows)
    drawn, numbers = asked(rare, 1000)
    assert 0.7 < drawn.mean() < 0.8
    assert numbers[drawn == 1, 1].min() > 0.5


def test_a_class_with_no_galaxy_kept_has_the_numbers_of_the_others() -> None:
    kept = tuple(row for row in both().rows if row[0] == 1)
    conditions = Conditions(("blue", "red"), (1, 599), both().numbers, kept)
    labels, values = asked(conditions, 20, label="blue", where={"mag_r": (19.0, 19.0)})
    assert set(labels) == {0}
    assert np.allclose(values[:, 0], 19, atol=1e-5)
    assert np.isfinite(values).all()


def test_a_model_that_never_saw_data_can_be_asked_all_the_same() -> None:
    labels, values = asked(Conditions.named(("edge", "round"), ("z",)), where={"z": (7.0, 7.0)})
    assert set(labels) == {0, 1}
    assert np.allclose(values, 7)
    assert draw(Conditions(), Request(), 0, [1, 2]) is None


def test_rows_tell_what_they_ask_for() -> None:
    conditions = both()
    request = Request("red", {"mag_r": (18.7, 18.7), "g-r": (0.0, 0.0), "r_half_2": (1.25, 1.25)})
    rows = draw(conditions, request, 0, [4])
    assert rows is not None
    (told,) = read_rows(conditions, torch.from_numpy(rows), 1)
    assert (told.label, dict(told.numbers)) == (
        "red", {"mag_r": 18.7, "g-r": 0.0, "r_half_2": 1.25},
    )  # fmt: skip
    blend = rows.copy()
    blend[:, :2] = 0.5
    (mixed,) = read_rows(conditions, torch.from_numpy(blend), 1)
    assert (mixed.label, mixed.numbers["mag_r"]) == (None, 18.7)
    assert told.shared(mixed).label is None
    assert told.shared(mixed).numbers == told.numbers
    nothing = torch.zeros(1, conditions.width)
    (silent,) = read_rows(conditions, nothing, 1)
    assert (silent.label, dict(silent.numbers)) == (None, {})
    assert [a.label for a in read_rows(Conditions(), None, 2)] == [None, None]


def test_texts_and_mappings_are_the_same() -> None:
    conditions = both()
    want = {"mag_r": (18.0, 20.0), "g-r": (0.6, 0.6)}
    assert parse_where("mag_r=18..20, g-r=0.6", conditions) == want
    assert parse_where(" g-r = .6 ,mag_r=18.0 .. 2e1", conditions) == want
    typed = Request.of(conditions, where="mag_r=18..20,g-r=0.6")
    assert Request.of(conditions, where={"mag_r": (18, 20), "g-r": 0.6}).where == typed.where
    assert Request.of(conditions, where={"mag_r": [18, 20], "g-r": 0.6}).where == typed.where
    arrays = {"mag_r": np.array([18, 20]), "g-r": np.array(0.6)}
    assert Request.of(conditions, where=arrays).where == typed.where
    assert parse_where("g-r=-0.1..-.05", conditions) == {"g-r": (-0.1, -0.05)}
    # What the range is rounded to when it is told is inside it.
    low, high = conditions.numbers[0].low, conditions.numbers[0].high
    assert told_range(conditions.numbers[0]) == (17.91, 22.09)
    assert 17.91 < low < high < 22.09
    assert parse_where("mag_r=17.91..22.09", conditions) == {"mag_r": (17.91, 22.09)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mag_r=30", r"--where mag_r=30: the model was trained on mag_r from 17.9 to 22.1: stay"),
        ("mag_r=18..22.2", r"--where mag_r=18..22.2: the model was trained on mag_r from 17.9"),
        ("mag_r=17..20", r"mag_r=17..20: the model was trained on mag_r from 17.9 to 22.1"),
        ("mag=19", r"--where mag: did you mean mag_r\? this model was trained on mag_r, g-r, r_h"),
        ("redshift=1", r"--where redshift: this model was trained on mag_r, g-r, r_half_2\."),
        ("mag_r=20..18", "--where mag_r=20..18: the range ends before it begins"),
        ("mag_r=bright", r"--where mag_r=bright: give a number or a range, as in mag_r=1..2"),
        ("mag_r=18..", "--where mag_r=18..: give a number or a range"),
        ("mag_r=18-20", "--where mag_r=18-20: give a number or a range"),
        ("mag_r=nan", "--where mag_r=nan: give finite numbers"),
        ("mag_r=18..inf", "--where mag_r=18..inf: give finite numbers"),
        ("mag_r=19,mag_r=20", "--where gives mag_r twice"),
        ("mag_r", r"--where mag_r: give numbers or ranges by name, as in mag_r=18..20,g-r=0.6"),
        ("", "--where : give numbers"),
        ("=3", "--where =3: give numbers"),
        ("mag_r=19,", "--where mag_r=19,: give numbers"),
        ("mag_r=18...5", "--where mag_r=18...5: give a number or a range"),
        ("mag_r=18..20; g-r=0.6", "--where mag_r=18..20; g-r=0.6: separate them with commas"),
        ("label=FRI", r"--where label=FRI: ask for a class by --label FRI\."),
    ],
)
def test_texts_that_cannot_be_met(text: str, words: str) -> None:
    conditions = Conditions.of(
        (), None, [Number(n) for n in NAMES],
        np.array([[17.9, 0.0, 1.0], [22.1, 1.0, 2.0], [20, 0.5, 1.5]]),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=words):
        parse_where(text, conditions)


@pytest.mark.parametrize(
    ("conditions", "request_", "words"),
    [
        (CLASSES, Request("ring"), "--label ring is not a class .*: choose one of edge, round, sp"),
        (CLASSES, Request("Edge"), "--label Edge .*: did you mean edge\\? choose one of edge"),
        (CLASSES, Request("spirl"), "did you mean spiral"),
        (numbers_alone(), Request("ring"), "--label ring: this model was trained without classes"),
        (Conditions(), Request("ring"), "--label ring: this model was trained without classes"),
        (CLASSES, Request(where={"z": (1, 1)}), "--where z: this model was trained without numb"),
        (Conditions(), Request(where={"z": (1, 1)}), "trained without numbers .* --condition"),
        (numbers_alone(), Request(where={"mag_r": (9, 9)}), "--where mag_r=9: the model was"),
        (Conditions(), Request(nothing=True), "--no-condition: .* trained without conditions"),
        (CLASSES, Request("edge", nothing=True), "--no-condition asks for nothing: leave --label"),
        (
            both(), Request(where={"mag_r": (19, 19)}, nothing=True),
            "--no-condition asks for nothing: leave --where out",
        ),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_met(conditions: Conditions, request_: Request, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        draw(conditions, request_, 0, [0])


def test_what_python_asks_for_in_another_form_is_told() -> None:
    options = {"latent": 4, "widths": [4, 4, 4], "critic_widths": [4, 4, 4]}
    pair = DCGAN(16, 1, classes=("a", "b"), numbers=(Number("z"),), **options)
    for asked, words in (
        ({"where": ["z", 3]}, r"where=\['z', 3\]: give a text"),
        ({"where": {"z": "bright"}}, r"where=\{'z': 'bright'\}: give a number or a range"),
        ({"where": {"z": (1, 2, 3)}}, "give a number or a range"),
        ({"label": ["a", "b"]}, r"label=\['a', 'b'\]: give the name of one class"),
        ({"where": {"z": np.array([1, 2, 3])}}, "give a number or a range"),
        ({"where": {5: 5}}, r"where=\{5: \.\.\.\}: give the name of a number"),
        ({"truncation": "0.5"}, r"truncation='0\.5': give a number"),
        ({"truncation": None}, r"truncation=None: give a number"),
        ({"labels": ["a"]}, r"labels is nothing .*: did you mean label\?"),
    ):
        with pytest.raises(ConfigError, match=words):
            pair.sample(1, **asked)


def test_nothing_is_for_models_that_learned_without_labels() -> None:
    options = {"latent": 4, "widths": [4, 4, 4], "critic_widths": [4, 4, 4]}
    told = DCGAN(16, 1, classes=("a", "b"), **options)
    with pytest.raises(ConfigError, match=r"--no-condition: .* recipe\.label_dropout"):
        told.sample(1, no_condition=True)
    dropped = DCGAN(16, 1, classes=("a", "b"), recipe={"label_dropout": 0.1}, **options)
    rows = dropped.sample_conditions([0, 1], 0, Request(nothing=True))
    assert torch.equal(rows, torch.zeros(2, 2))
    free, own = dropped.sample(8, no_condition=True), dropped.sample(8)
    assert not any(torch.equal(a, b) for a, b in zip(free, own, strict=True))
