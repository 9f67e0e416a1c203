"""Levels of a growing network, and the fade between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galgen.nn.growing import Growing, fade_in


def grown() -> Growing:
    network = Growing()
    network.stand_at_the_top([4, 8, 16], 1)
    return network


def test_a_new_network_is_fully_grown() -> None:
    network = grown()
    assert (network.level, network.alpha, network.fading) == (2, 1.0, False)


def test_the_first_level_has_nothing_to_fade_from() -> None:
    network = grown()
    network.grow(2, 0.25)
    assert (network.level, network.alpha, network.fading) == (2, 0.25, True)
    network.grow(1, 0.25)
    assert (network.level, network.alpha, network.fading) == (1, 1.0, False)


@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (3, 1.0), (2, -0.1), (2, 1.1)])
def test_levels_and_alphas_that_are_none(level: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="level" if alpha == 1 else "alpha"):
        grown().grow(level, alpha)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_fade_by_hand(alpha: float) -> None:
    coarse, fine = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 8, 8)
    got = fade_in(coarse, fine, alpha).numpy()
    for n, band, row, column in np.ndindex(got.shape):
        below = coarse[n, band, row // 2, column // 2].item()
        want = (1 - alpha) * below + alpha * fine[n, band, row, column].item()
        assert got[n, band, row, column] == pytest.approx(want, abs=1e-5)
