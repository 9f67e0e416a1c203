"""Diagrams of good and of poor numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cards import Card, card
from galgen.metrics.colour_magnitude import fit_box
from galgen.metrics.conditional import Following
from galgen.report import svg
from galgen.report.build import build
from galgen.report.figures import Figure, colour_magnitude, following, histogram, spectra
from galgen.report.galaxies import Album


@pytest.fixture(scope="module")
def one() -> Card:
    return card()


@pytest.fixture(scope="module")
def albums(one: Card) -> list[Album]:
    return list(build(*one).albums)


def dots(figure: Figure, number: int) -> list[tuple[int, float, float, bool]]:
    """Row, place and whether on the rim of a set's dots."""
    group = ElementTree.fromstring(figure.drawing).find(f".//g[@class='points s{number}']")
    assert group is not None
    return [
        (int(c.get("data-k", "")), float(c.get("cx", "")), float(c.get("cy", "")),
         c.get("class") == "rim")
        for c in group
    ]  # fmt: skip


def test_ticks_are_round_and_few() -> None:
    assert [t for _, t in svg.ticks(-0.03, 0.31, 5)] == ["0.0", "0.1", "0.2", "0.3"]
    assert [t for _, t in svg.ticks(-3, 3, 4)] == ["−2", "0", "2"]
    for low, high in ((0, 1e-9), (1e6, 3e6), (18.2, 18.21), (-5e3, 5e3)):
        found = svg.ticks(low, high, 5)
        assert 2 <= len(found) <= 5
        assert all(low - 1e-9 * (high - low) <= v <= high for v, _ in found)
        assert len({text for _, text in found}) == len(found)


def test_axes_of_anything_are_finite() -> None:
    for values in ([], [np.nan], [3.0, 3.0], [0.0]):
        low, high = svg.limits([np.array(values)])
        assert high > low
        assert svg.ticks(low, high)


def test_points_lie_where_their_numbers_are(albums: list[Album]) -> None:
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(len(a.rows), 2)) for a in albums]
    points[1][3] = np.nan
    points[1][4] = 1e3
    points[1][5], points[1][6] = (0.0, 0.0), (1.0, 1.0)
    figure = colour_magnitude(albums, points, fit_box(points[0]), ("r", "g - r"), "What it is.")
    found = {row: (x, y, rim) for row, x, y, rim in dots(figure, 1)}
    assert len(found) == len(albums[1].rows) - 1
    assert 3 not in found
    assert "1 not measured" in figure.caption
    # Fainter is to the right, redder is up; what lies beyond is on the rim.
    assert found[6][0] > found[5][0]
    assert found[6][1] < found[5][1]
    assert found[4][2]
    assert not found[5][2]
    assert max(x for x, _, _ in found.values()) == found[4][0]
    assert min(y for _, y, _ in found.values()) == found[4][1]


def test_the_box_holds_what_lies_in_it(albums: list[Album]) -> None:
    rng = np.random.default_rng(1)
    points = [rng.normal(size=(len(a.rows), 2)) for a in albums]
    box = fit_box(points[0])
    figure = colour_magnitude(albums, points, box, ("r", "g - r"), "")
    path = re.search(r'class="box" d="M([^"]*)"', figure.drawing)
    assert path is not None
    corners = np.array([part.split() for part in path[1].split("L")], dtype=float)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    inside = box.inside(points[1])
    for row, x, y, _ in dots(figure, 1):
        assert (left - 0.1 <= x <= right + 0.1 and top - 0.1 <= y <= bottom + 0.1) == inside[row]


def test_poor_numbers_still_make_a_drawing(albums: list[Album]) -> None:
    n, m = len(albums[0].rows), len(albums[1].rows)
    nothing, alike = (np.full(n, np.nan), np.full(m, np.nan)), (np.ones(n), np.ones(m))
    names = ["real", "generated"]
    for values in (nothing, alike, (np.arange(n) * 1.0, nothing[1])):
        ElementTree.fromstring(histogram("x", values, albums, names).drawing)
    good = np.random.default_rng(0).normal(size=m)
    for pair in (
        Following(good, good + 0.1, None, None, "mag"),
        Following(good, nothing[1], None, None, "mag"),
        Following(np.ones(m), np.ones(m), np.ones(n), np.ones(n), ""),
        Following(nothing[1], nothing[1], nothing[0], nothing[0], ""),
    ):
        ElementTree.fromstring(following("mag_r", pair, albums).drawing)
    empty = np.full((m, 2), np.nan)
    box = fit_box(np.random.default_rng(0).normal(size=(50, 2)))
    figure = colour_magnitude(albums, [np.full((n, 2), np.nan), empty], box, ("a<", "b"), "")
    assert dots(figure, 1) == []
    for rings in (1, 8):
        flat = spectra(names, [np.zeros((4, rings)), np.zeros((4, rings))])
        assert "nan" not in flat.drawing


def test_what_is_asked_for_and_measured_lies_on_the_line(albums: list[Album]) -> None:
    asked = np.linspace(18, 22, len(albums[1].rows))
    figure = following("mag_r", Following(asked, asked, None, None, "mag"), albums)
    path = re.search(r'class="box" d="M([^"]*)"', figure.drawing)
    assert path is not None
    (x0, y0), (x1, y1) = np.array([part.split() for part in path[1].split("L")], dtype=float)
    for _, x, y, rim in dots(figure, 1):
        assert rim or y == pytest.approx(y0 + (x - x0) * (y1 - y0) / (x1 - x0), abs=0.2)
