"""Mixed styles and films: every cell and frame is what its name says, bit for bit where it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from PIL import Image
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.checkpoint import TrainedModel
from galgen.conditions import Conditions, Number
from galgen.errors import ConfigError, OutputError
from galgen.io.header import read_provenance
from galgen.models.registry import find
from galgen.report.pictures import composite
from galgen.stretch import Stretch
from galgen.styles import mix, mix_layer, parse_mix

STYLED = {"latent": 8, "width": 4, "max_width": 8}
PLAIN = {"latent": 8, "widths": [8, 8, 8], "critic_widths": [8, 8, 8]}


def model(
    folder: Path,
    pair: str = "stylegan2",
    classes: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    **more: Any,
) -> TrainedModel:
    """A model whose weights are all random, noise and grain too; numbers run from 0 to 10."""
    torch.manual_seed(3)
    spec = ImageSpec(16, ("g", "r", "i"), "nanomaggy", (22.5,) * 3, 0.2, (0.7,) * 3)
    options = PLAIN if pair == "dcgan" else STYLED
    module = find(pair).load()(16, spec.bands, classes=classes, numbers=numbers, **options | more)
    for parameter in module.generator.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    module.average.restart(module.generator)
    module.spec = spec
    if classes or numbers:
        random = np.random.default_rng(5)
        labels = random.integers(0, len(classes), 60) if classes else None
        values = random.uniform(0, 10, (60, len(numbers))) if numbers else None
        found = [Number(name) for name in numbers]
        module.conditions = Conditions.of(classes, labels, found, values)
    module.stretch = Stretch("asinh", torch.zeros(3), torch.full((3,), 0.01), torch.full((3,), 2.0))
    path = folder / "model.ckpt"
    path.write_text("weights")
    return TrainedModel(module, {"clock": module.clock.state()}, path)


def first_of_each_class(source: TrainedModel) -> list[int]:
    """Numbers of the first sample of each class."""
    rows = source.module.sample_conditions(range(40), 0)
    assert rows is not None
    return [int((rows[:, k] == 1).nonzero()[0]) for k in range(len(source.classes))]


def pixels(path: Path) -> np.ndarray:
    return np.stack([fits.getdata(path, k) for k in (1, 2, 3)])


def by_hand(source: TrainedModel, row: int, column: int, layer: int, psi: float = 1.0) -> Tensor:
    """Flux of a mixed galaxy from the network's own parts."""
    from galgen.models.rendering import Renderer

    network = source.module.average.network.eval()
    mean = network.mean_style()
    latents = Renderer(network, 4)
    with torch.no_grad():
        w = [network.map(latents._draw(number)[0][None]) for number in (row, column)]
        first, second = (mean + psi * (style - mean) for style in w)
        places = [first if k < layer else second for k in range(network.style_layers)]
        flat = latents._draw(row)[1]
        noise = [
            part.view(1, *shape)
            for part, shape in zip(
                flat.split([int(np.prod(s)) for s in network.noise_shapes]),
                network.noise_shapes,
                strict=True,
            )
        ]
        image = network.synthesise(torch.stack(places, dim=1), noise)
    return source.stretch.inverse(image)[0]


@pytest.mark.parametrize("psi", [1.0, 0.6])
def test_each_cell_has_coarse_styles_of_its_row_and_fine_ones_of_its_column(
    tmp_path: Path, psi: float
) -> None:
    source = model(tmp_path)
    mixed = mix(source, (12, 77), (3, 12, 44), layer=2, seed=4, truncation=psi, formats=["fits"],
                out=tmp_path / "out")  # fmt: skip
    assert (mixed.rows, mixed.columns, mixed.layer) == ((12, 77), (3, 12, 44), 2)
    assert len(mixed.files) == 6
    for row in mixed.rows:
        for column in mixed.columns:
            got = pixels(mixed.folder / f"mix_{row:06d}_{column:06d}.fits")
            want = by_hand(source, row, column, 2, psi).numpy()
            assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    header = fits.getheader(mixed.folder / "mix_000077_000003.fits")
    assert [header[c] for c in ("MIXROW", "MIXCOL", "MIXLAYER", "NOISEOF")] == [77, 3, 2, 77]
    assert (header["TRUNC"], header["SEED"]) == (psi, 4)
    assert "SAMPLE" not in header
    same = pixels(mixed.folder / "mix_000012_000012.fits")
    assert np.array_equal(same, source.sample(1, seed=4, start=12, truncation=psi)[0].numpy())
    table = Table.read(mixed.folder / "catalogue.fits")
    assert list(table["file"]) == list(mixed.files)
    assert list(table["mix_row"]) == [12, 12, 12, 77, 77, 77]
    assert list(table["mix_column"]) == [3, 12, 44] * 2


def test_samples_mixed_with_themselves_are_themselves_bit_for_bit(tmp_path: Path) -> None:
    """Also 5 and 37, which sit in the same row of their chunks."""
    source = model(tmp_path)
    numbers = (5, 37, 64, 69, 0)
    for layer in (1, 3, 5):
        out = tmp_path / f"out-{layer}"
        mixed = mix(source, numbers, layer=layer, seed=1, formats=["fits"], cube=True, out=out)
        for number in numbers:
            got = fits.getdata(mixed.folder / f"mix_{number:06d}_{number:06d}.fits")
            assert np.array_equal(got, source.sample(1, seed=1, start=number)[0].numpy())


def test_the_table_shows_samples_on_top_and_to_the_left(tmp_path: Path) -> None:
    source = model(tmp_path)
    mixed = mix(source, (2, 9), (4, 40, 7), out=tmp_path / "out")
    assert mixed.layer == mix_layer(source) == 3
    assert mixed.files == ()
    assert sorted(p.name for p in mixed.folder.iterdir()) == ["mix.png"]
    sheet = np.asarray(Image.open(mixed.picture))
    flux = torch.cat([source.sample(1, start=k) for k in (2, 9, 4, 40, 7)])
    places = []
    for tile in composite(flux, source.spec, source.stretch):
        wide = tile.repeat(6, 0).repeat(6, 1)
        windows = np.lib.stride_tricks.sliding_window_view(sheet, wide.shape)[::1, ::1, 0]
        corner = windows[:, :, 0, 0] == wide[0, 0]
        (place,) = [p for p in np.argwhere(corner.all(axis=2)) if (windows[tuple(p)] == wide).all()]
        places.append(place)
    rows, columns = np.array(places[:2]), np.array(places[2:])
    assert len(set(rows[:, 1])) == len(set(columns[:, 0])) == 1
    assert rows[0, 0] < rows[1, 0]
    assert list(columns[:, 1]) == sorted(columns[:, 1])
    assert columns[0, 0] < rows[0, 0]
    assert rows[0, 1] < columns[0, 1]


def test_classes(tmp_path: Path) -> None:
    source = model(tmp_path, classes=("edge", "round"))
    edge, round_ = first_of_each_class(source)
    own = mix(source, (edge, round_), formats=["fits"], out=tmp_path / "own")
    asked = mix(source, (edge, round_), label="edge", formats=["fits"], out=tmp_path / "edge")
    for number in (edge, round_):
        name = f"mix_{number:06d}_{number:06d}.fits"
        sample = source.sample(1, start=number)[0].numpy()
        assert np.array_equal(pixels(own.folder / name), sample)
        assert np.array_equal(pixels(asked.folder / name), sample) == (number == edge)
    assert fits.getheader(asked.folder / name)["LABEL"] == "edge"
    assert fits.getheader(own.folder / name)["LABEL"] == "round"
    between = fits.getheader(own.folder / f"mix_{edge:06d}_{round_:06d}.fits")
    assert "LABEL" not in between, "it is of neither class"


def test_numbers_that_both_samples_have(tmp_path: Path) -> None:
    source = model(tmp_path, numbers=("size", "colour"))
    mixed = mix(source, (1, 2), where="size=4", formats=["fits"], out=tmp_path / "out")
    where = {"conditions": {"size": 4.0}}
    assert read_provenance(mixed.folder / "mix_000001_000002.fits").items() >= where.items()
    same = mixed.folder / "mix_000002_000002.fits"
    assert set(read_provenance(same)["conditions"]) == {"size", "colour"}
    assert np.array_equal(pixels(same), source.sample(1, start=2, where="size=4")[0].numpy())
    assert not np.array_equal(pixels(same), source.sample(1, start=2, where="size=5")[0].numpy())
    table = Table.read(mixed.folder / "catalogue.fits")
    assert list(table["size_requested"]) == [4.0] * 4
    assert list(table["colour_requested"].mask) == [False, True, True, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, out: mix(m, (1, 2), layer=0, out=out), "--mix-layer 0: .* layers 1 to 5"),
        (lambda m, out: mix(m, (1, 2), layer=6, out=out), "--mix-layer 6: .* layers 1 to 5"),
        (lambda m, out: mix(m, (1, 2), label="x", out=out), "--label x"),
        (lambda m, out: mix(m, (1, 2), formats=["tiff"], out=out), "tiff"),
        (lambda m, out: mix(m, (1, 2), psf="none", out=out), "without a PSF layer"),
    ],
)
def test_what_cannot_be_made(tmp_path: Path, call: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        call(model(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mixing_needs_styles_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dcgan has no styles.*\(stylegan, stylegan2\)"):
        mix(model(tmp_path, "dcgan"), (1, 2), out=tmp_path / "out")
    with pytest.raises(OutputError, match="holds files already"):
        mix(model(tmp_path), (1, 2), out=tmp_path)


def test_a_sample_named_twice_is_mixed_once(tmp_path: Path) -> None:
    mixed = mix(model(tmp_path), (3, 3), (5, 4, 5), formats=["png"], out=tmp_path / "out")
    assert (mixed.rows, mixed.columns) == ((3,), (5, 4))
    assert len(mixed.files) == len({*mixed.files}) == 2


@pytest.mark.parametrize("text", ["", "a,b", "1,-2", "1,2:", ":1", "1;2", "1,2:3:4", "1.5", "²"])
def test_samples_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--mix"):
        parse_mix(text)


def test_samples_of_a_table() -> None:
    assert parse_mix("7") == ((7,), (7,))
    assert parse_mix("3,3:5,4,5") == ((3,), (5, 4))
    assert parse_mix(" 1, 2 : 3") == ((1, 2), (3,))
