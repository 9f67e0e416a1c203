"""Sweeps: one thing varied and the rest held, each cell the sample of what its column says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galgen.callbacks.pictures import write_grid
from galgen.checkpoint import TrainedModel
from galgen.errors import ConfigError, OutputError
from galgen.io.header import read_provenance
from galgen.models.requests import Request
from galgen.models.sampling import Look
from galgen.models.sweeping import base, code_settings, parse_axis, render, usual_axis
from galgen.nn.condition import category
from galgen.report.pictures import composite
from galgen.sweep import sweep
from test_styles import model, pixels

PAIRS = ["dcgan", "stylegan2"]
CLASSES = ("edge", "round", "spiral")


def cells(source: TrainedModel, what: str, folder: Path, **more: Any) -> np.ndarray:
    """Fluxes (rows, columns, bands, y, x) of the files."""
    swept = sweep(source, what, formats=["fits"], out=folder, **more)
    found = np.stack([pixels(folder / name) for name in swept.files])
    return found.reshape(len(swept.numbers), len(swept.values), *found.shape[1:])


@pytest.mark.parametrize("pair", PAIRS)
def test_a_number_is_varied_and_everything_else_held(tmp_path: Path, pair: str) -> None:
    source = model(tmp_path, pair, CLASSES, ("size", "colour"))
    got = cells(source, "size=2..5", tmp_path / "out", n=3, steps=4, start=31, seed=2)
    rows = source.module.sample_conditions([31, 32, 33], 2)
    assert rows is not None
    labels, values = source.module.conditions.decode(rows.numpy())
    for i in range(3):
        for k, size in enumerate((2, 3, 4, 5)):
            held = source.module.conditions.encode(labels, [(size, v[1]) for v in values])
            ((_, want),) = source.module.stream([31 + i], torch.from_numpy(held[i : i + 1]), 2)
            assert np.array_equal(got[i, k], want[0].numpy())
    assert not np.array_equal(got[0, 0], got[0, 1])
    facts = read_provenance(tmp_path / "out/sweep_000032_02.fits")
    assert (facts["index"], facts["sweep"], facts["sweep_value"]) == (32, "size", 4.0)
    assert facts["label"] == CLASSES[labels[1]]
    assert facts["conditions"]["size"] == 4.0
    assert facts["conditions"]["colour"] == pytest.approx(values[1, 1], abs=1e-4)
    table = Table.read(tmp_path / "out/catalogue.fits")
    assert list(table["sample"]) == [31] * 4 + [32] * 4 + [33] * 4
    assert list(table["size_requested"]) == list(table["sweep_value"]) == [2, 3, 4, 5] * 3


@pytest.mark.parametrize("pair", PAIRS)
def test_a_column_of_classes_is_what_the_label_draws(tmp_path: Path, pair: str) -> None:
    source = model(tmp_path, pair, CLASSES)
    got = cells(source, "label", tmp_path / "out", n=2, start=5, truncation=0.7)
    assert got.shape[:2] == (2, 3)
    for k, name in enumerate(CLASSES):
        want = source.sample(2, start=5, label=name, truncation=0.7)
        assert np.array_equal(got[:, k], want.numpy())
    header = fits.getheader(tmp_path / "out/sweep_000005_02.fits")
    assert (header["LABEL"], header["SWEEPVAL"], header["TRUNC"]) == ("spiral", "spiral", 0.7)
    assert list(Table.read(tmp_path / "out/catalogue.fits")["label"]) == [*CLASSES] * 2


def test_a_sweep_of_what_is_asked_for_holds_it(tmp_path: Path) -> None:
    source = model(tmp_path, "dcgan", CLASSES, ("size", "colour"))
    asked = {"label": "round", "where": "colour=3"}
    got = cells(source, "size", tmp_path / "out", n=2, steps=3, **asked)
    told = [read_provenance(tmp_path / f"out/sweep_000001_{k:02d}.fits") for k in range(3)]
    assert {fact["label"] for fact in told} == {"round"}
    assert {fact["conditions"]["colour"] for fact in told} == {3.0}
    number = source.module.conditions.numbers[0]
    ends = [fact["conditions"]["size"] for fact in (told[0], told[-1])]
    assert ends == pytest.approx([number.low, number.high], abs=0.01)
    want = source.sample(2, label="round", where={"colour": 3, "size": ends[1]})
    assert np.allclose(got[:, 2], want.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", PAIRS)
def test_codes_are_numbers_of_the_latent(tmp_path: Path, pair: str) -> None:
    source = model(tmp_path, pair, codes=2, categories=3)
    network = source.module.average.network
    for what, place, values in (
        ("code2", 1, (-2.0, 0.0, 2.0)),
        ("code1=-1..0.5", 0, (-1.0, -0.25, 0.5)),
    ):
        folder = tmp_path / what
        got = cells(source, what, folder, n=2, steps=3)
        renderer = source.module.renderer(0)
        z = renderer.latents([0, 1])
        for k, value in enumerate(values):
            z[:, place] = value
            w = network.spread(network.map(z)) if source.module.has_styles else z
            want = renderer.images(w, None, [0, 1], [0, 1]).numpy()
            assert np.allclose(got[:, k], want, rtol=1e-4, atol=1e-6)
        assert fits.getheader(folder / "sweep_000001_00.fits")["SWEEPVAL"] == values[0]
    got = cells(source, "category", tmp_path / "category", n=2)
    for row in got:
        assert not any(np.allclose(row[k], row[k - 1], rtol=1e-3) for k in range(3))
    assert [fits.getheader(tmp_path / f"category/sweep_000000_0{k}.fits")["SWEEPVAL"]
            for k in range(3)] == [0, 1, 2]  # fmt: skip


def test_each_category_is_met_and_none_is_lost_to_truncation(tmp_path: Path) -> None:
    source = model(tmp_path, "dcgan", codes=1, categories=4)
    axis = parse_axis("category", source.module, 8)
    seen: list[int] = []
    network = source.module.average.network
    forward = network.forward
    network.forward = lambda z, *rest: (  # type: ignore[method-assign]
        seen.append(int(category(z, code_settings(source.module))[0])), forward(z, *rest)
    )[1]  # fmt: skip
    render(source.module, source.module.renderer(0, Look(0.3)), axis, [0], None)
    assert seen == [0, 1, 2, 3]


def test_the_picture_has_a_sample_a_row_and_its_values_on_top(tmp_path: Path) -> None:
    source = model(tmp_path, "dcgan", numbers=("size",))
    swept = sweep(source, "size", out=tmp_path / "out")
    assert (swept.numbers, len(swept.values), swept.files) == ((0, 1, 2, 3), 8, ())
    assert [p.name for p in swept.folder.iterdir()] == ["sweep.png"]
    sheet = np.asarray(Image.open(swept.picture))
    module = source.module
    axis = parse_axis("size", module, 8)
    rows = base(module, axis, Request(), 0, range(4))
    flux = render(module, module.renderer(0), axis, range(4), rows)
    shown = composite(flux.flatten(0, 1), source.spec, source.stretch).repeat(6, 1).repeat(6, 2)
    side = 16 * 6
    top, left = sheet.shape[0] - 4 * (side + 2), sheet.shape[1] - 8 * (side + 2)
    assert top > 30, "a line for the name and one for the values"
    for i in range(4):
        for k in range(8):
            y, x = top + i * (side + 2), left + k * (side + 2)
            assert np.array_equal(sheet[y : y + side, x : x + side], shown[8 * i + k])


@pytest.mark.parametrize(
    ("what", "asked", "words"),
    [
        ("sise", {}, r"--sweep sise: did you mean size\? this model can vary size, label, code1"),
        ("redshift", {}, r"can vary size, label, code1, code2, category\."),
        ("size=4", {}, "--sweep size=4: give a range, the low end first"),
        ("size=5..2", {}, r"--sweep size=5\.\.2: the range ends before it begins"),
        ("size=0..99", {}, r"--sweep size=0\.\.99: the model was trained on size from"),
        ("size=", {}, r"--sweep size=: give a number or a range"),
        ("code1=1", {}, r"--sweep code1=1: give a range, as in code1=-2\.\.2"),
        ("code1=2..-2", {}, r"--sweep code1=2\.\.-2: give a range, the low end first"),
        ("code1=a..b", {}, "--sweep code1=a..b: give a range"),
        ("code1=-30..30", {}, r"code1=-30\.\.30: codes are normal numbers, and beyond -5\.\.5"),
        ("code1=0..5.1", {}, "stay within"),
        ("code3", {}, "--sweep code3: did you mean code"),
        ("label=edge", {}, "--sweep label=edge: label takes no range"),
        ("category=1..2", {}, r"category takes no range"),
        ("size", {"where": "size=4"}, "--sweep size varies what --where size holds"),
        ("label", {"label": "edge"}, "--sweep label varies what --label holds"),
        ("size", {"no_condition": True}, "--sweep size asks for something: leave --no-condition"),
        ("size", {"label": "ring"}, "--label ring is not a class"),
        ("size", {"steps": 1}, "--frames 1: a sweep has at least 2 columns"),
        ("size", {"n": 0}, "-n 0"),
        ("code1", {"no_condition": True}, r"--no-condition: .*recipe\.label_dropout"),
    ],
)
def test_sweeps_that_cannot_be_made(tmp_path: Path, what: str, asked: dict, words: str) -> None:
    source = model(tmp_path, "dcgan", CLASSES, ("size",), codes=2, categories=3)
    with pytest.raises(ConfigError, match=words):
        sweep(source, what, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_a_model_with_nothing_to_vary_and_a_full_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without classes, numbers and codes"):
        sweep(model(tmp_path, "dcgan"), "mag_r", out=tmp_path / "out")
    for what, option in (("code1", "codes"), ("category", "categories")):
        for classes in ((), CLASSES):
            with pytest.raises(
                ConfigError, match=rf"without {option}, .* model\.options\.{option}"
            ):
                sweep(model(tmp_path, "dcgan", classes), what, out=tmp_path / "out")
    with pytest.raises(OutputError, match="holds files already"):
        sweep(model(tmp_path, "dcgan", CLASSES), "label", out=tmp_path)


def test_the_grid_of_training_shows_the_first_number_from_low_to_high(tmp_path: Path) -> None:
    source = model(tmp_path, "dcgan", numbers=("size", "colour"))
    module = source.module
    axis = usual_axis(module, 8)
    values = np.array(module.conditions.rows)[:, 1]
    assert np.allclose(axis.values, np.linspace(*np.quantile(values, (0.05, 0.95)), 8))
    sheet = np.asarray(Image.open(write_grid(module, tmp_path / "samples/000000001.png")))
    rows = module.sample_conditions(range(6), 0)
    flux = render(module, module.renderer(0), axis, range(6), rows)
    shown = composite(flux.flatten(0, 1), source.spec, source.stretch).repeat(6, 1).repeat(6, 2)
    side = 96
    top, left = sheet.shape[0] - 6 * (side + 2), sheet.shape[1] - 8 * (side + 2)
    assert np.array_equal(sheet[top : top + side, left + 98 : left + 98 + side], shown[1])
    assert np.array_equal(sheet[-98:-2, -98:-2], shown[-1])
    # With classes it is a class a row, as without numbers.
    classed = model(tmp_path, "dcgan", CLASSES, ("size",)).module
    sheet = np.asarray(Image.open(write_grid(classed, tmp_path / "samples/000000002.png")))
    assert sheet.shape[0] == 3 * (side + 2) + 2
