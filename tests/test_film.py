"""Films: from sample to sample on the right way, beginning with the first bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galgen.errors import ConfigError
from galgen.film import great_circle, interpolate, parse_way
from galgen.io.header import read_provenance
from galgen.models.rendering import Renderer
from galgen.report.pictures import composite
from test_styles import first_of_each_class, model, pixels


@pytest.mark.parametrize("pair", ["stylegan2", "dcgan", "progan"])
def test_a_film_goes_from_sample_to_sample_and_back(tmp_path: Path, pair: str) -> None:
    source = model(tmp_path, pair)
    film = interpolate(source, (12, 77, 5), 4, seed=2, formats=["fits"], out=tmp_path / "out")
    assert film.numbers == (12, 77, 5)
    assert len(film.files) == 12
    frames = np.stack([pixels(film.folder / name) for name in film.files])
    first = source.sample(1, seed=2, start=12)[0].numpy()
    assert np.array_equal(frames[0], first)
    # The others have the noise of the first, and so are not the samples of their numbers.
    assert not np.allclose(frames[4], source.sample(1, seed=2, start=77)[0].numpy())
    renderer = source.module.renderer(2)
    keys = renderer.codes([12, 77, 5])
    want = renderer.images(keys, None, [12] * 3, [None] * 3).numpy()
    assert np.allclose(frames[::4], want, rtol=1e-4, atol=1e-6)
    steps = np.abs(np.diff(np.concatenate([frames, frames[:1]]), axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 0
    apart = np.abs(want - np.roll(want, -1, axis=0)).mean(axis=(1, 2, 3))
    assert (steps.reshape(3, 4) < apart[:, None]).all()
    header = fits.getheader(film.folder / "frame_000009.fits")
    cards = ("FILMFROM", "FILMTO", "FILMPART", "NOISEOF")
    assert [header[card] for card in cards] == [5, 12, 0.25, 12]
    table = Table.read(film.folder / "catalogue.fits")
    assert list(table["film_part"][:5]) == [0, 0.25, 0.5, 0.75, 0]


def test_strip_and_animation_show_every_frame_under_one_stretch(tmp_path: Path) -> None:
    source = model(tmp_path)
    film = interpolate(source, (1, 2), 5, out=tmp_path / "out")
    assert film.files == ()
    assert sorted(p.name for p in film.folder.iterdir()) == [
        "interpolation.gif", "interpolation.png",
    ]  # fmt: skip
    with Image.open(film.animation) as animation:
        assert (animation.n_frames, animation.size) == (10, (256, 256))
        assert animation.info["loop"] == 0
    strip = np.asarray(Image.open(film.picture))
    renderer = source.module.renderer(0)
    keys = renderer.codes([1, 2])
    middle = renderer.images((0.6 * keys[0] + 0.4 * keys[1])[None], None, [1], [None])
    tile = composite(middle, source.spec, source.stretch)[0].astype(int)
    side = 16 * 6
    left = strip.shape[1] - 5 * (side + 2)
    shown = strip[2 : 2 + side : 6, left + 2 * (side + 2) :][:, :side:6].astype(int)
    assert np.abs(shown - tile).max() <= 1


def test_straight_in_styles_and_around_the_sphere_in_latents(tmp_path: Path) -> None:
    a, b = torch.randn(50), torch.randn(50)
    a, b = a / a.norm(), b / b.norm()
    angle = torch.acos(a @ b)
    for part in (0.0, 0.25, 0.5, 1.0):
        c = great_circle(a, b, part)
        assert c.norm().item() == pytest.approx(1, abs=1e-6)
        assert torch.acos((a @ c).clamp(-1, 1)).item() == pytest.approx(
            part * angle.item(), abs=1e-3
        )
        assert torch.linalg.matrix_rank(torch.stack([a, b, c]), tol=1e-4) == 2
    assert torch.equal(great_circle(a, b, 0.0), a)
    assert torch.equal(great_circle(a, a, 0.3), a)
    assert torch.allclose(great_circle(a, -a, 0.3), 0.4 * a)
    source = model(tmp_path, "dcgan")
    film = interpolate(source, (0, 1), 2, seed=6, formats=["fits"], out=tmp_path / "out")
    renderer = source.module.renderer(6)
    halfway = great_circle(*renderer.codes([0, 1]), 0.5)
    want = renderer.images(halfway[None], None, [0], [None])[0].numpy()
    assert np.allclose(pixels(film.folder / "frame_000001.fits"), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pair", ["dcgan", "r3gan", "stylegan2"])
def test_ends_are_the_samples_bit_for_bit_but_for_the_noise(
    tmp_path: Path, pair: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Renderer._draw

    def without_noise(renderer: Renderer, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        z, noise = drawn(renderer, index)
        return z, torch.zeros_like(noise)

    monkeypatch.setattr(Renderer, "_draw", without_noise)
    source = model(tmp_path, pair, classes=("edge", "round"), numbers=("size",))
    numbers = (3, 40, 35, 8)
    film = interpolate(source, numbers, 3, seed=2, formats=["fits"], out=tmp_path / "out")
    for place, number in enumerate(numbers):
        want = source.sample(1, seed=2, start=number)[0].numpy()
        assert np.array_equal(pixels(film.folder / f"frame_{3 * place:06d}.fits"), want)


def test_classes_and_numbers_of_a_pair_without_styles_blend(tmp_path: Path) -> None:
    source = model(tmp_path, "dcgan", classes=("edge", "round"), numbers=("size",))
    edge, round_ = first_of_each_class(source)
    film = interpolate(source, (edge, round_), 4, formats=["fits"], out=tmp_path / "out")
    rows = source.module.sample_conditions([edge, round_], 0)
    assert rows is not None
    frames = [film.folder / name for name in film.files]
    renderer = source.module.renderer(0)
    z = renderer.codes([edge, round_], rows)
    for frame, part in ((1, 0.25), (4, 1.0), (6, 0.5)):
        row = (1 - part) * rows[0] + part * rows[1]
        want = renderer.images(great_circle(*z, part)[None], row[None], [edge], [None])[0].numpy()
        assert np.allclose(pixels(frames[frame]), want, rtol=1e-4, atol=1e-6)
        ends = [source.sample(1, start=edge, label=name)[0].numpy() for name in ("edge", "round")]
        assert not any(np.allclose(pixels(frames[frame]), end) for end in ends)
    _, (first, last) = source.module.conditions.decode(rows.numpy())
    told = [read_provenance(path) for path in frames]
    assert [fact.get("label") for fact in told[:5]] == ["edge", None, None, None, "round"]
    sizes = [fact["conditions"]["size"] for fact in told]
    way = [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]
    assert np.allclose(sizes, [first[0] + part * (last - first)[0] for part in way], atol=1e-4)


def test_a_film_of_one_class(tmp_path: Path) -> None:
    source = model(tmp_path, "dcgan", classes=("edge", "round"))
    edge, round_ = first_of_each_class(source)
    film = interpolate(
        source, (edge, round_), 2, label="round", formats=["fits"], out=tmp_path / "out"
    )
    want = source.sample(1, start=edge, label="round")[0].numpy()
    assert np.array_equal(pixels(film.folder / "frame_000000.fits"), want)
    assert {fits.getheader(film.folder / name)["LABEL"] for name in film.files} == {"round"}


def test_styles_change_class_on_the_way(tmp_path: Path) -> None:
    source = model(tmp_path, classes=("edge", "round"))
    edge, round_ = first_of_each_class(source)
    film = interpolate(source, (edge, round_), 2, formats=["fits"], out=tmp_path / "film")
    renderer = source.module.renderer(0)
    key = renderer.codes([round_], source.module.sample_conditions([round_], 0))
    want = renderer.images(key, None, [edge], [None])[0].numpy()
    assert np.allclose(pixels(film.folder / "frame_000002.fits"), want, rtol=1e-4, atol=1e-6)
    labels = [fits.getheader(film.folder / name).get("LABEL") for name in film.files]
    assert labels == ["edge", None, "round", None]


def test_what_cannot_be_made(tmp_path: Path) -> None:
    source, out = model(tmp_path), tmp_path / "out"
    with pytest.raises(ConfigError, match="--frames 1"):
        interpolate(source, (1, 2), 1, out=out)
    with pytest.raises(ConfigError, match="--truncation -1"):
        interpolate(source, (1, 2), truncation=-1.0, out=out)
    assert not out.exists()


@pytest.mark.parametrize("text", ["", "a,b", "1,-2", "1,2:3", "1;2", "1.5,2", "3", "3,3"])
def test_ways_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="two or more different"):
        parse_way(text)
    assert parse_way("3,1, 3") == (3, 1, 3)
