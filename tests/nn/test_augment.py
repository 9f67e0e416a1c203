"""Augmentation in front of the critic, each operation against numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from galgen.nn.augment import CUTOUT, DRAWS, SCALE, SHIFT, augment

SIDE = 16
P = 0.5
P_TENSOR = torch.tensor(P)
FLIP, TURN, SHIFT_DOWN, SHIFT_RIGHT, ANGLE, ZOOM, PART_DOWN, PART_RIGHT, DOWN, RIGHT = range(DRAWS)


def random_images(n: int = 3, bands: int = 2, side: int = SIDE) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, bands, side, side, generator=generator)


def draws(n: int = 3, **given: float) -> Tensor:
    """Rows that meet only the operations given: those whose first draw is below P."""
    rows = torch.full((n, DRAWS), 0.99)
    for name, value in given.items():
        rows[:, globals()[name]] = value
    return rows


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    padded = np.pad(image, ((0, 0), (SIDE - 1, SIDE - 1), (SIDE - 1, SIDE - 1)), mode="reflect")
    top, left = SIDE - 1 - down, SIDE - 1 - right
    return padded[:, top : top + SIDE, left : left + SIDE]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_at_p_0_every_bit_stays(layout: torch.memory_format) -> None:
    x = random_images(64).contiguous(memory_format=layout)
    x[0, 0, 0, 0], x[1, 0, 2, 3] = -0.0, math.inf
    u = torch.rand(64, DRAWS)
    u[0] = 0
    got = augment(x, u, torch.tensor(0.0))
    assert got.numpy().tobytes() == x.numpy().tobytes()


def test_an_image_that_no_draw_meets_stays_beside_others_that_move() -> None:
    x = random_images(2)
    x[0, 0, 0, 0] = -0.0
    u = torch.cat([draws(1), torch.rand(1, DRAWS) * P])
    got = augment(x, u, P_TENSOR)
    assert got[0].numpy().tobytes() == x[0].numpy().tobytes()
    assert not torch.allclose(got[1], x[1])


@pytest.mark.parametrize("side", [SIDE, 21])
@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_flips_and_quarter_turns_move_pixels_only(side: int, quarter: int, mirror: bool) -> None:
    x = random_images(side=side)
    u = draws(FLIP=P * (0.25 if mirror else 0.75), TURN=P * (quarter + 0.5) / 4)
    want = x.numpy()[..., ::-1] if mirror else x.numpy()
    want = np.rot90(want, quarter, axes=(2, 3))
    assert np.array_equal(augment(x, u, P_TENSOR).numpy(), want)


def test_whole_shifts_reflect_and_reach_both_ways() -> None:
    x = random_images()
    most = round(SHIFT * SIDE)
    for down in range(-most, most + 1):
        for right in (-most, 0, most):
            steps = [(s + most + 0.5) / (2 * most + 1) for s in (down, right)]
            u = draws(SHIFT_DOWN=P * steps[0], SHIFT_RIGHT=steps[1])
            want = np.stack([shifted(image, down, right) for image in x.numpy()])
            assert np.array_equal(augment(x, u, P_TENSOR).numpy(), want)


def test_flip_turn_and_shift_follow_one_another_in_that_order() -> None:
    x = random_images(1)
    most = round(SHIFT * SIDE)
    down = (1 + most + 0.5) / (2 * most + 1)
    u = draws(1, FLIP=P / 4, TURN=P * 1.5 / 4, SHIFT_DOWN=P * down, SHIFT_RIGHT=0.0)
    want = shifted(np.rot90(x.numpy()[0][..., ::-1], 1, axes=(1, 2)), 1, -most)
    assert np.array_equal(augment(x, u, P_TENSOR)[0].numpy(), want)


@pytest.mark.parametrize(
    ("angle", "zoom", "down", "right"),
    [(0.5, 0.5, 0.5, 0.9), (0.6, 0.5, 0.5, 0.5), (0.2, 0.0, 0.5, 0.5), (0.5, 1.0, 0.1, 0.5)],
    ids=["part of a pixel", "angle", "angle and smaller", "larger and part of a pixel"],
)
def test_interpolation_is_bilinear(angle: float, zoom: float, down: float, right: float) -> None:
    x = random_images(2)
    u = draws(2, ANGLE=P * angle, ZOOM=zoom, PART_DOWN=down, PART_RIGHT=right).double()
    got = augment(x.double(), u, P_TENSOR)
    turn = (2 * u[0, ANGLE].item() / P - 1) * math.pi
    scale = 2 ** (SCALE * (2 * u[0, ZOOM].item() - 1))
    middle = (SIDE - 1) / 2
    i, j = np.mgrid[:SIDE, :SIDE] - middle
    i, j = i - (u[0, PART_DOWN].item() - 0.5), j - (u[0, PART_RIGHT].item() - 0.5)
    # Counter-clockwise as seen, with rows counted downwards.
    places = np.stack(
        [
            (i * math.cos(turn) + j * math.sin(turn)) / scale + middle,
            (j * math.cos(turn) - i * math.sin(turn)) / scale + middle,
        ]
    )
    for image, result in zip(x.double().numpy(), got.numpy(), strict=True):
        for plane, out in zip(image, result, strict=True):
            want = map_coordinates(plane, places, order=1, mode="mirror")
            assert np.allclose(out, want, atol=1e-10)


def test_whole_and_part_operations_share_their_axes() -> None:
    """A quarter turn by angle is one by pixels; a positive shift goes the same way in both."""
    x = random_images()
    by_angle = augment(x, draws(ANGLE=P * 0.75, ZOOM=0.5, PART_DOWN=0.5, PART_RIGHT=0.5), P_TENSOR)
    assert np.allclose(by_angle.numpy(), np.rot90(x.numpy(), 1, axes=(2, 3)), atol=1e-5)
    light = torch.zeros(1, 1, SIDE, SIDE)
    light[..., 8, 8] = 1
    part = augment(light, draws(1, ANGLE=P / 2, ZOOM=0.5, PART_DOWN=0.9, PART_RIGHT=0.5), P_TENSOR)
    assert part[0, 0, 9, 8].item() == pytest.approx(0.4, abs=1e-5)
    assert part[0, 0, 8, 8].item() == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("place", [(0.5, 0.5), (0.0, 0.3), (0.9, 0.999)])
def test_cutout_is_a_square_of_sky(place: tuple[float, float]) -> None:
    x = random_images()
    got = augment(x, draws(DOWN=P * place[0], RIGHT=place[1]), P_TENSOR)
    want = x.numpy().copy()
    axis = np.arange(SIDE) + 0.5
    rows, columns = (np.abs(axis - SIDE * middle) < SIDE * CUTOUT / 2 for middle in place)
    assert rows.any()
    assert columns.any()
    want[..., rows[:, None] & columns[None, :]] = 0
    assert np.array_equal(got.numpy(), want)


@pytest.mark.parametrize("still", [[ANGLE], [SHIFT_DOWN]], ids=["whole pixels", "any angle"])
def test_turns_and_shifts_keep_flux_and_colour(still: list[int]) -> None:
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    galaxy = torch.exp(-(axis[:, None] ** 2 + 2 * axis[None, :] ** 2) / 4)
    x = torch.stack([galaxy, 0.5 * galaxy])[None].expand(200, -1, -1, -1)
    u = torch.rand(200, DRAWS, generator=torch.Generator().manual_seed(3))
    u[:, ZOOM] = 0.5
    u[:, [DOWN, *still]] = 0.99
    got = augment(x, u, torch.tensor(0.9))
    assert (got != x).flatten(1).any(dim=1).float().mean() > 0.9
    flux = got.sum(dim=(2, 3))
    assert torch.allclose(flux / x.sum(dim=(2, 3)), torch.ones(()), atol=0.01)
    assert torch.allclose(flux[:, 0] / flux[:, 1], torch.tensor(2.0))


def test_each_operation_meets_a_fraction_p() -> None:
    x = random_images(1).expand(4000, -1, -1, -1)
    everything = torch.rand(4000, DRAWS, generator=torch.Generator().manual_seed(1))
    # A mirror image by half of its draws, a turn by 0 by a quarter of them, and so on.
    changed = {"FLIP": 1 / 2, "TURN": 3 / 4, "SHIFT_DOWN": 1 - 1 / 25, "ANGLE": 1, "DOWN": 1}
    for name, fraction in changed.items():
        u = everything.clone()
        for other in changed:
            if other != name:
                u[:, globals()[other]] = 0.99
        for p in (0.2, 0.8):
            got = augment(x, u, torch.tensor(p))
            share = (got != x).flatten(1).any(dim=1).float().mean().item()
            assert share == pytest.approx(p * fraction, abs=0.03), name


def test_the_same_draws_give_the_same_image_whatever_the_batch() -> None:
    x, u, p = random_images(12), torch.rand(12, DRAWS), torch.tensor(0.7)
    whole = augment(x, u, p)
    for part in (slice(0, 1), slice(3, 7), slice(6, 12)):
        assert torch.equal(augment(x[part], u[part], p), whole[part])


def test_gradients_of_first_and_second_order() -> None:
    x = random_images(4, bands=1, side=5).double().requires_grad_(True)
    u = torch.rand(4, DRAWS, generator=torch.Generator().manual_seed(2))
    p = torch.tensor(0.8)
    assert torch.autograd.gradcheck(lambda x: augment(x, u, p).sin(), (x,))
    assert torch.autograd.gradgradcheck(lambda x: augment(x, u, p).sin(), (x,))


def test_results_are_channels_last() -> None:
    x = random_images(4, bands=3).contiguous(memory_format=torch.channels_last)
    got = augment(x, torch.rand(4, DRAWS), torch.tensor(0.8))
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_numbers_are_kept_where_nothing_may_be_scaled_or_covered() -> None:
    """Of a galaxy in the middle: its size about its own centre and its flux, at any p."""
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    square = axis[:, None] ** 2 + axis**2
    x = torch.exp(-square / 4)[None, None].repeat(300, 1, 1, 1)
    u = torch.rand(300, DRAWS, generator=torch.Generator().manual_seed(2))
    u[:, [SHIFT_DOWN, SHIFT_RIGHT]] = 0.99
    u[:, [PART_DOWN, PART_RIGHT]] = 0.5
    before, p = u.clone(), torch.tensor(0.95)

    def spread(images: Tensor) -> tuple[Tensor, Tensor]:
        flux = images.sum(dim=(1, 2, 3))
        return flux, (images * square).sum(dim=(1, 2, 3)) / flux

    flux, size = spread(augment(x, u, p, keep_numbers=True))
    assert torch.equal(u, before)
    assert flux.std() < 0.01 * flux.mean()
    assert size.std() < 0.06 * size.mean()
    flux, size = spread(augment(x, u, p))
    assert flux.std() > 0.1 * flux.mean()
    assert size.std() > 0.1 * size.mean()
