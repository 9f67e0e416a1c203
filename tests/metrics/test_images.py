"""Sets that are read in blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import galgen.metrics.images
from galgen.metrics.images import Images


def test_blocks_are_all_of_it_in_order_and_never_more_at_a_time() -> None:
    asked = []

    def reader(rows: np.ndarray) -> torch.Tensor:
        asked.append(len(rows))
        return torch.from_numpy(rows).float().view(-1, 1, 1, 1)

    images = Images(10, reader)
    assert torch.cat(list(images.blocks(4))).flatten().tolist() == list(range(10))
    assert asked == [4, 4, 2]
    assert list(Images(0, reader).blocks()) == []


def test_names_are_positions_where_nothing_else_is_known() -> None:
    flux = torch.arange(6.0).view(6, 1, 1, 1)
    assert Images.of(flux, list("abcdef")).name(4) == "e"
    assert Images.of(flux).name(3) == "3"
    assert Images.of(flux).read([4, 1]).flatten().tolist() == [4.0, 1.0]


def test_a_sample_is_spread_over_the_set() -> None:
    flux = torch.arange(9.0).view(9, 1, 1, 1)
    assert Images.of(flux).sample(3).flatten().tolist() == [0.0, 4.0, 8.0]
    assert Images.of(flux).sample(20).flatten().tolist() == list(range(9))


def test_a_sample_of_large_images_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galgen.metrics.images, "_NUMBERS", 600)
    flux = torch.zeros(300, 1, 2, 2)
    assert len(Images.of(flux).sample(200)) == 150
    assert len(Images.of(flux[:, :, :1, :1]).sample(200)) == 200
    assert len(Images.of(flux.repeat(1, 9, 1, 1)).sample(200)) == 100
