"""The page holds everything, asks for nothing, and stays small."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from cards import Card, card, entry
from galgen.metrics.images import Images
from galgen.metrics.scorecard import null
from galgen.report.build import build
from galgen.report.html import render
from galgen.stretch import Stretch

LIMIT = 5_000_000


class Links(HTMLParser):
    """Collects every address that the page would load, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.identities: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "data", "action"}]
        self.identities += [v or "" for k, v in attrs if k == "id"]
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def one() -> Card:
    """One generator with classes."""
    return card(classes=True)


@pytest.fixture(scope="module")
def page(one: Card) -> str:
    return render(build(*one))


def test_the_page_is_whole_and_asks_for_nothing(page: str) -> None:
    links = Links()
    links.feed(page)
    assert links.open == []
    assert len(links.identities) == len(set(links.identities))
    inside = [a for a in links.addresses if not a.startswith("#")]
    assert len(inside) > 20
    assert all(a.startswith(("data:image/", "data:,")) for a in inside)
    assert {a[1:] for a in links.addresses if a.startswith("#")} <= set(links.identities)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg\")|@import|url\(", page)
    assert "default-src 'none'" in page


def test_what_users_named_is_escaped(page: str) -> None:
    assert "a &lt;b&gt; &amp; c" in page
    assert "<b>" not in page.replace("<i><b style", "")
    # Names of galaxies are read by the script as they are.
    text = re.search(r'id="numbers">(.*?)</script>', page)
    assert text is not None
    assert json.loads(text[1])["sets"][0]["names"][0] == "sky-0000 <b>"


def test_numbers_and_reasons_are_in_the_table(one: Card) -> None:
    found = one.result
    scores = {
        "frechet_galaxy": entry(12.0, 4.0, 9.0),
        "kid_galaxy": entry(0.00021, 0.0001, -4.0),
        "colour_magnitude": null("one band (I) has <no> colour"),
    }
    table = render(build(*one._replace(result={**found, "metrics": found["metrics"] | scores})))
    for text in ("12.0<small>10.8 to 13.2", '"z worse">+9.0', '"z closer">−4.0', "2.1e−4",
                 "one band (I) has &lt;no&gt; colour", "A note."):  # fmt: skip
        assert text in table
    for asked in ("Is it real?", "Is it physical?", "Is it new?"):
        assert table.count(asked) == 2  # an answer, and a part of the table


def test_points_are_the_measured_galaxies(one: Card, page: str) -> None:
    """Values that the script shows are those of the survey, and every finite one has its dot."""
    text = re.search(r'id="numbers">(.*?)</script>', page)
    assert text is not None
    told = json.loads(text[1])
    labels = [column["label"] for column in told["columns"]]
    assert labels[:2] == ["r magnitude", "g − r"]
    assert labels.count("r magnitude") == 1
    gini = labels.index("Gini coefficient")
    for number, survey in ((0, one.judged.real), (1, one.judged.fake)):
        shown = told["sets"][number]
        assert len(shown["names"]) == len(shown["detected"]) == len(shown["values"][0])
        magnitudes = [np.nan if v is None else v for v in shown["values"][0]]
        np.testing.assert_allclose(magnitudes, survey.columns["magnitude"], rtol=1e-3)
        assert shown["values"][gini][0] is None
    panel = page.split("<h3>Gini coefficient</h3>")[1].split("</svg>")[0]
    dots = panel.split('data-set="1"')[-1]
    assert 'data-k="0"' not in dots
    assert dots.count("<circle") == len(one.sets.fake) - 1
    assert "1 real, 1 generated" in page.split("<h3>Gini coefficient</h3>")[1].split("</figure>")[0]


def test_two_generators_side_by_side() -> None:
    text = render(build(*card(two=True)))
    assert text.count('class="s2" data-set="2"') >= 4  # legends
    assert "r3gan is nearer" not in text
    assert "dcgan is nearer" not in text.split("<header>")[0]
    assert '<span class="kind s1">dcgan</span>' in text
    assert text.count("<article") == 6
    for title in ("real", "dcgan", "r3gan"):
        assert f"<figcaption>{title}</figcaption>" in text


def test_one_band_has_no_colours_but_the_rest() -> None:
    text = render(build(*card(n=12, bands=("L",))))
    assert 'id="colours"' not in text
    assert 'id="properties"' in text
    assert 'id="spectra"' in text


def test_what_was_not_measured_is_left_out() -> None:
    """Without spectra, copies and box, and with a set of which nothing is detected."""
    sets, judged, result, _ = card(n=12)
    judged.copying, judged.box, judged.fake.spectra = None, None, None
    for name, column in judged.fake.columns.items():
        if name == "detected":
            column[:] = False
        else:
            column[:] = np.nan
    text = render(build(sets, judged, result))
    for section in ("colours", "spectra", "copies"):
        assert f'id="{section}"' not in text
    assert 'id="properties"' in text


@pytest.mark.parametrize(
    ("n", "size", "bands"),
    [
        (400, 16, ("g", "r")),
        pytest.param(12, 256, tuple("ugrizyj"), marks=pytest.mark.slow),
        pytest.param(400, 64, ("g", "r", "i"), marks=pytest.mark.slow),
    ],
)
def test_the_file_is_small_whatever_the_galaxies(n: int, size: int, bands: tuple[str, ...]) -> None:
    """Pictures of noise alone, which no compression makes smaller."""
    sets, judged, result, other = card(n=n, size=size, bands=bands, two=True, classes=True)
    assert other is not None
    noise = torch.randn(2 * n, *sets.spec.shape)
    sets.stretch = Stretch.fit(noise, "asinh")
    sets.real, sets.train = Images.of(noise), Images.of(noise)
    sets.fake = other[0].fake = Images.of(noise[:n])
    text = render(build(sets, judged, result, other))
    assert 800_000 < len(text.encode()) < LIMIT
