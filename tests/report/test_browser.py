"""The page in a real browser: no network, no error, and points that show their galaxies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cards import Card, card
from chromium import Browser, browser, find
from galgen.report.build import build
from galgen.report.html import render

pytestmark = pytest.mark.skipif(find() is None, reason="neither chromium nor google-chrome is here")

_CENTRE = """(() => {
  const dot = %s;
  dot.scrollIntoView({ block: "center", behavior: "instant" });
  const box = dot.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2, Number(dot.dataset.k)];
})()"""


@pytest.fixture(scope="module")
def two() -> Card:
    """Two generators with classes and numbers."""
    return card(two=True, classes=True)


@pytest.fixture(scope="module")
def address(two: Card, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(build(*two)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def opened(running: Browser, address: str) -> Browser:
    running.open(address)
    return running


@pytest.fixture
def page(opened: Browser) -> Browser:
    """With nothing shown and nothing kept."""
    opened.key("Escape")
    opened.mouse("Moved", 2, 2)
    return opened


def data(page: Browser) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.run("document.getElementById('numbers').textContent"))
    return found


def dot(page: Browser, section: str, number: int, place: int) -> tuple[float, float, int]:
    """Where a dot of a set is, and the row of its galaxy."""
    dots = f"document.querySelectorAll('#{section} .points.s{number} circle')[{place}]"
    x, y, row = page.run(_CENTRE % dots)
    return x, y, row


def alone(page: Browser, section: str, number: int) -> tuple[float, float, int]:
    """A dot that no other one lies near to."""
    place = page.run(
        f"""(() => {{
          const svg = document.querySelector('#{section} svg');
          const all = [...svg.querySelectorAll('.points circle')];
          const at = (dot) => [Number(dot.getAttribute('cx')), Number(dot.getAttribute('cy'))];
          const own = all.filter((dot) => dot.parentNode.dataset.set === '{number}');
          const free = (dot) => Math.min(...all.filter((other) => other !== dot).map((other) =>
            Math.hypot(at(dot)[0] - at(other)[0], at(dot)[1] - at(other)[1])));
          return own.map(free).indexOf(Math.max(...own.map(free)));
        }})()"""
    )
    return dot(page, section, number, place)


def test_it_loads_without_a_network_and_without_an_error(running: Browser, address: str) -> None:
    page = running
    page.open(address)
    page.click(*alone(page, "colours", 0)[:2])
    page.key("Escape")
    requests = [e["request"]["url"] for e in page.of("Network.requestWillBeSent")]
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert page.of("Runtime.exceptionThrown") == []
    assert page.of("Log.entryAdded") == []
    assert [
        e for e in page.of("Runtime.consoleAPICalled") if e["type"] in {"error", "warning"}
    ] == []
    broken = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
    assert page.run(broken) == 0


@pytest.mark.parametrize(
    ("section", "number"),
    [("colours", 0), ("colours", 1), ("colours", 2), ("properties", 2), ("asked", 1)],
)
def test_a_dot_shows_its_galaxy_and_keeps_it(page: Browser, section: str, number: int) -> None:
    x, y, row = alone(page, section, number)
    told = data(page)["sets"][number]
    assert page.run("document.getElementById('tip').hidden")
    page.mouse("Moved", x, y)
    assert not page.run("document.getElementById('tip').hidden")
    assert page.run("document.querySelector('#tip strong').textContent") == told["names"][row]
    assert page.run("document.querySelector('#tip .kind').textContent") == told["title"]
    page.click(x, y)
    page.mouse("Moved", 2, 2)
    assert page.run("document.getElementById('tip').hidden")
    assert not page.run("document.getElementById('panel').hidden")
    assert page.run("document.querySelector('#panel strong').textContent") == told["names"][row]
    rows = page.run("document.querySelectorAll('#panel tr').length")
    assert rows == len(data(page)["columns"])
    page.key("Escape")
    assert page.run("document.getElementById('panel').hidden")


def test_the_thumbnail_is_the_galaxys_own(page: Browser) -> None:
    x, y, row = alone(page, "colours", 1)
    page.mouse("Moved", x, y)
    told = data(page)["sets"][1]
    tile, across = told["tile"], told["across"]
    off = page.run(
        f"""(() => {{
          const sheet = document.getElementById('sheet-1');
          const canvas = document.createElement('canvas');
          const shown = document.querySelector('#tip canvas');
          canvas.width = canvas.height = shown.width;
          const context = canvas.getContext('2d');
          context.imageSmoothingEnabled = {"true" if tile > 24 else "false"};
          const mean = (place) => {{
            const at = [place % {across} * {tile}, Math.floor(place / {across}) * {tile}];
            context.drawImage(sheet, ...at, {tile}, {tile}, 0, 0, canvas.width, canvas.height);
            const size = [0, 0, canvas.width, canvas.height];
            const one = context.getImageData(...size).data;
            const two = shown.getContext('2d').getImageData(...size).data;
            return one.reduce((sum, value, k) => sum + Math.abs(value - two[k]), 0) / one.length;
          }};
          return [mean({row}), mean({row} === 0 ? 1 : 0)];
        }})()"""
    )
    assert off[0] < 0.5 < 2 < off[1]


def test_by_keyboard_alone(page: Browser) -> None:
    page.run("document.querySelector('#colours svg').focus()")
    page.key("ArrowRight")
    first = page.run("document.querySelector('#tip strong').textContent")
    page.key("ArrowRight")
    second = page.run("document.querySelector('#tip strong').textContent")
    assert first != second
    page.key("Enter")
    assert page.run("document.querySelector('#panel strong').textContent") == second
    page.key("Escape")
    assert page.run("document.getElementById('panel').hidden")
    assert page.run("document.getElementById('tip').hidden")


def test_a_legend_hides_its_set_everywhere(page: Browser) -> None:
    button = "document.querySelector('#properties .legend button.s1')"
    x, y, _ = alone(page, "colours", 1)

    def seen(section: str, number: int) -> bool:
        group = f"document.querySelector('#{section} .points.s{number}')"
        return bool(page.run(f"{group}.getBoundingClientRect().width > 0"))

    page.run(f"{button}.click()")
    assert page.run(f"{button}.getAttribute('aria-pressed')") == "false"
    for section in ("colours", "properties"):
        assert [seen(section, number) for number in range(3)] == [True, False, True]
    page.mouse("Moved", x, y)
    assert page.run("document.getElementById('tip').hidden")
    page.run("document.querySelector('#colours .legend button.s1').click()")
    assert page.run(f"{button}.getAttribute('aria-pressed')") == "true"
    assert seen("colours", 1)


@pytest.mark.parametrize("width", [400, 1200])
def test_it_fits_the_window(running: Browser, address: str, width: int) -> None:
    running.open(address, width, dark=True)
    assert running.run("document.documentElement.scrollWidth") <= width
    # The names of sections lead to them.
    links = running.run("[...document.querySelectorAll('nav a')].map((a) => a.hash)")
    assert len(links) >= 7
    assert all(running.run(f"document.querySelector('{link}') !== null") for link in links)
