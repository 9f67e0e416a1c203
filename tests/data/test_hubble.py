"""The built-in set of real galaxies."""

from __future__ import annotations

import numpy as np
import pytest

from galgen.data.hubble import BANDS, MIN_PIXELS, hubble
from galgen.data.sets import open_set
from galgen.data.split import split_by_group
from galgen.errors import ConfigError


def test_about_three_hundred_centred_galaxies() -> None:
    pixels, names, table = hubble(32)
    assert 250 <= len(names) <= 350
    assert len(set(names)) == len(names)
    assert pixels.shape == (len(names), 3, 32, 32)
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < pixels.max() <= 255
    assert (table["area"] >= MIN_PIXELS).all()
    sky = np.median(pixels, axis=(0, 2, 3))[:, None, None]
    inner = (pixels - sky)[:, :, 12:20, 12:20].mean((1, 2, 3))
    edge = (pixels - sky)[:, :, [0, -1]].mean((1, 2, 3))
    assert (inner > edge).mean() > 0.97


def test_the_stars_of_the_picture_are_dropped() -> None:
    _, _, table = hubble(32)
    # Three stars with spikes, found by eye in the picture, x and y of their cores.
    for x, y in ((754, 578), (252, 166), (147, 217)):
        assert np.hypot(table["x"] - x, table["y"] - y).min() > 4
    # A large spiral and an elliptical are no stars, however bright.
    for x, y in ((123, 401), (726, 473)):
        assert np.hypot(table["x"] - x, table["y"] - y).min() < 4


def test_larger_cutouts_hold_the_smaller_and_lose_only_edges() -> None:
    small, names, _ = hubble(32)
    large, fewer, _ = hubble(64)
    assert set(fewer) < set(names)
    rows = [names.index(name) for name in fewer]
    assert np.array_equal(large[:, :, 16:48, 16:48], small[rows])
    with pytest.raises(ConfigError, match="too large"):
        hubble(1000)


def test_as_a_set() -> None:
    cutouts = open_set("hubble", count=40, seed=2, bands=("B", "R"))
    assert cutouts.spec.display
    assert cutouts.spec.bands == ("B", "R")
    assert len(cutouts) == 40
    pixels, names, _ = hubble(32)
    row = names.index(cutouts.names[5])
    assert np.array_equal(cutouts.read([5])[0], pixels[row, [2, 0]])
    assert cutouts.catalogue["x"].shape == (40,)
    assert BANDS == ("R", "G", "B")


def test_bands_are_found_in_small_letters_and_keep_their_names() -> None:
    cutouts = open_set("hubble", count=4, bands="g,r")
    assert cutouts.spec.bands == ("G", "R")
    same = open_set("hubble", count=4, bands="G,R")
    assert np.array_equal(cutouts.read([0, 1]), same.read([0, 1]))
    with pytest.raises(ConfigError, match="the bands are R, G, B"):
        open_set("hubble", bands="g,z")
    assert open_set("sersic", count=2, bands="r,G").spec.bands == ("r", "G")


@pytest.mark.parametrize(("size", "seed"), [(32, 0), (32, 1), (48, 0)])
def test_no_pixel_is_shared_between_training_and_hold_out(size: int, seed: int) -> None:
    cutouts = open_set("hubble", size=size)
    train, held = split_by_group(cutouts.groups, 0.1, seed)
    assert abs(len(held) - 0.1 * len(cutouts)) < 4
    masks = []
    for rows in (train, held):
        mask = np.zeros((872, 1000), dtype=bool)
        for row in rows:
            x, y = (int(part) - size // 2 for part in cutouts.names[row].split("_")[1:])
            mask[y : y + size, x : x + size] = True
        masks.append(mask)
    assert not (masks[0] & masks[1]).any()


def test_large_cutouts_that_all_overlap_say_so_and_share_no_centre() -> None:
    cutouts = open_set("hubble", size=64)
    assert "rims" in cutouts.notes[0]
    train, held = split_by_group(cutouts.groups, 0.1, 0)
    assert 20 <= len(held) <= 40
    x, y = np.rint(cutouts.catalogue["x"]), np.rint(cutouts.catalogue["y"])
    apart = np.maximum(abs(x[train, None] - x[held]), abs(y[train, None] - y[held]))
    assert apart.min() >= 32
    assert open_set("hubble", size=32).notes == ()
