"""The average follows its formula, and the average of a frozen number is that number."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from galgen.training.ema import GeneratorEMA


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_formula_with_a_ramp() -> None:
    follower, batch, half_life, ramp = network(), 10, 200.0, 0.05
    ema = GeneratorEMA(follower, half_life, ramp)
    want = follower[0].weight.detach().numpy().astype(np.float64)
    for step in range(1, 801):
        with torch.no_grad():
            follower[0].weight.copy_(torch.randn(4, 3))
        ema.update(follower, batch, step * batch)
        decay = 0.5 ** (batch / min(half_life, ramp * step * batch))
        now = follower[0].weight.detach().numpy().astype(np.float64)
        want = decay * want + (1 - decay) * now
    assert np.allclose(ema.network[0].weight.numpy(), want, atol=1e-5)


def test_half_life_is_in_images() -> None:
    follower = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(follower.weight)
    ema = GeneratorEMA(follower, half_life=1000, ramp=1e9)
    nn.init.ones_(follower.weight)
    for step in range(125):
        ema.update(follower, 8, 8 * (step + 1))
    assert abs(ema.network.weight.item() - 0.5) < 1e-4


def test_without_a_half_life_it_is_the_network() -> None:
    follower = network()
    ema = GeneratorEMA(follower, 0)
    nn.init.normal_(follower[0].weight)
    ema.update(follower, 8, 8)
    assert torch.equal(ema.network[0].weight, follower[0].weight)


def test_what_does_not_move_stays_bit_identical_and_buffers_are_copied() -> None:
    follower = network()
    ema = GeneratorEMA(follower, 777, 0.05)
    frozen = follower[0].weight.detach().clone()
    for step in range(1, 50):
        with torch.no_grad():
            follower[0].bias.normal_()
        follower(torch.randn(5, 3))
        ema.update(follower, 7, 7 * step)
    assert torch.equal(ema.network[0].weight, frozen)
    assert not torch.equal(ema.network[0].bias, follower[0].bias)
    for mine, theirs in zip(ema.network.buffers(), follower.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_it_is_a_copy_in_evaluation_mode_without_gradients() -> None:
    follower = network()
    ema = GeneratorEMA(follower, 100)
    assert not ema.network.training
    assert not any(p.requires_grad for p in ema.network.parameters())
    assert follower.training
    nn.init.ones_(follower[0].weight)
    assert not torch.equal(ema.network[0].weight, follower[0].weight)
    ema.restart(follower)
    assert torch.equal(ema.network[0].weight, follower[0].weight)
    other = GeneratorEMA(network(), 100)
    other.load(ema.state())
    assert torch.equal(other.network[0].weight, follower[0].weight)
