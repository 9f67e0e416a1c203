"""What the report says of classes and numbers that were asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from galgen.metrics.agreement import agreement
from galgen.metrics.conditional import NO_CLASSES
from galgen.metrics.requested import follow
from galgen.metrics.scorecard import null
from galgen.report.asked import agreed, by_class, followed, sentences
from galgen.report.conditional import section


def judged(right: float, real: float, n: int = 200) -> dict[str, Any]:
    """Agreement of two classes, `right` of the generated and `real` of the real galaxies."""
    asked = np.arange(n) % 2

    def found(part: float) -> dict[str, Any]:
        wrong = (np.arange(n) // 2) >= part * n / 2
        return agreement(asked, np.where(wrong, 1 - asked, asked), ("a<b", "c"))

    more = {"how": "three networks", "left_out": {"d": "2 real galaxies are too few"}}
    return {**found(right), "ceiling": found(real), **more}


@pytest.mark.parametrize(
    ("right", "real", "words"),
    [
        (0.5, 0.9, "not of the class that was asked for: "),
        (0.7, 0.95, "less often than real ones"),
        (0.9, 0.9, "Galaxies are of the class that was asked for: "),
        (0.99, 0.7, "more plainly"),
    ],
)
def test_agreement_is_read_against_its_ceiling_and_chance(
    right: float, real: float, words: str
) -> None:
    text = agreed(judged(right, real))
    assert words in text
    assert f"{right:.1%} of the generated" in text
    assert f"{real:.1%} of real ones" in text
    assert "guessing gives 50.0%" in text
    assert "Not judged: d." in text


def number(slope: float, noise: float, real: dict[str, Any] | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    asked = rng.normal(20, 1, 300)
    found = follow(asked, 20 + slope * (asked - 20) + rng.normal(0, noise, 300))
    return {"unit": "mag", **found, "real": real}


@pytest.mark.parametrize(
    ("slope", "noise", "words"),
    [
        (1.0, 0.1, "mag_r follows the request: R² 0.99"),
        (0.5, 0.7, "mag_r follows the request in part"),
        (0.0, 1.0, "mag_r does not follow the request"),
        (-3.8, 0.5, "mag_r runs against the request: R² 0.98"),
    ],
)
def test_numbers_in_words(slope: float, noise: float, words: str) -> None:
    text = followed("mag_r", number(slope, noise, number(1.0, 0.02)))
    assert words in text
    assert "catalogue against measured: R² 1.000" in text
    assert f"slope {slope:.1f}" in text.replace("slope -0", "slope 0") or slope < 0
    assert "with shuffled requests 0.00" in text


def test_a_few_galaxies_do_not_tell_whether_a_number_is_followed() -> None:
    for count, words in ((3, "Too few"), (9, "Too few"), (10, "mag_r follows")):
        asked = np.linspace(18, 22, count)
        entry = {"unit": "mag", **follow(asked, asked + 0.1), "real": None}
        assert followed("mag_r", entry).startswith(words)


def test_numbers_that_were_not_measured_in_words() -> None:
    assert "was not measured: no way" in followed("redshift", {"r2": None, "reason": "no way"})
    nothing = {"unit": "", **follow(np.ones(3), np.full(3, np.nan)), "real": None}
    assert "on none of 3 galaxies" in followed("ellipticity", nothing)
    alike = {"unit": "", **follow(np.ones(3), np.arange(3.0)), "real": None}
    assert "too seldom or alike" in followed("ellipticity", alike)
    assert agreed({"value": None, "reason": "so it is"}).endswith("not computed: so it is.")


def classes() -> dict[str, Any]:
    score = {"value": 3.0, "floor": 1.0, "interval": [2.0, 4.0], "z": 5.0, "n": 30}
    return {
        "a<b": {"metrics": {"frechet_physics": score}, "n_generated": 30, "n_real": 60},
        "c": {"metrics": {"frechet_physics": null("2 are <few>")}, "n_generated": 2, "n_real": 9},
    }


def test_classes_in_words() -> None:
    (text,) = by_class(classes())
    assert "a<b 3 (floor 1, z = +5.0, n = 30)" in text
    assert "too few galaxies of c" in text


def test_the_section_holds_tables_of_all_and_escapes_names() -> None:
    numbers = {"g-r": {**number(1.0, 0.1), "no_real": "measured <alike>"},
               "redshift": {"r2": None, "reason": "it is no band"}}  # fmt: skip
    result = {
        "classes": classes(),
        "conditions": {"agreement": judged(0.9, 0.95), "numbers": numbers},
    }
    page = "".join(section(result))
    assert page.count("<table>") == 3
    assert "a<b" not in page
    assert "<few>" not in page
    assert "<alike>" not in page
    for text in ("a&lt;b", "2 are &lt;few&gt;", "90.0%", "(95.0%)", "<b>90</b>", "it is no band",
                 "three networks", "2 real galaxies are too few"):  # fmt: skip
        assert text in page
    assert len(sentences(result)) == 4


def test_without_conditions_nothing_is_said() -> None:
    assert section({"metrics": {}}) == []
    assert sentences({"metrics": {}}) == []
    null_result = {"conditions": {"agreement": {"value": None, "reason": "x"}, "numbers": {}}}
    assert section(null_result) == []
    assert len(sentences(null_result)) == 1
    null_result["conditions"]["agreement"]["reason"] = NO_CLASSES
    assert sentences(null_result) == []
