"""The schedule of growing by a table written by hand, and reals as a level sees them by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galgen.training.growth import Growth, present

# Three levels, the last from 400 images on: 200 for each below, the first 80 of a new one fading.
FROM_THE_FIRST = [
    (0, 0, 1.0),
    (1, 0, 1.0),
    (199, 0, 1.0),
    (200, 1, 0.0),
    (220, 1, 0.25),
    (240, 1, 0.5),
    (279, 1, 79 / 80),
    (280, 1, 1.0),
    (399, 1, 1.0),
    (400, 2, 0.0),
    (460, 2, 0.75),
    (480, 2, 1.0),
    (481, 2, 1.0),
    (100_000, 2, 1.0),
]

# Levels 1 to 4, as of a pair that starts above its coarsest: 30 images each, 12 of them fading.
FROM_THE_SECOND = [
    (0, 1, 1.0),
    (29, 1, 1.0),
    (30, 2, 0.0),
    (33, 2, 0.25),
    (42, 2, 1.0),
    (60, 3, 0.0),
    (69, 3, 0.75),
    (89, 3, 1.0),
    (90, 4, 0.0),
    (96, 4, 0.5),
    (102, 4, 1.0),
    (120, 4, 1.0),
]


@pytest.mark.parametrize(
    ("growth", "table"),
    [(Growth(0, 2, 400), FROM_THE_FIRST), (Growth(1, 4, 90), FROM_THE_SECOND)],
    ids=["0 to 2", "1 to 4"],
)
def test_levels_share_the_time_and_fade_in_its_first_two_fifths(
    growth: Growth, table: list[tuple[int, int, float]]
) -> None:
    for images, level, alpha in table:
        got = growth.at(images)
        assert got[0] == level, images
        assert got[1] == pytest.approx(alpha, abs=1e-12), images


def test_the_fade_is_a_fraction_of_a_levels_own_time() -> None:
    growth = Growth(0, 2, 400, fade=1.0)
    assert [growth.at(n) for n in (0, 250, 350)] == [(0, 1.0), (1, 0.25), (1, 0.75)]
    assert growth.at(500) == (2, 0.5)


def test_shares_that_are_no_whole_numbers() -> None:
    growth = Growth(0, 3, 100)
    # Levels begin at 33 1/3, 66 2/3 and 100 images and fade for 13 1/3.
    assert growth.at(33) == (0, 1.0)
    assert growth.at(34) == (1, pytest.approx(0.05))
    assert growth.at(66) == (1, 1.0)
    assert growth.at(67) == (2, pytest.approx(0.025))
    assert growth.at(99) == (2, 1.0)
    assert growth.at(100) == (3, pytest.approx(0.0, abs=1e-12))


@pytest.mark.parametrize(
    "growth", [Growth(0, 3, 0), Growth(2, 2, 500)], ids=["0 images", "1 level"]
)
def test_nothing_grows_without_time_or_levels(growth: Growth) -> None:
    assert {growth.at(images) for images in (0, 1, 499, 500, 9000)} == {(growth.last, 1.0)}


# -- real images -----------------------------------------------------------------------------------


def blocks(images: np.ndarray, factor: int) -> np.ndarray:
    """Means of the factor x factor blocks of the last two axes, one block at a time."""
    side = images.shape[-1] // factor
    means = np.empty((*images.shape[:2], side, side))
    for row in range(side):
        for column in range(side):
            rows = slice(row * factor, (row + 1) * factor)
            columns = slice(column * factor, (column + 1) * factor)
            means[..., row, column] = images[..., rows, columns].mean(axis=(2, 3))
    return means


def real(side: int = 24) -> torch.Tensor:
    images = np.random.default_rng(1).normal(0.3, 1, (3, 2, side, side))
    return torch.from_numpy(images).float()


@pytest.mark.parametrize("side", [24, 12, 6])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.875, 1.0])
def test_reals_are_block_means_and_fade_like_the_pictures(side: int, alpha: float) -> None:
    images = real()
    exact = images.double().numpy()
    fine = blocks(exact, 24 // side)
    coarse = np.kron(blocks(exact, 48 // side), np.ones((2, 2)))
    got = present(images, side, alpha)
    assert got.shape == (3, 2, side, side)
    assert np.abs(got.numpy() - ((1 - alpha) * coarse + alpha * fine)).max() < 1e-5
    # One level's detail is not another's: the blend could not pass for either of its parts.
    assert np.abs(fine - coarse).max() > 0.5


def test_full_size_that_has_faded_in_is_the_image_itself() -> None:
    images = real()
    assert torch.equal(present(images, 24, 1.0), images)
