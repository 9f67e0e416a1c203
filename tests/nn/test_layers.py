"""Shared layers against what their papers say, written out plainly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galgen.nn.layers import LEAK, MinibatchStd, NoiseInjection, centre, leaky_relu_, upsample


@pytest.mark.parametrize(("n", "group"), [(8, 4), (4, 4), (6, 3), (7, 1), (3, 3), (10, 2)])
def test_minibatch_std_by_hand(n: int, group: int) -> None:
    x = torch.randn(n, 3, 5, 4)
    got = MinibatchStd()(x)
    assert got.shape == (n, 4, 5, 4)
    assert torch.equal(got[:, :3], x)
    values = x.double().numpy()
    for first in range(0, n, group):
        members = values[first : first + group]
        want = np.sqrt(members.var(axis=0) + 1e-8).mean()
        assert np.allclose(got[first : first + group, 3].numpy(), want, rtol=1e-5)


def test_minibatch_std_of_a_slice_of_whole_groups_is_the_slice() -> None:
    x = torch.randn(16, 2, 4, 4)
    whole = MinibatchStd()(x)
    assert torch.equal(whole[8:], MinibatchStd()(x[8:]))


def test_minibatch_std_has_a_gradient_for_equal_images() -> None:
    x = torch.ones(4, 2, 4, 4, requires_grad=True)
    MinibatchStd()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_noise_starts_silent_and_has_one_strength_a_channel() -> None:
    layer = NoiseInjection(3)
    x, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 1, 4, 4)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.strength.copy_(torch.tensor([0.0, 1.0, -2.0]))
    got = layer(x, noise)
    for channel, strength in enumerate((0.0, 1.0, -2.0)):
        assert torch.allclose(got[:, channel], x[:, channel] + strength * noise[:, 0])
    assert not torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(("side", "size"), [(8, 8), (9, 5), (40, 37), (112, 100)])
def test_centre_is_in_the_middle(side: int, size: int) -> None:
    x = torch.arange(side * side).view(1, 1, side, side)
    first = (side - size) // 2
    want = x[..., first : first + size, first : first + size]
    assert torch.equal(centre(x, size), want)


def test_upsampling_keeps_the_mean_and_the_middle() -> None:
    x = torch.randn(2, 3, 6, 6)
    got = upsample(x)
    assert got.shape == (2, 3, 12, 12)
    assert torch.allclose(upsample(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 8, 8))
    # Commutes with turns: no shift of half a pixel to one side.
    assert torch.allclose(upsample(x.rot90(1, (2, 3))), got.rot90(1, (2, 3)), atol=1e-6)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_noise_in_place_has_the_gradients_of_a_sum(layout: torch.memory_format) -> None:
    layer = NoiseInjection(3)
    noise = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    strength = torch.randn(3, dtype=torch.float64, requires_grad=True)

    def injected(x: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        new = (x * x).to(memory_format=layout)
        return torch.func.functional_call(layer, {"strength": strength}, (new, noise))

    want = x * x + strength.view(1, -1, 1, 1) * noise
    assert torch.allclose(injected(x, strength), want)
    assert torch.autograd.gradcheck(injected, (x, strength))
    assert torch.autograd.gradgradcheck(injected, (x, strength))


def test_noise_spares_what_it_must_not_write_to() -> None:
    layer = NoiseInjection(3)
    torch.nn.init.ones_(layer.strength)
    x = torch.zeros(2, 3, 4, 4)
    shared = torch.zeros(1, 3, 4, 4, requires_grad=True).mul(1).expand(2, -1, -1, -1)
    for kept in (x, shared):
        got = layer(kept)
        assert not kept.any()
        assert not torch.equal(got[0], got[1])


def test_leaky_relu_in_place_is_torchs_with_gradients_of_both_orders() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def leaky(x: torch.Tensor) -> torch.Tensor:
        return leaky_relu_(x * x - 0.5)

    assert torch.equal(leaky(x), torch.nn.functional.leaky_relu(x * x - 0.5, LEAK))
    assert torch.autograd.gradcheck(leaky, (x,))
    assert torch.autograd.gradgradcheck(leaky, (x,))
