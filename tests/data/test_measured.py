"""Measured numbers are taken once, kept, and never mistaken for others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.data import measured as kept
from galgen.data import sersic
from galgen.data.sets import open_set
from galgen.measure import quantities

# The fixture of all tests puts another in its place.
CACHE_FOLDER = kept.cache_folder
NAMES = ("mag_r", "g-r", "r_half")
SPEC = sersic.spec(size=16)
FLUX = sersic.simulate(24, seed=3, size=16)[0]


class Counting:
    """Stands before `measure_numbers` and counts the galaxies that pass."""

    def __init__(self) -> None:
        self.galaxies = 0

    def __call__(self, flux: Any, spec: ImageSpec, names: Sequence[str]) -> NDArray[np.float64]:
        self.galaxies += len(flux)
        return MEASURE(flux, spec, names)


MEASURE = quantities.measure_numbers


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Counts what is measured, with an empty cache in ``tmp_path/cache``."""
    counted = Counting()
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(kept, "_CHUNK", 10)
    monkeypatch.setattr(quantities, "measure_numbers", counted)
    return counted


def taken(
    flux: NDArray[np.float32] = FLUX, spec: ImageSpec = SPEC, names: Sequence[str] = NAMES
) -> NDArray[np.float64]:
    return kept.measured(range(len(flux)), spec, names, lambda rows: flux[list(rows)])


def test_the_second_time_nothing_is_measured_and_every_bit_is_the_same(counting: Counting) -> None:
    first = taken()
    assert counting.galaxies == 24
    assert np.array_equal(first, MEASURE(FLUX, SPEC, NAMES), equal_nan=True)
    again = taken()
    assert counting.galaxies == 24
    assert again.tobytes() == first.tobytes()


def test_whatever_numbers_follow_from_is_measured_anew(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken()
    other = FLUX.copy()
    other[3, 0, 5, 5] += 1e-4
    taken(other)
    assert counting.galaxies == 24 + 10
    seen = counting.galaxies
    taken(spec=SPEC.replace(pixel_scale=0.5))
    taken(names=NAMES[:2])
    taken(names=NAMES[::-1])
    monkeypatch.setattr(kept, "_method", lambda: b"another photometry")
    taken()
    assert counting.galaxies == seen + 4 * 24


@pytest.mark.parametrize("harm", [b"", b"short", None])
def test_damaged_files_are_measured_again(
    counting: Counting, tmp_path: Path, harm: bytes | None
) -> None:
    first = taken()
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 3
    for file in files:
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(bytes(content) if harm is None else harm)
    assert np.array_equal(taken(), first)
    assert counting.galaxies == 48
    taken()
    assert counting.galaxies == 48


def test_without_a_place_for_it_all_works(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file" / "cache", None):
        monkeypatch.setattr(kept, "cache_folder", lambda folder=folder: folder)
        assert np.isfinite(taken()).mean() > 0.8
    assert counting.galaxies == 48


def test_a_set_is_measured_once_whatever_opens_it(counting: Counting) -> None:
    first = open_set("sersic", count=12, size=16, condition="measure:mag_r")
    second = open_set("sersic", count=12, size=16, condition="measure:mag_r")
    assert counting.galaxies == 12
    assert first.values is not None
    assert second.values is not None
    assert first.values.tobytes() == second.values.tobytes()
    open_set("sersic", count=12, size=16, seed=1, condition="measure:mag_r")
    assert counting.galaxies == 24


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CACHE_FOLDER() == tmp_path / "galgen" / "measured"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/someone")
    assert CACHE_FOLDER() == Path("/home/someone/.cache/galgen/measured")


@pytest.mark.usefixtures("counting")
def test_slow_measuring_says_how_far_it_has_got(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = iter(np.arange(0, 1000, 4.0))
    monkeypatch.setattr(kept, "monotonic", lambda: float(next(clock)))
    with caplog.at_level(logging.INFO, logger="galgen.measuring"):
        taken(np.concatenate([FLUX] * 3))
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "measuring mag_r, g-r, r_half: 10 of 72 galaxies, about 25 s left"
    assert 2 <= len(said) <= 4
    monkeypatch.setattr(kept, "monotonic", lambda: 0.0)
    caplog.clear()
    taken(FLUX + 1)
    assert not caplog.records


def test_the_commands_say_it_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    console = pytest.importorskip("galgen_cli.console")
    console.Talk()
    console.Talk()
    kept.LOG.info("measuring mag_r: 5 of 9 galaxies")
    streams = capsys.readouterr()
    assert streams.err == "measuring mag_r: 5 of 9 galaxies\n"
    assert not streams.out
