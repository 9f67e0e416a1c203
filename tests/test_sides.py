"""What is known of both sides of an evaluation."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table

from galgen.bands import ImageSpec
from galgen.config import RunConfig
from galgen.data import sets
from galgen.errors import ConfigError
from galgen.metrics.matching import match
from galgen.sides import from_folder, real_set
from judged import galaxies


def test_match_brings_fluxes_to_one_zero_point() -> None:
    fake = ImageSpec(8, ("r", "g"), "nanomaggy", (22.5, 22.5))
    real = ImageSpec(10, ("G", "R"), "count", (27.0, 25.0))
    matched = match(fake, real)
    flux = torch.ones(1, 2, 10, 10)
    # 2.5 mag are a factor of 10: m = 25 for one count in R is 0.1 nanomaggies.
    brought = matched.real(flux)
    assert brought.shape == (1, 2, 8, 8)
    assert brought[0, :, 0, 0].tolist() == pytest.approx([0.1, 10 ** (-0.4 * 4.5)])
    assert matched.spec.bands == ("r", "g")
    assert len(matched.notes) == 2
    unknown = match(fake, real.replace(zero_points=(None, None)))
    assert unknown.gain == (1.0, 1.0)
    assert "without zero points" in unknown.notes[-1]


@pytest.mark.parametrize(
    ("real", "words"),
    [
        (ImageSpec(8, ("z", "y")), "none in common"),
        (ImageSpec(8, ("g", "r"), display=True), "display pictures"),
    ],
)
def test_sets_that_cannot_be_compared(real: ImageSpec, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        match(ImageSpec(8, ("g", "r")), real)


@pytest.mark.parametrize("labels", [[""] * 4, ["", "nan", "d", "B"]])
def test_blank_labels_of_a_catalogue_are_no_class(workdir: Path, labels: list[str]) -> None:
    names = [f"galaxy_{k}.fits" for k in range(4)]
    for name, cube in zip(names, galaxies(4, 2), strict=True):
        fits.writeto(workdir / name, cube, fits.Header({"BANDS": "g,r"}))
    Table({"file": names, "label": labels}).write(workdir / "catalogue.fits")
    made = from_folder(sets.open_set(str(workdir)), 4, 0)
    if any(labels):
        assert made.classes == ("B", "d")
        assert made.labels is not None
        assert made.labels.tolist() == [-1, -1, 1, 0]
    else:
        assert (made.classes, made.labels) == ((), None)


def test_classes_that_a_run_merged_are_merged_in_the_real_set_too(workdir: Path) -> None:
    for place, cube in enumerate(galaxies(12, 2, seed=3)):
        folder = workdir / "sky" / ("E", "S0", "Sp")[place % 3]
        folder.mkdir(parents=True, exist_ok=True)
        fits.writeto(folder / f"{place:03d}.fits", cube, fits.Header({"BANDS": "g,r"}))
    trained = RunConfig.build(
        {"data.source": str(workdir / "sky"), "data.merge": {"early": ["E", "S0"]}}
    ).to_dict()
    model: Any = SimpleNamespace(path="run", config=trained, spec=SimpleNamespace(bands=("g", "r")))
    real = real_set(model, None, {}, 0)
    assert real.classes == ("Sp", "early")
    assert real.labels is not None
    assert np.bincount(real.labels).tolist() == [4, 8]
