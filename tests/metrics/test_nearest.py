"""Copies are found whatever way up they lie, and distances are exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from galgen.metrics.nearest import ORIENTATIONS, central_crop, nearest, orient


def brute(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    every = torch.stack(
        [
            (queries[:, None] - orient(references, o)[None]).double().square().flatten(2).mean(2)
            for o in range(ORIENTATIONS)
        ]
    ).amin(0)
    return every.min(1).values, every.min(1).indices


def test_equals_brute_force() -> None:
    queries, references = torch.randn(9, 2, 8, 8) + 3, torch.randn(50, 2, 8, 8) + 3
    found = nearest(queries, references)
    distance, index = brute(queries, references)
    assert torch.equal(found.index, index)
    torch.testing.assert_close(found.distance, distance)
    for k in range(9):
        turned = orient(references[found.index[k]], int(found.orientation[k]))
        mse = (queries[k] - turned).double().square().mean()
        torch.testing.assert_close(found.distance[k], mse)


def test_copies_in_all_orientations_are_at_zero(galaxies: Callable[..., Tensor]) -> None:
    references = galaxies(20)
    copies = torch.stack([orient(references[o + 3], o) for o in range(ORIENTATIONS)])
    found = nearest(copies, references)
    assert found.index.tolist() == list(range(3, 3 + ORIENTATIONS))
    assert found.orientation.tolist() == list(range(ORIENTATIONS))
    assert float(found.distance.max()) == 0.0
    upright = nearest(copies, references, orientations=False)
    assert upright.orientation.unique().tolist() == [0]
    assert (upright.distance[1:] > 0).all()


def test_blocks_are_one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = torch.randn(6, 1, 6, 6), torch.randn(40, 1, 6, 6)
    whole = nearest(queries, references)
    monkeypatch.setattr("galgen.metrics.nearest._BLOCK", 3)
    for blocks in (iter(references.split(7)), references):
        found = nearest(queries, blocks)
        assert torch.equal(found.index, whole.index)
        assert torch.equal(found.distance, whole.distance)


@pytest.mark.parametrize("size", [8, 9])
def test_crop_looks_at_the_middle_only(size: int) -> None:
    references = torch.randn(10, 1, size, size)
    queries = references.clone()
    queries[:, :, 0, :] += 100
    found = nearest(queries, references, crop=size - 2)
    assert found.index.tolist() == list(range(10))
    assert float(found.distance.max()) == 0.0
    assert central_crop(references, None) is references
    assert central_crop(references, 99) is references


def test_orientations_are_the_eight_of_the_square() -> None:
    image = torch.arange(9.0).reshape(1, 3, 3)
    assert len({tuple(orient(image, o).flatten().tolist()) for o in range(ORIENTATIONS)}) == 8


def test_no_reference_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="no reference"):
        nearest(torch.zeros(1, 1, 4, 4), torch.zeros(0, 1, 4, 4))
    with pytest.raises(ValueError, match="references"):
        nearest(torch.zeros(1, 1, 4, 4), torch.zeros(3, 2, 4, 4))
