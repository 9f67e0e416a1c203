"""Equalised learning rate and pixel norm, written out plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from galgen.nn.equalised import EqualisedConv2d, EqualisedLinear, pixel_norm


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_a_dense_layer_scales_its_weights_when_they_are_used(rate: float) -> None:
    layer = EqualisedLinear(6, 4, gain=1.5, rate=rate, bias_start=0.5)
    assert torch.allclose(layer.bias * rate, torch.full((4,), 0.5))
    with torch.no_grad():
        layer.bias.normal_().div_(rate)
    x = torch.randn(3, 6)
    effective = layer.weight.detach().double().numpy() * rate * 1.5 / math.sqrt(6)
    want = x.double().numpy() @ effective.T + rate * layer.bias.detach().double().numpy()
    assert np.allclose(layer(x).detach().numpy(), want, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "bias"),
    [(3, 1, None, True), (1, 1, None, True), (3, 2, 1, False), (5, 1, 0, True)],
)
def test_a_convolution_scales_its_weights_when_they_are_used(
    kernel: int, stride: int, padding: int | None, bias: bool
) -> None:
    layer = EqualisedConv2d(
        3, 4, kernel, gain=0.7, stride=stride, padding=padding, bias=bias
    ).double()
    x = torch.randn(2, 3, 9, 9, dtype=torch.double)
    got = layer(x).detach().numpy()
    weight = layer.weight.detach().numpy() * 0.7 / math.sqrt(3 * kernel**2)
    pad = kernel // 2 if padding is None else padding
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for place in np.ndindex(got.shape):
        n, feature, row, column = place
        window = padded[
            n, :, row * stride : row * stride + kernel, column * stride : column * stride + kernel
        ]
        assert got[place] == pytest.approx((window * weight[feature]).sum(), abs=1e-5)
    assert (layer.bias is not None) == bias


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_the_initial_response_has_the_size_of_the_gain(rate: float) -> None:
    linear = EqualisedLinear(400, 300, gain=1.3, rate=rate)
    assert linear.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    assert linear(torch.randn(200, 400)).std().item() == pytest.approx(1.3, rel=0.05)
    conv = EqualisedConv2d(32, 64, 3, gain=1.3, padding=0)
    assert conv.weight.std().item() == pytest.approx(1, rel=0.03)
    assert conv(torch.randn(16, 32, 12, 12)).std().item() == pytest.approx(1.3, rel=0.05)


def _effective(layer: torch.nn.Module) -> torch.Tensor:
    return (layer.weight * layer.scale).detach().clone()


@pytest.mark.parametrize("lr", [1e-3, 1e-2])
def test_adam_moves_every_layer_by_the_same_fraction(lr: float) -> None:
    """Section 4.1 of the paper: Adam's step is independent of the gradient's size, so the
    effective weight moves by lr times its own standard deviation, whatever the layer's shape."""
    layers = [
        EqualisedLinear(8, 16),
        EqualisedLinear(512, 16),
        EqualisedConv2d(4, 8, 3, gain=2**0.5),
        EqualisedConv2d(64, 8, 1),
    ]
    for layer in layers:
        before = _effective(layer)
        adam = torch.optim.Adam(layer.parameters(), lr=lr, betas=(0.0, 0.99), eps=1e-20)
        shape = (4, layer.weight.shape[1], 6, 6)[: layer.weight.ndim]
        (1e-3 * layer(torch.randn(shape)).square().sum()).backward()
        adam.step()
        moved = (_effective(layer) - before).abs() / layer.scale
        assert torch.allclose(moved, torch.full_like(moved, lr), rtol=1e-2)


def test_a_smaller_rate_makes_adam_move_that_much_less() -> None:
    for rate in (1.0, 0.01):
        layer = EqualisedLinear(32, 16, rate=rate)
        x = torch.randn(8, 32)
        before = (_effective(layer), (layer.bias * rate).detach().clone())
        adam = torch.optim.Adam(layer.parameters(), lr=1e-2, betas=(0.0, 0.99), eps=1e-20)
        layer(x).square().sum().backward()
        adam.step()
        weight, bias = _effective(layer), (layer.bias * rate).detach()
        steps = (weight - before[0]).abs() * math.sqrt(32)
        # A weight of 100 in float32 is only known to 4e-6.
        assert torch.allclose(steps, torch.full_like(steps, rate * 1e-2), rtol=2e-2)
        steps = (bias - before[1]).abs()
        assert torch.allclose(steps, torch.full_like(steps, rate * 1e-2), rtol=1e-3)


@pytest.mark.parametrize("shape", [(4, 7), (2, 5, 3, 6)])
def test_pixel_norm_by_hand(shape: tuple[int, ...]) -> None:
    x = 3 * torch.randn(shape) - 1
    got = pixel_norm(x).movedim(1, -1).reshape(-1, shape[1]).numpy()
    rows = x.movedim(1, -1).reshape(-1, shape[1]).double().numpy()
    for row, want in zip(got, rows, strict=True):
        assert np.allclose(row, want / math.sqrt(np.mean(want**2) + 1e-8), atol=1e-5)


def test_pixel_norm_of_half_precision_is_taken_in_float32() -> None:
    x = (300 * torch.randn(2, 64, 4, 4)).to(torch.float16)
    got = pixel_norm(x)
    assert got.dtype == torch.float16
    # 300^2 overflows float16.
    assert got.isfinite().all()
    assert torch.allclose(got.float().square().mean(dim=1), torch.ones(2, 4, 4), atol=1e-2)


def test_pixel_norm_of_nothing_is_nothing() -> None:
    x = torch.zeros(1, 4, 2, 2, requires_grad=True)
    y = pixel_norm(x)
    assert torch.equal(y, torch.zeros_like(y))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_convolutions_have_a_second_derivative() -> None:
    layer = EqualisedConv2d(2, 3, 3)
    x = torch.randn(2, 2, 5, 5, requires_grad=True)
    score = F.leaky_relu(layer(x), 0.2).sum()
    (gradient,) = torch.autograd.grad(score, x, create_graph=True)
    gradient.square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
