"""Turns, flips and shifts against numpy, and what happens at the corners."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.data.augment import FILLS, ROTATIONS, Augmentation
from galgen.errors import ConfigError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(angle: float = 0, flip: int = 0, down: int = 0, right: int = 0) -> Tensor:
    return torch.tensor([[angle, flip, down, right]], dtype=torch.float32)


def blob(size: int, x: float = 0.0, y: float = 0.0, sigma: float = 2.0) -> Tensor:
    axis = torch.arange(size) - (size - 1) / 2
    image = torch.exp(-((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2) / (2 * sigma**2))
    return image[None, None]


@pytest.mark.parametrize("size", [1, 2, 7, 8])
@pytest.mark.parametrize("bands", [1, 3, 5, 7])
@pytest.mark.parametrize("rotate", ["quarter", "45", "any"])
def test_quarter_turns_and_flips_are_numpys(size: int, bands: int, rotate: str) -> None:
    images = torch.randn(8, bands, size, size)
    draws = torch.cat([draw(90 * k, f) for k in range(4) for f in (0, 1)])
    out = Augmentation(rotate=rotate).apply(images, draws)
    assert out.is_contiguous()
    for image, row, got in zip(images.numpy(), draws.numpy(), out.numpy(), strict=True):
        want = image[..., ::-1] if row[1] else image
        want = np.rot90(want, int(row[0]) // 90, axes=(1, 2))
        np.testing.assert_array_equal(got, want)
        assert got.astype(np.float64).sum() == pytest.approx(image.astype(np.float64).sum())


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [0, 1])
def test_a_shift_comes_after_the_turn_and_reflects(angle: int, flip: int) -> None:
    image = np.random.default_rng(0).normal(size=(2, 9, 9)).astype(np.float32)
    out = Augmentation(shift=3).apply(torch.tensor(image)[None], draw(angle, flip, 3, -2))[0]
    turned = np.rot90(image[..., ::-1] if flip else image, angle // 90, axes=(1, 2))
    padded = np.pad(turned, ((0, 0), (3, 3), (3, 3)), mode="reflect")
    np.testing.assert_array_equal(out.numpy(), padded[:, 0:9, 5:14])


def test_a_shift_with_constant_fill_shows_the_background() -> None:
    image = torch.rand(1, 1, 6, 6)
    out = Augmentation(shift=2, fill="constant").apply(image, draw(0, 0, 2, 1), background=-5.0)
    assert (out[..., :2, :] == -5).all()
    assert (out[..., :, 0] == -5).all()
    torch.testing.assert_close(out[..., 2:, 1:], image[..., :4, :5], rtol=0, atol=0)


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("fill", FILLS)
def test_turned_by_any_angle_a_compact_source_keeps_its_flux(rotate: str, fill: str) -> None:
    images = blob(41, x=4, y=-3).expand(6, 2, 41, 41)
    augmentation = Augmentation(rotate=rotate, fill=fill, shift=2)
    out = augmentation.apply(images, augmentation.draw(6, seeded()))
    torch.testing.assert_close(out.sum((2, 3)), images.sum((2, 3)), rtol=2e-3, atol=0)


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("angle", [30.0, 45.0, 100.0, 225.0])
def test_any_angle_turns_the_same_way_as_quarter_turns(angle: float, flip: int) -> None:
    x, y = 6.0, 2.0
    augmentation = Augmentation(rotate="any", fill="constant")
    out = augmentation.apply(blob(41, x, y), draw(angle, flip, 3, 1))
    axis = torch.arange(41) - 20.0
    got_x, got_y = ((out[0, 0] * a).sum() / out.sum() for a in (axis[None], axis[:, None]))
    # counter-clockwise on the screen, where rows run downwards
    turn, x = math.radians(angle), -x if flip else x
    assert float(got_x) == pytest.approx(x * math.cos(turn) + y * math.sin(turn) + 1, abs=0.01)
    assert float(got_y) == pytest.approx(y * math.cos(turn) - x * math.sin(turn) + 3, abs=0.01)


def test_interpolation_near_a_quarter_turn_is_the_quarter_turn() -> None:
    smooth = blob(21, 3, 1, sigma=3.0)
    augmentation = Augmentation(rotate="any")
    exact, near = (augmentation.apply(smooth, draw(a, 1)) for a in (90.0, 90.001))
    torch.testing.assert_close(near, exact, rtol=0, atol=1e-4)


def test_corners_by_fill() -> None:
    image = torch.full((1, 1, 16, 16), 3.0)
    constant, reflect, none = (
        Augmentation(rotate="any", fill=fill).apply(image, draw(45), background=-1.0)[0, 0]
        for fill in ("constant", "reflect", "none")
    )
    assert constant[0, 0] == -1
    assert constant[8, 8] == pytest.approx(3.0, abs=1e-5)
    torch.testing.assert_close(reflect, image[0, 0])
    assert none[0, 0] == -1
    assert none[1, 8] == pytest.approx(3.0, abs=1e-5)


def test_without_fill_every_image_of_a_batch_has_the_same_corners() -> None:
    images = torch.full((4, 1, 16, 16), 3.0)
    draws = torch.cat([draw(a) for a in (0, 45, 90, 135)])
    out = Augmentation(rotate="45", fill="none").apply(images, draws, background=0.0)
    torch.testing.assert_close(out, out[:1].expand_as(out), rtol=0, atol=1e-5)
    assert out[0, 0, 0, 0] == 0


def test_without_fill_quarter_turns_keep_the_corners_and_shifts_lose_a_frame() -> None:
    image = torch.rand(1, 1, 12, 12) + 1
    assert (Augmentation(fill="none").apply(image, draw(90)) > 0).all()
    out = Augmentation(fill="none", shift=2).apply(image, draw(0, 0, 1, 0))[0, 0]
    assert (out[2:-2, 2:-2] > 0).all()
    assert (out[:2] == 0).all()
    assert (out[:, -2:] == 0).all()


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("shift", [0, 2])
def test_with_its_margin_nothing_is_filled_in(rotate: str, shift: int) -> None:
    augmentation = Augmentation(rotate=rotate, fill="none", shift=shift)
    side = 11 + 2 * augmentation.margin(11)
    out = augmentation.apply(
        torch.ones(32, 1, side, side), augmentation.draw(32, seeded()), size=11, background=9.0
    )
    torch.testing.assert_close(out, torch.ones(32, 1, 11, 11))


def test_margin_factor() -> None:
    assert Augmentation(rotate="any", fill="none").margin_factor == pytest.approx(math.sqrt(2))
    assert Augmentation(rotate="quarter", fill="none").margin_factor == 1.0
    assert Augmentation(rotate="any", fill="reflect").margin_factor == 1.0


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_an_oversize_input_is_cropped_about_its_middle(angle: float) -> None:
    image = torch.randn(1, 2, 12, 12)
    out = Augmentation(shift=2).apply(image, draw(angle, 0, -2, 1), size=6)
    turned = torch.rot90(image, int(angle) // 90, (2, 3))
    torch.testing.assert_close(out, turned[..., 5:11, 2:8], rtol=0, atol=0)


@pytest.mark.parametrize("fill", FILLS)
def test_gradients_reach_the_images(fill: str) -> None:
    images = torch.randn(4, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    augmentation = Augmentation(rotate="45", shift=1, fill=fill)
    draws = torch.cat([draw(0, 1, 1, 0), draw(45, 1, 0, 1), draw(90), draw(135, 0, 1, 1)])
    assert torch.autograd.gradcheck(lambda x: augmentation.apply(x, draws, size=3), (images,))


def test_draws_have_the_promised_values() -> None:
    n = 4000
    draws = Augmentation(rotate="45", shift=2).draw(n, seeded())
    assert set(draws[:, 0].tolist()) == {45.0 * k for k in range(8)}
    assert set(draws[:, 1].tolist()) == {0.0, 1.0}
    assert set(draws[:, 2].tolist()) == set(draws[:, 3].tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert abs(float(draws[:, 1].mean()) - 0.5) < 0.05
    anything = Augmentation(rotate="any", flip=False).draw(n, seeded())
    assert len(anything[:, 0].unique()) > n - 10
    assert anything[:, 0].min() >= 0
    assert anything[:, 0].max() < 360
    assert not anything[:, 1:].any()
    assert not Augmentation(rotate="none", flip=False).draw(n, seeded()).any()


def test_the_same_generator_gives_the_same_draws_and_images() -> None:
    augmentation = Augmentation(rotate="any", shift=1)
    first, second = (augmentation.draw(7, seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    images = torch.randn(7, 1, 8, 8)
    assert torch.equal(augmentation.apply(images, first), augmentation.apply(images, second))


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_slices_of_the_global_batch_are_what_one_process_gets(rotate: str) -> None:
    images = torch.randn(12, 3, 10, 10)
    augmentation = Augmentation(rotate=rotate, shift=2)
    draws = augmentation.draw(12, seeded())
    whole = augmentation.apply(images, draws, size=8)
    for part in (slice(0, 6), slice(6, 12), slice(4, 5), slice(0, 0)):
        alone = augmentation.apply(images[part], draws[part], size=8)
        assert torch.equal(alone, whole[part])


def test_a_channels_last_or_half_precision_batch_works() -> None:
    images = torch.randn(4, 3, 8, 8)
    augmentation = Augmentation(rotate="any", shift=1)
    draws = augmentation.draw(4, seeded())
    want = augmentation.apply(images, draws)
    other = augmentation.apply(images.to(memory_format=torch.channels_last), draws)
    assert other.is_contiguous()
    torch.testing.assert_close(other, want)
    half = augmentation.apply(images.bfloat16(), draws)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), want, rtol=0.02, atol=0.05)


def test_the_input_is_not_changed_and_not_shared() -> None:
    images = torch.randn(2, 1, 6, 6)
    before = images.clone()
    out = Augmentation(rotate="none", flip=False).apply(images, torch.zeros(2, 4))
    assert torch.equal(out, before)
    out += 1
    assert torch.equal(images, before)


def test_bilinear_turns_smooth_white_noise_to_two_thirds() -> None:
    noise = torch.randn((16, 1, 96, 96), generator=seeded())
    turned = Augmentation(rotate="45").apply(noise, draw(45).expand(16, 4))
    assert float(turned.std() / noise.std()) == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize(
    ("options", "names"),
    [({"rotate": "90"}, "rotate"), ({"fill": "wrap"}, "fill"), ({"shift": -1}, "shift")],
)
def test_options_that_make_no_sense(options: dict[str, str | int], names: str) -> None:
    with pytest.raises(ConfigError, match=f"data.{names}"):
        Augmentation(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "rows", "size"),
    [((2, 1, 8, 6), 2, None), ((2, 1, 8, 8), 3, None), ((2, 1, 8, 8), 2, 7), ((2, 1, 8, 8), 2, 10)],
)
def test_shapes_that_do_not_fit(shape: tuple[int, ...], rows: int, size: int | None) -> None:
    with pytest.raises(ValueError, match=r"expected|size"):
        Augmentation().apply(torch.zeros(shape), torch.zeros(rows, 4), size=size)
