"""The three answers, and the sentences that they rest on."""

from __future__ import annotations

from typing import Any

import pytest

from cards import against, entry, metrics, result
from galgen.metrics.scorecard import null
from galgen.report import versus
from galgen.report.copying import by_space
from galgen.report.names import QUESTIONS, better, inline, order, question, title
from galgen.report.reading import sigmas
from galgen.report.verdict import details, questions, verdict


def answer(name: str, **scores: Any) -> tuple[str, str]:
    found = questions(result(**scores))[name]
    return found["answer"], found["sentence"]


def test_a_second_real_sample_is_real_physical_and_new() -> None:
    found = questions(result())
    assert {name: entry["answer"] for name, entry in found.items()} == dict.fromkeys(
        ("real", "physical", "new"), "yes"
    )
    assert (
        "Fréchet distance, galaxy network 4.1 (floor 4, z = +0.2, n = 190)"
        in (found["real"]["sentence"])
    )
    assert "none of 14 scores stands out" in found["real"]["sentence"]


@pytest.mark.parametrize(
    ("name", "scores", "word", "part"),
    [
        # Beyond all chance, in one score or in two.
        ("real", {"frechet_galaxy": entry(12, 4, 9.0)}, "no", "told from real ones: Fréchet"),
        ("real", {"recall_physics": entry(0.1, 0.9, 9.0)}, "no", "recall, measured physics 0.1"),
        (
            "real",
            {"recall_galaxy": entry(0.8, 0.9, 3.2), "kid_galaxy": entry(1, 0, 3.3)},
            "no",
            "2 of 14 scores stand out",
        ),
        # One of many is what chance does.
        ("real", {"recall_galaxy": entry(0.8, 0.9, 3.2)}, "unclear", "chance: recall, galaxy"),
        # Nearer than a second real sample is no fault of the distance.
        ("real", {"frechet_galaxy": entry(3.0, 4.0, -5.0)}, "yes", "z = -5.0"),
        # Too few galaxies say nothing, however large the difference.
        ("real", {"frechet_galaxy": entry(9, 4, 9.0, n=6)}, "unclear", "6 galaxies a side are too"),
        ("real", {"frechet_galaxy": entry(4, 4, 0.1, n=90)}, "unclear", "show only a large one"),
        ("real", {"frechet_galaxy": entry(9, 4, 9.0, n=30)}, "no", "n = 30"),
        ("physical", {"wasserstein_r_half": entry(0.4, 0.05, 20.0)}, "no", "at a distance of 0.4"),
        ("physical", {"colour_magnitude": entry(0.99, 0.83, -6.0)}, "no", "colour-magnitude box"),
        # All real images hold a galaxy: the floor has no spread, but resampling has.
        ("physical", {"detected": {**entry(0.7, 1.0, None), "interval": [0.6, 0.8]}}, "no", "0.7"),
        ("physical", {"detected": {**entry(0.99, 1.0, None), "interval": [0.97, 1.0]}}, "yes", ""),
        # One of a hundred that is not found is chance, wherever resampling ends.
        ("physical", {"detected": {**entry(0.99, 1, None), "interval": [0.97, 0.9995]}}, "yes", ""),
        ("new", {"copies_aligned": entry(-8.0, 0.0, 8.0)}, "no", "C_T = -8.0 in aligned pixels"),
        (
            "new",
            {"copies_aligned": entry(-3.2, 0, 3.2), "copies_polar": entry(-3.5, 0, 3.5)},
            "no",
            "C_T = -3.5 in rings around the centre",
        ),
        ("new", {"copies_polar": entry(-3.2, 0, 3.2)}, "unclear", "one of 2 comparisons"),
        # A few copies do not move the median, but are near all the same.
        (
            "new",
            {f"nearer_{space}": entry(0.2, 0.01, 15.0) for space in ("aligned", "polar")},
            "no",
            "20.0% lie nearer",
        ),
        ("new", {"copies_polar": entry(9.0, 0, -9.0)}, "yes", "No sign of copying"),
        ("new", {"copies_polar": entry(-1.0, 0, 1.0, n=8)}, "unclear", "8 held-out galaxies are"),
        ("new", {"copies_polar": entry(-1.0, 0, 1.0, n=30)}, "unclear", "30 galaxies a side would"),
    ],
)  # fmt: skip
def test_answers(name: str, scores: dict[str, Any], word: str, part: str) -> None:
    found, sentence = answer(name, **scores)
    assert found == word, sentence
    assert (
        part.replace("C_T = -8.0 in aligned pixels", "in aligned pixels C_T = -8.0").replace(
            "C_T = -3.5 in rings around the centre", "in rings around the centre C_T = -3.5"
        )
        in sentence
    )
    assert sentence.endswith(".")
    # The other questions are not touched.
    others = [questions(result(**scores))[other]["answer"] for other in QUESTIONS if other != name]
    assert others == ["yes", "yes"]


def test_what_was_not_measured_is_unclear_and_says_why() -> None:
    nothing = {name: null("the moon was full") for name in metrics()}
    for found in questions(result(**nothing)).values():
        assert found["answer"] == "unclear"
        assert "was not measured: the moon was full." in found["sentence"]
    for found in questions({"metrics": {}}).values():
        assert found["answer"] == "unclear"
        assert found["sentence"].endswith("was not measured.")


def test_the_verdict_is_the_answers_and_their_details() -> None:
    bad = result(
        frechet_physics=entry(40.0, 4.0, 30.0),
        precision_galaxy=entry(0.5, 0.9, 8.0),
        coverage_galaxy=null("6 images"),
        repeats_galaxy=entry(0.3, 0.01, 20.0),
        colour_magnitude=null("one band (I) has no colour"),
        wasserstein_gini=entry(0.4, 0.05, 7.0),
    )
    text = " ".join(verdict(bad))
    for part in (
        "Is it real? No. Generated galaxies can be told",
        "Some generated galaxies are like no real one: 50.0% lie among real galaxies, where 90.0%",
        "Coverage was not computed: 6 images.",
        "Generated galaxies vary as real ones do",
        "Generated galaxies repeat each other: 30.0%",
        "By measured physics: told apart, Fréchet distance 40, floor 4 (z = +30.0).",
        "Is it physical? No.",
        "does not apply: one band (I) has no colour.",
        "Off: Gini coefficient (z = +7.0).",
        "As real ones: shapes, properties together and half-light radius.",
        "Is it new? Yes.",
        "In aligned pixels C_T = +0.4 (below -3 is copying)",
    ):
        assert part in text
    assert len(details(bad)["new"]) == 2


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (entry(0.2, 0.83, 12.0), "colours are off: 20.0%"),
        (entry(0.85, 0.83, -0.4), "look right: 85.0%"),
        (entry(0.99, 0.83, -5.0), "vary less than real ones do: 99.0%"),
        (entry(0.1, 0.3, 0.8, n=3), "Too few real galaxies (3 a side)"),
    ],
)
def test_the_colour_magnitude_box_in_words(score: dict[str, Any], words: str) -> None:
    assert words in " ".join(details(result(colour_magnitude=score))["physical"])


def test_scores_are_named_whatever_the_extractor() -> None:
    assert title("frechet_infinity_zoobot") == "Fréchet distance at infinite n, zoobot"
    assert title("precision_galaxy") == "Precision, galaxy network"
    assert title("wasserstein_mag_r") == "r magnitude"
    assert inline("wasserstein_mag_r") == "r magnitude"
    assert inline("wasserstein_B-G") == title("wasserstein_B-G") == "B − G"
    assert title("wasserstein_bulge") == "Bulge statistic"
    assert title("copies_galaxy") == "Copy test C_T, features of the galaxy network"
    assert title("something_else") == "Something else"
    assert better("something_else") == ""
    assert question("nearer_aligned") == "new"
    assert question("rmae_sumI") == question("morphology") == "physical"
    mixed = ["copies_polar", "kid_zoobot", "gini", "wasserstein_gini", "frechet_physics",
             "frechet_galaxy", "detected", "frechet_infinity_galaxy"]  # fmt: skip
    assert order(mixed) == [
        "frechet_galaxy", "frechet_infinity_galaxy", "frechet_physics", "kid_zoobot", "gini",
        "detected", "wasserstein_gini", "copies_polar",
    ]  # fmt: skip


def score(value: float, deviation: float, floor: float = 1.0) -> dict[str, Any]:
    interval = [value - 1.96 * deviation, value + 1.96 * deviation]
    return {"value": value, "floor": floor, "interval": interval, "z": 0.0, "n": 50}


@pytest.mark.parametrize(
    ("name", "one", "two", "who"),
    [
        # 2 sqrt(0.3² + 0.4²) = 1
        ("frechet_galaxy", score(5.0, 0.3), score(6.01, 0.4), 0),
        ("frechet_galaxy", score(6.01, 0.4), score(5.0, 0.3), 1),
        ("frechet_galaxy", score(5.0, 0.3), score(5.99, 0.4), None),
        ("frechet_galaxy", score(5.0, 0.0), score(5.0, 0.0), None),
        ("frechet_galaxy", null("x"), score(5.0, 0.0), None),
        # A fraction above that of real galaxies is not nearer to them.
        ("precision_galaxy", score(0.99, 0.01, 0.8), score(0.82, 0.01, 0.8), 1),
        ("colour_magnitude", score(0.7, 0.01, 0.8), score(0.95, 0.01, 0.8), 0),
        ("copies_polar", score(-6.0, 1.0, 0.0), score(0.5, 1.0, 0.0), 1),
    ],
)
def test_who_is_nearer_is_said_only_where_the_intervals_tell(
    name: str, one: dict[str, Any], two: dict[str, Any], who: int | None
) -> None:
    assert versus.nearer(one, two, name) == who


def test_who_is_nearer_in_one_sentence() -> None:
    assert versus.sentences(result()) == []
    both = against(result(), frechet_galaxy=entry(40, 4, 9.0), kid_galaxy=entry(1.0, 0.0, 9.0))
    assert versus.sentences(both) == [
        "dcgan is nearer to the real galaxies in 2 of 24 scores (2 real), r3gan in none; 22 do not "
        "tell them apart."
    ]
    assert verdict(both)[0] == versus.sentences(both)[0]
    assert verdict(both)[-3].startswith("r3gan: Is it real? No. ")
    assert verdict(both)[-1].startswith("r3gan: Is it new? Yes. ")
    assert "equally near" in versus.sentences(against(result()))[0]
    mixed = against(result(copies_polar=entry(-9.0, 0, 9.0)), kid_galaxy=entry(1.0, 0.0, 9.0))
    assert versus.sentences(mixed)[0].startswith("Neither of dcgan and r3gan")
    same = {**both, "against": {**both["against"], "generated": both["generated"]}}
    assert versus.names(same) == ("dcgan (A)", "dcgan (B)")


@pytest.mark.parametrize(
    ("value", "n", "low", "high"),
    [
        (1.0, 100, 0.0, 0.0),
        (0.99, 100, 0.0, 1.0),
        # All of k among n generated and 2 n real galaxies are generated: 3^-k.
        (0.94, 100, 2.9, 3.1),
        (0.90, 100, 4.0, 4.3),
        (0.0, 10000, 30.0, 40.0),
    ],
)
def test_a_floor_without_spread_is_judged_by_counting(
    value: float, n: int, low: float, high: float
) -> None:
    assert low <= sigmas(entry(value, 1.0, None, n=n)) <= high


def test_what_lies_too_far_from_training_images_is_not_called_free_of_copies() -> None:
    scores = {"copies_aligned": entry(4.5, 0, -4.5), "copies_polar": entry(-3.4, 0, 3.4)}
    said = by_space(scores)
    assert said["aligned"].endswith("farther than real galaxies lie, which may hide copies.")
    assert said["polar"].endswith("nearer than new galaxies lie.")
