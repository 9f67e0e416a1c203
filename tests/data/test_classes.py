"""Classes that become one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.data.sets import open_set
from galgen.errors import ConfigError
from tiny import classes_folder

COUNTS = {"clockwise": 5, "anticlockwise": 6, "elliptical": 9}


def test_classes_become_one(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "galaxies", COUNTS)
    plain = open_set(folder)
    told = "sub-folders are classes: anticlockwise, clockwise, elliptical."
    assert told in plain.notes
    assert told not in open_set(folder, labels="none").notes
    assert plain.classes == ("anticlockwise", "clockwise", "elliptical")
    assert any("mirror images" in note for note in plain.notes)
    merged = open_set(folder, merge={"spiral": ["clockwise", "anticlockwise"]})
    assert merged.classes == ("elliptical", "spiral")
    assert np.bincount(merged.labels).tolist() == [9, 11]
    assert not any("mirror images" in note for note in merged.notes)
    for k, name in enumerate(plain.names):
        before, after = plain.classes[plain.labels[k]], merged.classes[merged.labels[k]]
        assert merged.names[k] == name
        assert after == ("elliptical" if before == "elliptical" else "spiral")


def test_one_may_keep_its_name(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "galaxies", COUNTS)
    data = CutoutDataModule(folder, merge={"clockwise": ["clockwise", "anticlockwise"]})
    assert data.conditions.classes == ("clockwise", "elliptical")


def test_all_in_one_are_no_classes(tmp_path: Path) -> None:
    folder = classes_folder(tmp_path / "galaxies", COUNTS)
    data = CutoutDataModule(folder, merge={"any": list(COUNTS)})
    assert not data.conditions
    assert data.cutouts.notes[-1].startswith("data.merge makes every class any: without a second")


@pytest.mark.parametrize(
    "merge", ["FRI", {"AGN": "FRI"}, ["FRI"], {"AGN": [1.5, None]}, {"AGN": 1}]
)
def test_what_merge_must_read(merge: object) -> None:
    with pytest.raises(ConfigError, match=r"^data\.merge: .*data\.merge=\{AGN: \[FRI, FRII\]\}"):
        RunConfig.build({"data.merge": merge})
    assert RunConfig.build({"data.merge": {"odd": [3, 7]}}).data.merge == {"odd": ("3", "7")}


@pytest.mark.parametrize(
    ("merge", "words"),
    [
        ({"spiral": ["clockwize"]}, "has no class 'clockwize': did you mean clockwise"),
        ({"spiral": ["Sc"]}, "it has anticlockwise, clockwise, elliptical"),
        ({"a": ["clockwise"], "b": ["clockwise"]}, "'clockwise' into two classes"),
    ],
)
def test_bad_input(tmp_path: Path, merge: dict[str, list[str]], words: str) -> None:
    folder = classes_folder(tmp_path / "galaxies", COUNTS)
    with pytest.raises(ConfigError, match=words):
        open_set(folder, merge=merge)
    with pytest.raises(ConfigError, match="no classes to merge"):
        open_set("sersic", count=4, merge=merge)


def test_the_spirals_of_galaxy_zoo(real_data: Callable[[str], Path]) -> None:
    both = {"spiral": ["spiral_clockwise", "spiral_anticlockwise"]}
    cutouts = open_set(
        real_data("gz1_jpg"), size=16, crop=160, labels="labels.csv:label", merge=both, count=60
    )
    assert set(cutouts.classes) <= {"edge_on", "elliptical", "merger", "spiral"}
