"""Nearest rows are exact, in blocks too, and pairs lie alike on the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.metrics.frames import turned
from galgen.metrics.nearest import (
    ORIENTATIONS,
    Nearest,
    Search,
    nearest_rows,
    orient,
    turn_to_match,
)


def brute(queries: Tensor, references: Tensor) -> Tensor:
    """Distances (N, M) over all variants."""
    difference = queries[:, :, None].double() - references[None, None].double()
    return difference.square().sum(3).sqrt().amin(1)


@pytest.mark.parametrize("variants", [1, 4])
def test_equals_brute_force(variants: int) -> None:
    queries, references = torch.randn(30, variants, 12) + 5, torch.randn(50, 12) + 5
    found = nearest_rows(queries, references, k=4)
    distance, index = brute(queries, references).sort(1)
    assert torch.equal(found.index, index[:, :4])
    torch.testing.assert_close(found.distance, distance[:, :4])


def test_blocks_are_one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = torch.randn(20, 6), torch.randn(40, 6)
    whole = nearest_rows(queries, references, k=3)
    monkeypatch.setattr("galgen.metrics.nearest._REFERENCES", 4)
    monkeypatch.setattr("galgen.metrics.nearest._QUERIES", 3)
    for blocks in (iter(references.split(7)), references):
        found = nearest_rows(queries, blocks, k=3)
        assert torch.equal(found.index, whole.index)
        assert torch.equal(found.distance, whole.distance)


def test_variants_are_made_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galgen.metrics.nearest._REFERENCES", 16)
    monkeypatch.setattr("galgen.metrics.nearest._QUERIES", 5)
    queries, references = torch.randn(23, 12) + 3, torch.randn(40, 12) + 3
    made: list[int] = []

    def variants(rows: Tensor) -> Tensor:
        made.append(len(rows))
        x = rows.view(-1, 3, 4)
        return torch.stack([x, x.flip(-1), x.flip(-2), x.flip(-1, -2)], 1).flatten(2)

    whole = nearest_rows(variants(queries), references, k=3)
    made.clear()
    search = Search(queries, 3, variants)
    for block in references.split(11):
        search.add(block)
    assert torch.equal(search.found().index, whole.index)
    assert torch.equal(search.found().distance, whole.distance)
    assert max(made) == 5
    # They count: without them others are nearest.
    assert not torch.equal(nearest_rows(queries, references, k=3).index, whole.index)
    empty = Search(queries[:0], 3, variants)
    empty.add(references)
    assert empty.found().index.shape == (0, 3)


def test_copies_are_at_zero_far_from_the_origin() -> None:
    references = torch.randn(60, 20) + 1000
    found = nearest_rows(references[10:20], references)
    assert found.index[:, 0].tolist() == list(range(10, 20))
    assert float(found.distance.max()) == 0.0


def test_inactive_references_keep_their_places() -> None:
    references = torch.arange(10.0)[:, None]
    search = Search(torch.tensor([[2.1], [8.0]]))
    active = torch.ones(5, dtype=torch.bool)
    active[2] = False
    search.add(references[:5], active)
    search.add(references[5:])
    assert search.found().index[:, 0].tolist() == [3, 8]


def test_fewer_references_than_neighbours() -> None:
    found = nearest_rows(torch.zeros(3, 2), torch.randn(2, 2), k=10)
    assert found.index.shape == (3, 2)


def test_no_reference_and_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no training image"):
        nearest_rows(torch.zeros(1, 4), torch.zeros(0, 4))
    with pytest.raises(ValueError, match="rows of 4"):
        nearest_rows(torch.zeros(1, 4), torch.zeros(3, 5))


def test_nearest_is_relative_and_tells_what_was_left_out() -> None:
    references = torch.tensor([[0.0], [3.0], [10.0]])
    found = nearest_rows(torch.tensor([[1.0], [10.0]]), references, k=3)
    near = Nearest.of(found, np.array([True, False, True]))
    assert near.index.tolist() == [0, -1, 2]
    np.testing.assert_allclose(near.distance, [1 / 9, np.nan, 0])
    assert near.left_out == 1
    assert near.rows.shape == (2, 1)
    same = nearest_rows(torch.ones(2, 1), torch.ones(5, 1), k=5)
    assert Nearest.of(same, np.ones(2, dtype=bool)).distance.tolist() == [0, 0]


def test_orientations_are_the_eight_of_the_square() -> None:
    image = torch.arange(9.0).reshape(1, 3, 3)
    assert len({tuple(orient(image, o).flatten().tolist()) for o in range(ORIENTATIONS)}) == 8


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 37.0, 250.0])
def test_a_pair_lies_alike(flip: bool, degrees: float, galaxies: Callable[..., Tensor]) -> None:
    # Two galaxies in one frame, unequal, so that no turn or mirror image but one fits.
    one, two, three = galaxies(3, bands=2, size=48, noise=0.5, flux=20000.0)
    image = one + (0.5 * two).roll((9, 3), (1, 2)) + (0.2 * three).roll((-4, 10), (1, 2))
    angle = torch.tensor([math.radians(degrees)])
    other = turned(image[None], angle, torch.tensor([[3.0, -2.0]]), flip)[0]
    found = turn_to_match(image, other)
    middle = (slice(None), slice(8, -8), slice(8, -8))
    residual = (found - other)[middle].square().mean()
    assert residual < 0.02 * (image - other)[middle].square().mean()
    assert residual < 1e-2 * other[middle].var()


def test_a_pair_of_empty_images() -> None:
    flat = torch.zeros(1, 16, 16)
    assert torch.equal(turn_to_match(flat, flat), flat)
