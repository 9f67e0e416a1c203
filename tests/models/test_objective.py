"""What each network is asked to make small, put together by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from galgen.losses import drift, gradient_penalty, make_loss, squared_gradient
from galgen.models.objective import QUIET_VARIANCE, Objective
from galgen.nn.scoring import Judgement
from galgen.sections import Recipe

REAL = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
FAKE = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
MIX = torch.rand(4, 1, 1, 1, generator=torch.Generator().manual_seed(2))


def critic(images: Tensor) -> Tensor:
    return images.flatten(1).square().mean(dim=1) + images.flatten(1).mean(dim=1)


def judge(images: Tensor) -> Judgement:
    return Judgement(critic(images), None)


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize("loss", ["logistic", "relativistic", "wasserstein"])
def test_the_critics_loss_is_the_sum_of_its_parts(loss: str, due: bool) -> None:
    recipe = Recipe(loss=loss, r1=0.3, r2=0.7, gp=2.0, drift=0.1, penalty_every=5)
    noted: dict[str, float] = {}
    objective = Objective(recipe, size=8)
    got, _ = objective.critic(
        judge, REAL, FAKE, MIX if due else None, lambda k, v: noted.update({k: v.item()})
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
    Objective(Recipe(loss=loss), size=8).generator(judge, real, fake, lambda *_: None).backward()
    assert fake.grad is not None
    assert real.grad is None
    better = fake.detach() - 0.5 * fake.grad
    gain = critic(better).mean() - critic(fake.detach()).mean()
    assert gain > 0


def test_r1_and_r2_are_of_the_plain_gradient_of_each_image() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 1),
    )
    noted: dict[str, float] = {}
    objective = Objective(Recipe(r1=1, r2=1), size=8)
    objective.critic(
        lambda x: Judgement(network(x).squeeze(1), None),
        REAL,
        FAKE,
        MIX,
        lambda k, v: noted.update({k: v.item()}),
    )
    for name, images in (("r1", REAL), ("r2", FAKE)):
        halves = []
        for image in images:
            point = image[None].clone().requires_grad_(True)
            network(point).backward()
            halves.append(sum(float(g) ** 2 for g in point.grad.flatten()) / 2)
        assert noted[name] == pytest.approx(sum(halves) / len(halves), rel=1e-5)


def test_a_schedule_scales_r1_and_r2_alone() -> None:
    def loss(decay: float, **recipe: float) -> float:
        objective = Objective(Recipe(loss="logistic", penalty_every=1, **recipe), size=8)
        objective.decay = decay
        return objective.critic(judge, REAL, FAKE, MIX, lambda *_: None)[0].item()

    bare = loss(1.0, r1=0, r2=0)
    both = loss(1.0, r1=0.3, r2=0.7) - bare
    assert loss(0.1, r1=0.3, r2=0.7) - bare == pytest.approx(0.1 * both, rel=1e-4)
    assert loss(0.1, r1=0, r2=0, gp=2) == loss(1.0, r1=0, r2=0, gp=2)


def gammas(size: int = 32, **facts: Any) -> tuple[float, float]:
    return Objective(Recipe(**facts.pop("recipe", {})), size, **facts).gammas


@pytest.mark.parametrize("loss", ["relativistic", "wasserstein", "logistic", "bce"])
def test_automatic_gamma_follows_size_batch_and_number_of_images(loss: str) -> None:
    recipe = {"loss": loss}
    assert gammas(recipe=recipe, batch=32, images=288) == (0.25, 0.25)
    assert gammas(64, recipe=recipe, batch=32) == (1.0, 1.0)
    assert gammas(recipe=recipe, batch=8) == (1.0, 1.0)
    assert gammas(recipe=recipe, images=5000) == (0.25, 0.25)
    assert gammas(recipe=recipe, images=5001) == (0.0625, 0.0625)


def test_quiet_images_have_a_smaller_gamma() -> None:
    assert gammas(variance=QUIET_VARIANCE / 10) == pytest.approx((0.025, 0.025))
    assert gammas(variance=100.0) == (0.25, 0.25)


def test_automatic_gamma_is_none_where_it_makes_no_sense() -> None:
    assert gammas(recipe={"gp": 10}) == (0, 0)
    assert gammas(recipe={"gp": 10, "r1": 2}) == (2, 0)
    assert gammas(recipe={"loss": "logistic"}, coupled=True) == (0, 0)


def test_given_weights_stay() -> None:
    assert gammas(64, recipe={"r1": 0, "r2": 3}, batch=8, images=9000) == (0, 3)


@pytest.mark.parametrize(
    ("recipe", "facts", "sentence"),
    [
        ({}, {}, "R1 with gamma 0.25 and R2 with 0.25 (32 px, batch 32, 4,500 images)"),
        ({"r1": 0.3, "r2": 0}, {}, "R1 with gamma 0.3"),
        ({"r1": 0}, {}, "R2 with gamma 0.25 (32 px, batch 32, 4,500 images)"),
        (
            {"gamma_decay": 0.1},
            {"variance": 0.001},
            "R1 with gamma 0.05 and R2 with 0.05, falling to 10% "
            "(32 px, batch 32, 4,500 images, which hardly differ)",
        ),
        ({"gp": 10, "gamma_decay": 0.1}, {}, "WGAN-GP with lambda 10"),
        ({"gp": 10, "r1": 1}, {}, "R1 with gamma 1, and WGAN-GP with lambda 10"),
        ({"r1": 0, "r2": 0}, {}, None),
        ({}, {"coupled": True}, None),
    ],
)
def test_the_sentence_says_where_gamma_comes_from(
    recipe: dict[str, Any], facts: dict[str, Any], sentence: str | None
) -> None:
    got = Objective(Recipe(**recipe), 32, **{"batch": 32, "images": 4500, **facts}).describe()
    assert got == (sentence and f"penalties: {sentence}")
