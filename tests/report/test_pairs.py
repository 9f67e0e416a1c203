"""Pairs of nearest images, thumbnails, and pictures of so many bytes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from cards import card
from galgen.metrics.entries import Copying
from galgen.metrics.nearest import Nearest
from galgen.report import galaxies
from galgen.report.build import build
from galgen.report.encode import uri_within
from galgen.report.galaxies import album, spread
from galgen.report.pairs import Space, spaces
from galgen.report.pictures import composite


def picture(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


def pairs_of(n: int = 12) -> tuple[list[Space], int]:
    """Generated galaxies that are training images, turned and flipped, in one space."""
    sets, judged, result, _ = card(n=n)
    rows = np.arange(n) + 3
    copies = sets.train.read(rows).rot90(1, (-2, -1)).flip(-1)
    sets.fake = sets.fake.of(copies)
    distance = np.linspace(0.9, 0.1, n)
    distance[-1] = np.nan  # without light
    index = np.where(np.isfinite(distance), rows, -1)
    found = Nearest(index, distance)
    judged.copying = Copying({"polar": found}, {"polar": found})
    album_of = build(sets, judged, result).albums[1]
    return list(spaces([(sets, judged.copying, album_of)], sets.stretch, 400_000)), n


def test_the_closest_pairs_stand_side_by_side_turned_as_they_fit() -> None:
    (space,), n = pairs_of()
    generated, held = space.rows
    assert len(generated.pairs) == len(held.pairs) == 8
    # The last one has no light; before it they come nearer and nearer.
    first = generated.pairs[0][1]
    assert first.startswith(f"galaxy {n - 2} | sky-{n - 2 + 3:04d} <b>: 0.17")
    numbers = [float(caption.rsplit(" ", 1)[1]) for _, caption in generated.pairs]
    assert numbers == sorted(numbers)
    for uri, _ in generated.pairs:
        shown = picture(uri)
        side = shown.shape[0]
        left, right = shown[:, :side], shown[:, -side:]
        middle = slice(side // 4, -side // 4)
        off = np.abs(left - right)[middle, middle].mean()
        turned = np.abs(left - right[::-1])[middle, middle].mean()
        assert off < 20
        assert off < 0.7 * turned or turned < 20  # a round one fits either way


def test_a_picture_has_no_more_bytes_than_it_may() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    for most in (300_000, 60_000, 5_000):
        uri = uri_within(noise, most)
        assert len(uri) <= most
        shown = picture(uri)
        assert shown.shape[0] / shown.shape[1] == pytest.approx(2 / 3, rel=0.05)
    assert uri_within(noise, 300_000).startswith("data:image/png")
    assert np.array_equal(picture(uri_within(noise, 300_000)), noise)


def test_galaxies_are_spread_evenly() -> None:
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert spread(1000, 5).tolist() == [0, 250, 500, 749, 999]
    assert len(spread(401, 400)) == 400


def test_a_sheet_shrinks_until_it_fits_and_still_shows_its_galaxies() -> None:
    sets, judged, _, _ = card(n=45)
    pages = [
        album("real", sets.real, judged.real, sets.spec, sets.stretch, most)
        for most in (10**7, 60_000, 4_000)
    ]
    assert [len(page.rows) for page in pages[:2]] == [90, 90]
    assert len(pages[2].rows) < 90
    assert [page.tile for page in pages] == sorted((page.tile for page in pages), reverse=True)
    for page, most in zip(pages, (10**7, 60_000, 4_000), strict=True):
        assert len(page.sheet) <= most
    full = pages[0]
    drawn = composite(sets.real.read(full.rows), sets.spec, sets.stretch)
    sheet = picture(full.sheet)
    for k in (0, 19, 20, 89):
        y, x = k // full.across * full.tile, k % full.across * full.tile
        tile = sheet[y : y + full.tile, x : x + full.tile]
        others = np.abs(drawn.astype(float) - tile).mean(axis=(1, 2, 3))
        assert others.argmin() == k
        assert others[k] < 12


def test_large_galaxies_are_binned_before_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    sets, judged, _, _ = card(n=4, size=130)
    sizes = []

    def drawn(flux: torch.Tensor, *rest: object) -> np.ndarray:
        sizes.append(flux.shape[-1])
        return composite(flux, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(galaxies, "composite", drawn)
    page = album("real", sets.real, judged.real, sets.spec, sets.stretch, 10**7)
    assert sizes == [65]
    assert page.tile == 64
