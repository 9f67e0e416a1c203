"""Smearing against a plain loop, and the light that it keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from galgen.nn.smear import Smear


def by_hand(image: np.ndarray, sigma: float) -> np.ndarray:
    """Every pixel the weighted mean of its 3x3 neighbours, edges repeated."""
    height, width = image.shape
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    weight = math.exp(-(dy**2 + dx**2) / (2 * sigma**2))
                    row, column = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                    out[y, x] += weight * image[row, column]
                    total += weight
            out[y, x] /= total
    return out


def test_each_image_by_hand_with_a_width_of_its_own() -> None:
    pictures = torch.randn(4, 2, 7, 9)
    normal = torch.tensor([-1.3, 0.0, 0.7, 2.2])
    got = Smear()(pictures, normal.view(4, 1, 1, 1))
    for picture, number, seen in zip(pictures, normal, got, strict=True):
        sigma = 2 * torch.distributions.Normal(0, 1).cdf(number).item()
        for band in range(2):
            want = by_hand(picture[band].double().numpy(), sigma)
            assert np.abs(seen[band].numpy() - want).max() < 1e-6


def test_sums_are_kept_where_nothing_clips() -> None:
    pictures = torch.rand(64, 3, 16, 16)
    smeared = Smear()(pictures, torch.randn(64, 1, 1, 1))
    assert torch.allclose(smeared.sum((2, 3)), pictures.sum((2, 3)), rtol=1e-6)
    assert (smeared - pictures).abs().mean() > 0.05


def test_light_above_the_range_is_spread_and_not_lost() -> None:
    picture = torch.zeros(1, 1, 9, 9)
    picture[0, 0, 4, 4] = 2.0
    lost = picture.clamp(0, 1)
    spread = Smear()(picture, torch.full((1, 1, 1, 1), 1.0)).clamp(0, 1)
    assert lost.sum() == 1
    assert spread.sum().item() == pytest.approx(2, rel=1e-6)


def test_widths_are_uniform_and_extremes_are_safe() -> None:
    # The weight of the middle pixel tells sigma: w = 1 / (1 + 2 e)^2 with e = exp(-1 / 2 sigma^2).
    torch.manual_seed(1)
    point = torch.zeros(4000, 1, 3, 3)
    point[..., 1, 1] = 1
    middle = Smear()(point)[:, 0, 1, 1].double()
    side = (middle**-0.5 - 1) / 2
    sigma = (-0.5 / side.log()).sqrt().nan_to_num(0.0)
    counts = torch.histc(sigma, 8, 0, 2)
    assert counts.sum() == 4000
    assert (counts - 500).abs().max() < 100
    for number in (-40.0, 40.0):
        picture = torch.randn(1, 1, 5, 5)
        seen = Smear()(picture, torch.full((1, 1, 1, 1), number))
        assert torch.equal(seen, picture) == (number < 0)
        assert seen.isfinite().all()


def test_gradients_pass_and_amount_fades() -> None:
    picture = torch.randn(2, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([0.3, -0.4]).view(2, 1, 1, 1)
    single = picture.detach().float().requires_grad_()
    weights = torch.randn(2, 1, 4, 5)
    (Smear()(single, noise) * weights).sum().backward()
    # A symmetric blur is its own transpose.
    assert torch.allclose(single.grad, Smear()(weights, noise), atol=1e-6)
    assert torch.equal(Smear()(single, noise, amount=0.0), single)
    half = Smear()(single, noise, amount=0.5)
    assert (half - single).abs().max() < (Smear()(single, noise) - single).abs().max()
