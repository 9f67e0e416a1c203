"""Losses and penalties against their papers' equations, written out plainly in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from galgen.errors import ConfigError
from galgen.losses import (
    LOSSES,
    Bce,
    drift,
    gradient_penalty,
    make_loss,
    path_lengths,
    squared_gradient,
)

RANDOM = np.random.default_rng(3)
REAL, FAKE = RANDOM.normal(1.0, 2.0, 64), RANDOM.normal(-0.5, 2.0, 64)


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


PLAIN = {
    "bce": (
        mean([-math.log(sigmoid(d)) for d in REAL])
        + mean([-math.log(1 - sigmoid(d)) for d in FAKE]),
        mean([-math.log(sigmoid(d)) for d in FAKE]),
    ),
    "logistic": (
        mean([math.log(1 + math.exp(-d)) for d in REAL])
        + mean([math.log(1 + math.exp(d)) for d in FAKE]),
        mean([math.log(1 + math.exp(-d)) for d in FAKE]),
    ),
    "relativistic": (
        mean([math.log(1 + math.exp(f - r)) for r, f in zip(REAL, FAKE, strict=True)]),
        mean([math.log(1 + math.exp(r - f)) for r, f in zip(REAL, FAKE, strict=True)]),
    ),
    "wasserstein": (mean(list(FAKE)) - mean(list(REAL)), -mean(list(FAKE))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_the_papers(name: str) -> None:
    loss = make_loss(name)
    real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
    critic, generator = PLAIN[name]
    assert loss.critic(real, fake).item() == pytest.approx(critic, rel=1e-10)
    scores = real if loss.needs_real_scores else None
    assert loss.generator(scores, fake).item() == pytest.approx(generator, rel=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_hold_at_scores_where_naive_formulas_overflow(name: str) -> None:
    loss = make_loss(name)
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    total = loss.critic(far, -far) + loss.generator(far, far)
    (gradient,) = torch.autograd.grad(total, far)
    assert total.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_better_scores_lower_each_side(name: str) -> None:
    loss = make_loss(name)
    low, high = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0])
    assert loss.critic(high, low) < loss.critic(low, high)
    assert loss.generator(low, high) < loss.generator(high, low)


def test_label_noise_moves_targets_inwards_by_at_most_its_size() -> None:
    real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
    noise, n = 0.3, len(REAL)
    torch.manual_seed(7)
    got = Bce(noise).critic(real, fake).item()
    torch.manual_seed(7)
    up, down = (
        1 - noise * torch.rand(n, dtype=torch.double),
        noise * torch.rand(n, dtype=torch.double),
    )
    terms = [
        -t * math.log(sigmoid(d)) - (1 - t) * math.log(1 - sigmoid(d))
        for scores, targets in ((REAL, up.tolist()), (FAKE, down.tolist()))
        for d, t in zip(scores, targets, strict=True)
    ]
    assert got == pytest.approx(sum(terms) / n, rel=1e-10)
    assert got != pytest.approx(Bce().critic(real, fake).item(), rel=1e-3)


def test_a_relativistic_generator_needs_real_scores() -> None:
    with pytest.raises(ValueError, match="real images"):
        make_loss("relativistic").generator(None, torch.zeros(2))


def test_unknown_losses_and_misplaced_label_noise() -> None:
    with pytest.raises(ConfigError, match=r"hinge.*bce, logistic"):
        make_loss("hinge")
    with pytest.raises(ConfigError, match="label_noise belongs to the loss bce"):
        make_loss("wasserstein", 0.05)


# -- penalties: critic D(x) = a.x + 1/2 x^T Q x per image, whose gradient is a + Q x -------------

PIXELS = 2 * 3 * 3
A = torch.from_numpy(RANDOM.normal(size=PIXELS))
Q = torch.from_numpy(RANDOM.normal(size=(PIXELS, PIXELS)))
Q = (Q + Q.T) / 2


def critic(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    return flat @ A + 0.5 * ((flat @ Q) * flat).sum(dim=1)


def images(seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 2, 3, 3)))


def plain_gradient(x: Tensor) -> np.ndarray:
    return np.stack([A.numpy() + Q.numpy() @ image.ravel() for image in x.numpy()])


def test_squared_gradient_is_half_the_mean_squared_norm() -> None:
    x = images(0)
    want = np.mean([0.5 * np.sum(g**2) for g in plain_gradient(x)])
    assert squared_gradient(critic, x).item() == pytest.approx(want, rel=1e-10)
    assert not x.requires_grad


def test_gradient_penalty_is_taken_between_real_and_fake() -> None:
    x, y = images(1), images(2)
    mix = torch.from_numpy(np.random.default_rng(3).uniform(size=(5, 1, 1, 1)))
    points = mix.numpy() * x.numpy() + (1 - mix.numpy()) * y.numpy()
    norms = np.linalg.norm(plain_gradient(torch.from_numpy(points)), axis=1)
    got = gradient_penalty(critic, x, y, mix).item()
    assert got == pytest.approx(np.mean((norms - 1) ** 2), rel=1e-10)
    assert gradient_penalty(critic, x, y, torch.ones_like(mix)).item() == pytest.approx(
        gradient_penalty(critic, x, x, mix).item(), rel=1e-12
    )


def test_penalties_train_the_critic_and_not_the_images() -> None:
    weight = torch.tensor(2.0, dtype=torch.double, requires_grad=True)
    x, y = images(4).requires_grad_(True), images(5).requires_grad_(True)

    def scaled(image: Tensor) -> Tensor:
        return weight * image.flatten(1).sum(dim=1)

    r1 = squared_gradient(scaled, x)
    gp = gradient_penalty(scaled, x, y, torch.full((5, 1, 1, 1), 0.5))
    (slope,) = torch.autograd.grad(r1 + gp, weight)
    # R1 = w^2 P / 2 and GP = (w sqrt(P) - 1)^2 for P pixels.
    root = math.sqrt(PIXELS)
    assert slope.item() == pytest.approx(2 * PIXELS + 2 * root * (2 * root - 1), rel=1e-10)
    assert x.grad is None
    assert y.grad is None


def test_drift_is_the_mean_square_of_real_scores() -> None:
    assert drift(torch.from_numpy(REAL)).item() == pytest.approx(np.mean(REAL**2), rel=1e-12)


def test_path_lengths_are_the_plain_jacobians() -> None:
    n, layers, width, bands, side = 3, 4, 5, 2, 4
    weight = torch.from_numpy(RANDOM.normal(size=(layers * width, bands * side * side)))

    def synthesise(styles: Tensor) -> Tensor:
        return (styles.flatten(-2) @ weight).sin().unflatten(-1, (bands, side, side))

    styles = torch.from_numpy(RANDOM.normal(size=(n, layers, width))).requires_grad_(True)
    y = torch.from_numpy(RANDOM.normal(size=(n, bands, side, side)) / side)
    want = []
    for i in range(n):
        jacobian = torch.autograd.functional.jacobian(synthesise, styles[i].detach())
        gradient = np.tensordot(y[i].numpy(), jacobian.numpy(), axes=3)
        want.append(math.sqrt(np.mean([np.sum(row**2) for row in gradient])))
    got = path_lengths(synthesise(styles), styles, y)
    assert got.tolist() == pytest.approx(want, rel=1e-5)
    # It is there to be made small, so its own gradient must be that of finite differences.
    assert torch.autograd.gradcheck(lambda s: path_lengths(synthesise(s), s, y), (styles,))


def test_path_lengths_of_a_generator_that_ignores_its_style_have_a_gradient() -> None:
    styles = torch.zeros(2, 3, 4, requires_grad=True)
    length = path_lengths((styles.sum() ** 2).expand(2, 1, 4, 4), styles, torch.ones(2, 1, 4, 4))
    length.sum().backward()
    assert styles.grad is not None
    assert styles.grad.isfinite().all()
