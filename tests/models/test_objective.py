"""What each network is asked to make small, put together by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from galgen.config import Recipe
from galgen.losses import drift, gradient_penalty, make_loss, squared_gradient
from galgen.models.objective import GAMMA_AT_32_PX, QUIET_VARIANCE, Objective

REAL = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
FAKE = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
MIX = torch.rand(4, 1, 1, 1, generator=torch.Generator().manual_seed(2))


def critic(images: Tensor) -> Tensor:
    return images.flatten(1).square().mean(dim=1) + images.flatten(1).mean(dim=1)


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize("loss", ["logistic", "relativistic", "wasserstein"])
def test_the_critics_loss_is_the_sum_of_its_parts(loss: str, due: bool) -> None:
    recipe = Recipe(loss=loss, r1=0.3, r2=0.7, gp=2.0, drift=0.1, penalty_every=5)
    noted: dict[str, float] = {}
    objective = Objective(recipe, size=8)
    got, _ = objective.critic(
        critic, REAL, FAKE, MIX if due else None, lambda k, v: noted.update({k: v.item()})
    )
    want = make_loss(loss).critic(critic(REAL), critic(FAKE)) + 0.1 * drift(critic(REAL))
    if due:
        want = want + 5 * (
            0.3 * squared_gradient(critic, REAL)
            + 0.7 * squared_gradient(critic, FAKE)
            + 2.0 * gradient_penalty(critic, REAL, FAKE, MIX)
        )
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
    parts = {"loss_critic", "score_real", "score_fake"}
    assert set(noted) == parts | ({"r1", "r2", "gradient_penalty"} if due else set())


@pytest.mark.parametrize("loss", ["bce", "logistic", "relativistic", "wasserstein"])
def test_the_generators_loss_reaches_the_fakes_alone(loss: str) -> None:
    real, fake = REAL.clone().requires_grad_(True), FAKE.clone().requires_grad_(True)
    Objective(Recipe(loss=loss), size=8).generator(critic, real, fake).backward()
    assert fake.grad is not None
    assert real.grad is None
    better = fake.detach() - 0.5 * fake.grad
    gain = critic(better).mean() - critic(fake.detach()).mean()
    assert gain > 0


def test_automatic_gamma() -> None:
    assert Objective(Recipe(), 32).gammas == (GAMMA_AT_32_PX,) * 2
    assert Objective(Recipe(), 64).gammas == (4 * GAMMA_AT_32_PX,) * 2
    quiet = Objective(Recipe(), 32, QUIET_VARIANCE / 10).gammas
    assert quiet == pytest.approx((GAMMA_AT_32_PX / 10,) * 2)
    assert Objective(Recipe(), 32, 100.0).gammas == (GAMMA_AT_32_PX,) * 2
    assert Objective(Recipe(gp=10), 32).gammas == (0, 0)
    assert Objective(Recipe(gp=10, r1=2), 32).gammas == (2, 0)
    assert Objective(Recipe(r1=0, r2=3), 64).gammas == (0, 3)
