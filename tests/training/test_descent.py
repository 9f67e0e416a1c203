"""Schedules by tables written by hand, and one step of one network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from galgen.sections import Recipe
from galgen.training.descent import cosine, descend, held, schedule

# Fraction of the run, half of 1 + cos(pi times it), lr from 0.002 to a fifth, the critic's from
# 0.01, beta2 from 0.5 to 0.98.
TABLE = [
    (0.0, 1.0, 0.002, 0.01, 0.5),
    (1 / 4, 0.8535533905932737, 0.0017656854249492, 0.0088284271247462, 0.57029437251522861),
    (1 / 3, 0.75, 0.0016, 0.008, 0.62),
    (1 / 2, 0.5, 0.0012, 0.006, 0.74),
    (2 / 3, 0.25, 0.0008, 0.004, 0.86),
    (1.0, 0.0, 0.0004, 0.002, 0.98),
    (1.5, 0.0, 0.0004, 0.002, 0.98),
]


def adams() -> list[torch.optim.Adam]:
    return [
        torch.optim.Adam(
            [{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)], lr=7.0, betas=(0.7, 0.7)
        )
        for _ in range(2)
    ]


def set_at(done: float, **recipe: object) -> list[tuple[float, float, float]]:
    """(lr, beta1, beta2) of generator and critic, the same in both groups of each."""
    optimizers = adams()
    schedule(optimizers, Recipe(**recipe), done)
    found = []
    for optimizer in optimizers:
        first, second = ((group["lr"], *group["betas"]) for group in optimizer.param_groups)
        assert first == second
        found.append(first)
    return found


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]:.2f}")
def test_rates_and_beta2_follow_their_cosines(row: tuple[float, ...]) -> None:
    done, share, lr, lr_critic, beta2 = row
    assert cosine(done, 0.0) == pytest.approx(share, abs=1e-12)
    assert cosine(done, 0.2) == pytest.approx(0.2 + 0.8 * share, abs=1e-12)
    recipe = {"lr": 0.002, "lr_critic": 0.01, "lr_decay": 0.2}
    got = set_at(done, **recipe, betas=(0.1, 0.98), beta2_start=0.5)
    assert got[0] == pytest.approx((lr, 0.1, beta2), abs=1e-9)
    assert got[1] == pytest.approx((lr_critic, 0.1, beta2), abs=1e-9)


@pytest.mark.parametrize("done", [0.0, 0.4, 1.0])
def test_what_a_recipe_does_not_schedule_is_constant(done: float) -> None:
    assert set_at(done, lr=0.003, lr_decay=1.0, betas=(0.0, 0.9)) == [(0.003, 0.0, 0.9)] * 2


# -- one step ----------------------------------------------------------------------------------


def straight() -> tuple[list[nn.Parameter], torch.optim.SGD]:
    """Two parameters that descend by their gradient, beside one that no loss reaches."""
    parameters = [nn.Parameter(torch.full((2,), 10.0)), nn.Parameter(torch.full((1,), 10.0))]
    return parameters, torch.optim.SGD([*parameters, nn.Parameter(torch.ones(1))], lr=1.0)


def line(parameters: list[nn.Parameter], slopes: list[float]) -> Tensor:
    """A loss of those slopes in the three numbers."""
    return (torch.cat(list(parameters)) * torch.tensor(slopes)).sum()


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> tuple[float, float]:
    """Backwards and down; gives the norm, and whether it was bad."""
    optimizer.zero_grad()
    loss.backward()
    norm, bad, _ = descend(optimizer, (~torch.isfinite(loss.detach())).float()[None])
    return norm.item(), bad.item()


def test_a_step_reports_the_norm_of_its_own_gradient() -> None:
    slopes = [3.0, -4.0, 12.0]
    parameters, optimizer = straight()
    for count in (1, 2):
        norm, bad = step(optimizer, line(parameters, slopes))
        assert (norm, bad) == (pytest.approx(13, rel=1e-6), 0)
        values = torch.cat(parameters).detach().numpy()
        assert np.allclose(values, 10 - count * np.array(slopes))


@pytest.mark.parametrize("wild", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("fused", [True, False])
def test_a_step_that_is_not_finite_is_left_out(wild: float, fused: bool) -> None:
    parameters = [nn.Parameter(torch.full((2,), 10.0)), nn.Parameter(torch.full((1,), 10.0))]
    optimizer = torch.optim.Adam(parameters, lr=1.0, betas=(0.5, 0.9), fused=fused)
    step(optimizer, line(parameters, [1.0, 1.0, 1.0]))
    before = torch.cat(parameters).tolist()
    moments = [{k: v.clone() for k, v in s.items()} for s in optimizer.state.values()]
    assert step(optimizer, line(parameters, [3.0, wild, 12.0])) == (0, 1)
    assert torch.cat(parameters).tolist() == before
    for then, now in zip(moments, optimizer.state.values(), strict=True):
        assert all(torch.equal(then[name], now[name]) for name in then)
    # And the network goes on as if nothing had been.
    assert step(optimizer, line(parameters, [1.0, 1.0, 1.0])) == (pytest.approx(3**0.5), 0)
    assert all(now < then for now, then in zip(torch.cat(parameters).tolist(), before, strict=True))


def test_a_loss_that_is_not_finite_is_bad_even_if_its_gradient_is() -> None:
    parameters, optimizer = straight()
    assert step(optimizer, line(parameters, [3.0, -4.0, 12.0]) + torch.inf)[1] == 1
    assert torch.cat(parameters).tolist() == [10, 10, 10]


def test_autocast_sees_the_new_weights_after_a_step() -> None:
    layer = nn.Linear(2, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(torch.ones(1, 2)).sum()
        step(optimizer, before)
        after = layer(torch.ones(1, 2)).sum()
    assert (before.item(), after.item()) == (2.0, 1.0)


# -- holding -----------------------------------------------------------------------------------


def test_a_held_network_gets_no_gradient_and_keeps_what_was_frozen() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network[0].requires_grad_(False)
    network[1].bias.requires_grad_(False)
    flags = [p.requires_grad for p in network.parameters()]
    assert flags == [False, False, True, False]
    x = torch.ones(1, 2, requires_grad=True)
    with held(network):
        assert not any(p.requires_grad for p in network.parameters())
        network(x).sum().backward()
    assert [p.requires_grad for p in network.parameters()] == flags
    assert all(p.grad is None for p in network.parameters())
    assert x.grad is not None


def test_a_network_is_let_go_of_when_a_step_fails() -> None:
    network = nn.Linear(2, 1)
    network.bias.requires_grad_(False)
    with pytest.raises(RuntimeError, match="out of memory"), held(network):
        raise RuntimeError("out of memory")
    assert (network.weight.requires_grad, network.bias.requires_grad) == (True, False)
