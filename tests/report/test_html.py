"""The page holds everything, asks for nothing, and says what the scores mean."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from galgen.metrics.colour_magnitude import fit_box
from galgen.metrics.scorecard import null
from galgen.report.diagrams import colour_magnitude_png, histograms_png
from galgen.report.html import Pair, Report, render
from galgen.report.verdict import verdict

PNG = b"\x89PNG\r\n"


def entry(value: float, floor: float, z: float | None) -> dict[str, Any]:
    return {"value": value, "floor": floor, "interval": [value * 0.9, value * 1.1], "z": z, "n": 90}


def result(**scores: Any) -> dict[str, Any]:
    metrics = {
        "frechet_physics": entry(12.0, 4.0, 9.0),
        "colour_magnitude": entry(0.82, 0.83, 0.3),
        "nearest_training": entry(0.93, 1.01, 1.0),
    }
    return {
        "metrics": metrics | scores,
        "generated": {"source": "a <b> & c", "name": "dcgan", "n": 90, "digest": "ab" * 32,
                      "images": 5000},
        "real": {"source": "hubble", "name": "hubble", "n": 300},
        "size": 16, "bands": ["g", "r"], "seed": 0, "details": {}, "notes": ["A note."],
        "version": "0",
    }  # fmt: skip


def pictures(n: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 255, (n, size, size, 3)).astype(np.uint8)


class Links(HTMLParser):
    """Collects every address that the page would load, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "data", "action"}]
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(**changes: Any) -> str:
    both = pictures(2)
    pair = Pair(both[0], both[1], "galaxy 3 and <m31>: 0.01")
    return render(Report(result(**changes), pictures(12), pictures(12), [("D", PNG, "C")], [pair]))


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    text = page()
    links = Links()
    links.feed(text)
    assert links.open == []
    assert len(links.addresses) == 4
    assert all(a.startswith("data:image/") for a in links.addresses)
    assert "<script" not in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_what_users_named_is_escaped() -> None:
    text = page()
    assert "a &lt;b&gt; &amp; c" in text
    assert "&lt;m31&gt;" in text
    assert "<m31>" not in text


def test_numbers_and_reasons_are_in_the_table() -> None:
    text = page(colour_magnitude=null("one band (I) has no colour"))
    assert "one band (I) has no colour" in text
    for number in ("12", "+9.0", "10.8 to 13.2", "0.93", "1.01", "A note."):
        assert number in text


def test_large_images_do_not_make_a_large_file() -> None:
    report = Report(result(), pictures(8, 256), pictures(8, 256))
    assert len(render(report)) < 5_000_000


@pytest.mark.parametrize(
    ("name", "score", "words"),
    [
        ("frechet_physics", entry(12.0, 4.0, 9.0), "can be told from the real one"),
        ("frechet_physics", entry(4.1, 4.0, 0.2), "no more than a second real sample"),
        ("frechet_physics", null("too few"), "not computed: too few"),
        ("colour_magnitude", entry(0.2, 0.83, 12.0), "colours are off: 20.0%"),
        ("colour_magnitude", entry(0.85, 0.83, -0.4), "look right: 85.0%"),
        ("colour_magnitude", entry(0.99, 0.83, -5.0), "vary less than real ones do: 99.0%"),
        ("colour_magnitude", {**entry(0.1, 0.3, 0.8), "n": 3}, "Too few real galaxies (3 a side)"),
        ("frechet_physics", {**entry(9.0, 8.0, 0.5), "n": 3}, "Too few real galaxies to tell"),
        ("colour_magnitude", null("one band"), "does not apply: one band"),
        ("precision_physics", entry(0.5, 0.9, 8.0), "like no real one: 50.0%"),
        ("precision_physics", entry(0.9, 0.9, 0.1), "Generated galaxies are like real ones: 90.0%"),
        ("precision_physics", null("6 images"), "Precision was not computed: 6 images"),
        ("recall_physics", entry(0.2, 0.9, 8.0), "vary less than real ones: 20.0%"),
        ("recall_physics", entry(0.95, 0.9, -4.0), "vary as real ones do: 95.0%"),
        ("coverage_physics", entry(0.3, 0.9, 8.0), "have no generated one like them: 30.0%"),
        (
            "coverage_physics",
            {**entry(0.8, 0.9, 0.5), "n": 8},
            "Too few real galaxies to judge cov",
        ),
        ("nearest_training", entry(0.02, 1.0, 8.0), "nearer to training images than real ones"),
        ("nearest_training", entry(1.0, 1.0, 0.0), "No sign of copying"),
        ("nearest_training", entry(1.0, 1.0, None), "No sign of copying"),
        ("nearest_training", {**entry(1.0, 1.0, 0.0), "n": 6}, "Too few galaxies were held out"),
        ("nearest_training", null("nothing held out"), "not made: nothing held out"),
    ],
)
def test_verdict_in_words(name: str, score: dict[str, Any], words: str) -> None:
    judged = result(**{name: score})
    sentences = verdict(judged)
    assert len(sentences) == len(judged["metrics"])
    assert any(words in s for s in sentences)


def test_diagrams_are_pictures_even_of_poor_points() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(50, 2)), rng.normal(size=(30, 2))
    fake[:5] = np.nan
    assert colour_magnitude_png(real, fake, fit_box(real), ("r", "g - r")).startswith(PNG)
    nothing = np.full((9, 2), np.nan)
    assert colour_magnitude_png(real, nothing, fit_box(real), ("r", "g - r")).startswith(PNG)
    panels = {"a": (real[:, 0], fake[:, 0]), "b": (nothing[:, 0], nothing[:, 1]),
              "c": (np.ones(4), np.ones(4))}  # fmt: skip
    assert histograms_png(panels).startswith(PNG)
