"""Adaptive instance normalisation against equation 1 of the paper, map by map."""

from __future__ import annotations

import numpy as np
import torch

from galgen.nn.adain import AdaIN, instance_norm


def test_adain_is_that_of_the_paper() -> None:
    n, channels, width = 3, 4, 5
    x = 2 * torch.randn(n, channels, 6, 7) + 1
    w = torch.randn(n, width)
    layer = AdaIN(width, channels)
    with torch.no_grad():
        layer.affine.bias.normal_()
    got = layer(x, w).detach().numpy()
    weight = layer.affine.weight.detach().double().numpy() / np.sqrt(width)
    bias = layer.affine.bias.detach().double().numpy()
    for image in range(n):
        style = weight @ w[image].double().numpy() + bias
        for i in range(channels):
            values = x[image, i].double().numpy()
            # numpy's std divides by the number of pixels.
            sigma = np.sqrt(values.std() ** 2 + 1e-5)
            want = style[i] * (values - values.mean()) / sigma + style[channels + i]
            assert np.allclose(got[image, i], want, atol=1e-5)


def test_a_new_style_is_scale_one_and_shift_zero_at_the_mean_style() -> None:
    x = torch.randn(2, 3, 8, 8)
    got = AdaIN(5, 3)(x, torch.zeros(2, 5))
    assert torch.equal(got, instance_norm(x))


def test_statistics_are_taken_in_float32() -> None:
    x = (1000 + torch.arange(64.0).view(1, 1, 8, 8)).to(torch.bfloat16)
    got = instance_norm(x)
    assert got.dtype == torch.bfloat16
    exact = instance_norm(x.float())
    assert torch.equal(got, exact.to(torch.bfloat16))


def test_a_flat_map_stays_flat_and_has_a_gradient() -> None:
    x = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    y = instance_norm(x)
    assert y.abs().max() < 1e-4
    (y * torch.randn_like(y)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
