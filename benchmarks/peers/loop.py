"""Two pairs trained side by side: galgen's own training step, and a loop written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from galgen.losses import drift, gradient_penalty, make_loss, squared_gradient
from galgen.models.base import AdversarialModule
from galgen.sections import Recipe

Train = Callable[[int], None]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Result:
    """Milliseconds per iteration of both, cycle by cycle."""

    ours: list[float]
    theirs: list[float]

    @property
    def medians(self) -> tuple[float, float]:
        return median(self.ours), median(self.theirs)

    @property
    def ratios(self) -> tuple[float, float, float]:
        """How many times as fast galgen is: quartiles over the cycles, the median amid."""
        pairs = [b / a for a, b in zip(self.ours, self.theirs, strict=True)]
        low, middle, high = quantiles(pairs, n=4)
        return low, middle, high


def by_hand(generator: nn.Module, critic: nn.Module, recipe: Recipe, images: Tensor) -> Train:
    """Adam, an average of the generator, and the losses and penalties of a recipe."""
    average = copy.deepcopy(generator).requires_grad_(False)
    adam_g, adam_c = (
        torch.optim.Adam(network.parameters(), lr=1e-4, betas=recipe.betas, fused=True)
        for network in (generator, critic)
    )
    loss = make_loss(recipe.loss, recipe.label_noise)
    latent = int(generator.latent)
    step = 0

    def penalty(fake: Tensor) -> Tensor:
        total = torch.zeros(())
        for weight, of in ((recipe.r1, images), (recipe.r2, fake)):
            if weight:
                total = total + float(weight) * squared_gradient(critic, of)
        if recipe.gp:
            mix = torch.rand(len(images), 1, 1, 1)
            total = total + recipe.gp * gradient_penalty(critic, images, fake, mix)
        return total

    def train(iterations: int) -> None:
        nonlocal step
        for _ in range(iterations):
            fake = generator(torch.randn(len(images), latent))
            real_scores = critic(images)
            value = loss.critic(real_scores, critic(fake.detach()))
            if recipe.drift:
                value = value + recipe.drift * drift(real_scores)
            if step % recipe.penalty_every == 0 and (recipe.r1 or recipe.r2 or recipe.gp):
                value = value + recipe.penalty_every * penalty(fake.detach())
            adam_c.zero_grad()
            value.backward()
            adam_c.step()

            critic.requires_grad_(False)
            reference = None
            if loss.needs_real_scores:
                with torch.no_grad():
                    reference = critic(images)
            value = loss.generator(reference, critic(fake))
            adam_g.zero_grad()
            value.backward()
            adam_g.step()
            critic.requires_grad_(True)
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 0.01)
            step += 1

    return train


class Alternate(L.Callback):
    """After each cycle of galgen's step, a cycle of the other; both are timed."""

    def __init__(self, other: Train, cycle: int, warm_up: int, clock: Clock) -> None:
        self.other, self.cycle, self.warm_up, self.clock = other, cycle, warm_up, clock
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self._count, self._then = 0, 0.0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._then = self.clock()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        self._count += 1
        if self._count % self.cycle:
            return
        begin = self.clock()
        self.other(self.cycle)
        end = self.clock()
        if self._count > self.cycle * self.warm_up:
            self.ours.append(1e3 * (begin - self._then) / self.cycle)
            self.theirs.append(1e3 * (end - begin) / self.cycle)
        self._then = self.clock()


def race(
    model: AdversarialModule, peer: tuple[nn.Module, nn.Module], cycles: int, clock: Clock
) -> Result:
    """Train both in turns, in float32 on the CPU, a cycle of penalties at a time."""
    recipe = model.recipe
    images = 0.2 * torch.randn(16, model.spec.n_bands, model.spec.size, model.spec.size)
    cycle = recipe.penalty_every if recipe.r1 or recipe.r2 or recipe.gp else 4
    alternate = Alternate(by_hand(*peer, recipe, images), cycle, 2, clock)
    batches: Any = [{"images": images}] * (cycle * (cycles + 2))
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[alternate], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(batches, batch_size=None))
    weights = [*model.parameters(), *peer[0].parameters(), *peer[1].parameters()]
    assert all(weight.isfinite().all() for weight in weights)
    return Result(alternate.ours, alternate.theirs)
