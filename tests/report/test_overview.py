"""The overview of samples stands in the order of what was asked of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from galgen.bands import ImageSpec
from galgen.conditions import Conditions, Number
from galgen.models.requests import Asked, Request
from galgen.report.overview import Overview
from galgen.stretch import Stretch

CLASSES = Conditions(("edge", "round", "spiral"), (1, 1, 1))
NUMBERS = Conditions(numbers=(Number("size"), Number("colour")))


def flat(overview: Overview) -> list[int]:
    return [place for row in overview.places for place in row]


def test_a_class_has_its_rows_and_its_name_once() -> None:
    told = [Asked(CLASSES.classes[k % 2]) for k in range(70)]
    overview = Overview.of(CLASSES, told, Request())
    # Two classes share eight rows.
    assert [len(row) for row in overview.places] == [8, 8, 8, 8, 8, 8, 8, 8]
    assert overview.names == ["edge", "", "", "", "round", "", "", ""]
    assert overview.places[0] == list(range(0, 16, 2))
    assert overview.places[4] == list(range(1, 17, 2))
    three = [Asked(CLASSES.classes[min(k, 2)]) for k in range(20)]
    overview = Overview.of(CLASSES, three, Request())
    assert overview.names == ["edge", "round", "spiral", ""]
    assert [len(row) for row in overview.places] == [1, 1, 8, 8]


def test_one_class_and_none_stand_as_they_come() -> None:
    for told in ([Asked("edge")] * 70, [Asked()] * 70):
        overview = Overview.of(CLASSES, told, Request())
        assert overview.names == []
        assert flat(overview) == list(range(64))
    many = Conditions(tuple(f"class {k}" for k in range(17)), (1,) * 17)
    assert Overview.of(many, [Asked(name) for name in many.classes], Request()).names == []


def test_numbers_rise_along_the_rows() -> None:
    values = np.random.default_rng(0).permutation(20)
    told = [Asked(None, {"size": float(v), "colour": float(-v)}) for v in values]
    overview = Overview.of(NUMBERS, told, Request())
    order = flat(overview)
    assert [values[place] for place in order] == list(range(20))
    assert overview.names == ["size 0 to 7", "size 8 to 15", "size 16 to 19"]
    asked = Overview.of(NUMBERS, told, Request(where={"colour": (-20.0, 0.0)}))
    assert [values[place] for place in flat(asked)] == list(range(19, -1, -1))
    assert asked.names[0] == "colour -19 to -12"
    same = [Asked(None, {"size": 3.0, "colour": 1.0})] * 5
    assert Overview.of(NUMBERS, same, Request()).names == []


def test_within_a_class_too() -> None:
    both = Conditions(CLASSES.classes, CLASSES.counts, NUMBERS.numbers)
    told = [Asked(("edge", "round")[k % 2], {"size": float(-k), "colour": 0.0}) for k in range(6)]
    overview = Overview.of(both, told, Request())
    assert overview.places == [[4, 2, 0], [5, 3, 1]]
    assert overview.names == ["edge", "round"]


@pytest.mark.parametrize("classes", [True, False])
def test_the_picture(tmp_path: Path, classes: bool) -> None:
    labels = ["edge", "round", "round"] if classes else [None] * 3
    overview = Overview.of(CLASSES, [Asked(label) for label in labels], Request())
    flux = {k: torch.full((3, 16, 16), 50.0 * (k + 1)) for k in range(3)}
    spec = ImageSpec(16, ("R", "G", "B"), display=True)
    stretch = Stretch.fit(torch.stack(list(flux.values())), "linear")
    path = overview.draw(flux, spec, stretch, tmp_path / "overview.png")
    sheet = np.asarray(Image.open(path))[:, :, 0]
    right = sheet.shape[1] - 2
    if classes:
        left = right - 2 * 98
        values = sheet[[50, 50, 148, 148], [left + 50, right - 50, left + 50, right - 50]]
        # Grey where the class has no more galaxies.
        assert values.tolist() == [50, 40, 100, 150]
    else:
        assert sheet[50, [50, 148, 246]].tolist() == [50, 100, 150]
