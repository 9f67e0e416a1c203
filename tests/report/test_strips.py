"""Tables of pictures with labels, and animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galgen.errors import OutputError
from galgen.report.strips import table, write_gif, write_png


def tiles(rows: int, columns: int, side: int = 8) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(60, 200, (rows, columns, side, side, 3), dtype=np.uint8)


def found(sheet: np.ndarray, tile: np.ndarray) -> tuple[int, int]:
    """Corner of the one place where a tile stands in a sheet."""
    side = tile.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(sheet, tile.shape)[:, :, 0]
    (place,) = np.argwhere((windows == tile).all(axis=(2, 3, 4)))
    assert side > 1
    return int(place[0]), int(place[1])


def test_every_picture_stands_in_its_row_and_column() -> None:
    pictures = tiles(2, 3, side=24)
    sheet = table(pictures, ["12", "77"], ["3", "4", "5"], scale=1)
    places = np.array([[found(sheet, tile) for tile in row] for row in pictures])
    assert (np.diff(places[:, :, 0], axis=0) == 26).all()
    assert (np.diff(places[:, :, 1], axis=1) == 26).all()
    assert (places[0, :, 0] == places[0, 0, 0]).all()
    # Labels stand in the margins and nowhere else.
    top, left = places[0, 0]
    bright = (sheet > 100).all(axis=2)
    assert bright[:top, left:].any()
    assert bright[top:, : left - 1].any()
    assert not bright[:top, : left - 1].any()
    bare = table(pictures, scale=1)
    assert bare.shape == (54, 80, 3)
    assert np.array_equal(bare[2:26, 2:26], pictures[0, 0])


def test_heads_stand_apart_and_tiles_are_enlarged() -> None:
    pictures = tiles(3, 3)
    sheet = table(pictures, heads=True, scale=2)
    places = [found(sheet, pictures[k, k].repeat(2, 0).repeat(2, 1))[0] for k in range(3)]
    assert places[1] - places[0] == 16 + 2 + 8
    assert places[2] - places[1] == 16 + 2
    assert table(pictures).shape[0] > 3 * 90


@pytest.mark.parametrize(("side", "size"), [(16, 256), (32, 256), (100, 300), (256, 256)])
def test_an_animation_has_all_frames_enlarged_without_an_end(
    tmp_path: Path, side: int, size: int
) -> None:
    axis = np.linspace(-1, 1, side)
    frames = np.stack([
        np.broadcast_to(
            255 * np.exp(-((axis[:, None] - shift) ** 2 + axis**2) * 8)[..., None], (side, side, 3)
        )
        for shift in (-0.4, -0.1, 0.2, 0.5)
    ]).astype(np.uint8)  # fmt: skip
    path = write_gif(frames, tmp_path / "film.gif")
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (4, (size, size))
        assert film.info["loop"] == 0
        assert film.info["duration"] > 0
        for number, frame in enumerate(frames):
            film.seek(number)
            shown = np.asarray(film.convert("RGB"), dtype=float)
            scale = size // side
            small = shown.reshape(side, scale, side, scale, 3).mean(axis=(1, 3))
            assert np.abs(small - frame).mean() < 4
    assert len(list(tmp_path.iterdir())) == 1


def test_pictures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    sheet = table(tiles(1, 2))
    with Image.open(write_png(sheet, tmp_path / "a.png")) as image:
        assert np.array_equal(np.asarray(image), sheet)
    for write in (write_png, lambda _, path: write_gif(tiles(1, 2)[0], path)):
        with pytest.raises(OutputError, match="make room"):
            write(sheet, tmp_path / "none" / "a.png")
