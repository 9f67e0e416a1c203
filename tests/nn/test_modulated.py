"""The modulated convolution against the paper's own form: weights per image, one group each."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.nn.equalised import EqualisedConv2d
from galgen.nn.modulated import ModulatedConv2d

N, C_IN, C_OUT, STYLE, SIDE = 3, 5, 4, 6, 7


def grouped(layer: ModulatedConv2d, x: Tensor, style: Tensor) -> Tensor:
    """Equations 1 and 3 of Karras et al. 2020 in float64, then a convolution of N groups."""
    affine = layer.affine
    rows = style.double() @ affine.weight.double().T / math.sqrt(STYLE) + affine.bias.double()
    weight = layer.weight.double()
    c_out, c_in, k, _ = weight.shape
    weight = weight / math.sqrt(c_in * k * k) * rows[:, None, :, None, None]
    if layer.demodulate:
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    weight = layer.gain * weight
    n, _, h, w = x.shape
    padding = k // 2
    if layer.up:
        spread = torch.zeros(n, c_in, 2 * h, 2 * w, dtype=torch.double)
        spread[..., ::2, ::2] = x
        weight, padding = weight.flip(3, 4), 2
        # One row and column of the inserted zeros too many for the kernel's full reach.
        x = F.pad(spread, (0, -1, 0, -1))
    y = F.conv2d(
        x.double().reshape(1, n * c_in, *x.shape[2:]),
        weight.reshape(n * c_out, c_in, k, k),
        padding=padding,
        groups=n,
    )
    y = y.reshape(n, c_out, *y.shape[2:])
    if layer.up:
        row = torch.tensor([1, 3, 3, 1], dtype=torch.double) / 4
        kernel = (row[:, None] * row).expand(c_out, 1, 4, 4)
        y = F.conv2d(y, kernel, padding=1, groups=c_out)
    return y


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("kernel", "up"), [(3, False), (1, False), (3, True)])
def test_the_fast_form_is_the_grouped_one(kernel: int, up: bool, demodulate: bool) -> None:
    layer = ModulatedConv2d(
        C_IN, C_OUT, kernel, STYLE, up=up, demodulate=demodulate, gain=math.sqrt(2)
    )
    x, style, bias = torch.randn(N, C_IN, SIDE, SIDE), torch.randn(N, STYLE), torch.randn(C_OUT)
    want = grouped(layer, x, style)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layer.to(memory_format=memory_format)
        got = layer(x.contiguous(memory_format=memory_format), style)
        assert got.shape == (N, C_OUT, SIDE * (2 if up else 1), SIDE * (2 if up else 1))
        assert torch.allclose(got.double(), want, atol=2e-6, rtol=2e-6)
        assert got.is_contiguous(memory_format=memory_format)
        shifted = layer(x, style, bias) - bias[:, None, None]
        assert torch.allclose(shifted, got, atol=2e-6)


def test_demodulated_noise_has_unit_variance_whatever_the_style() -> None:
    layer = ModulatedConv2d(16, 16, 3, STYLE)
    x = torch.randn(64, 16, 16, 16)
    deviation = layer(x, 30 * torch.randn(64, STYLE))[..., 1:-1, 1:-1].std()
    assert deviation.item() == pytest.approx(1, abs=0.03)
    assert layer(x, 30 * torch.randn(64, STYLE)).std() < 1.1


def test_a_new_layer_is_a_plain_convolution_for_a_style_of_zero() -> None:
    layer = ModulatedConv2d(C_IN, C_OUT, 3, STYLE, demodulate=False)
    plain = EqualisedConv2d(C_IN, C_OUT, 3, bias=False)
    plain.load_state_dict({"weight": layer.weight})
    x = torch.randn(N, C_IN, SIDE, SIDE)
    assert torch.allclose(layer(x, torch.zeros(N, STYLE)), plain(x), atol=1e-6)


@pytest.mark.parametrize("up", [False, True])
def test_second_derivatives_reach_style_and_weight(up: bool) -> None:
    layer = ModulatedConv2d(2, 2, 3, 2, up=up).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)

    def by_weight(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
        parameters = {"weight": weight}
        return torch.func.functional_call(layer, parameters, (x, style))

    inputs = (x, layer.weight, torch.randn(2, 2, dtype=torch.double, requires_grad=True))
    assert torch.autograd.gradcheck(by_weight, inputs)
    assert torch.autograd.gradgradcheck(by_weight, inputs)


def test_scales_stay_in_float32_under_autocast() -> None:
    layer = ModulatedConv2d(C_IN, C_OUT, 3, STYLE)
    x, style = torch.randn(N, C_IN, SIDE, SIDE), torch.randn(N, STYLE)
    with torch.autocast("cpu", torch.bfloat16):
        inside = layer.scales(style)
        got = layer(x.bfloat16(), style)
    assert all(map(torch.equal, inside, layer.scales(style)))
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.float(), layer(x, style), atol=0.05)
