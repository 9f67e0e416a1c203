"""Two pairs trained side by side: galgen's own training step, and a loop written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from galgen.losses import drift, gradient_penalty, make_loss, squared_gradient
from galgen.models.base import AdversarialModule
from galgen.sections import Recipe
from peers.packages import Peer

Train = Callable[[int], None]
Clock = Callable[[], float]
#: Cycles before timing starts.
WARM_UP = 1


@dataclass(frozen=True)
class How:
    """How the two sides run.

    Attributes
    ----------
    batch, cycles
        Images an iteration, and cycles of penalties that are timed of each side.
    clock
        Seconds.
    device
        ``cpu`` or ``cuda``.
    ours, theirs
        Precision of galgen and of the peer, ``32`` or ``bf16``.
    compiled
        Whether galgen's main passes are.
    """

    batch: int
    cycles: int
    clock: Clock
    device: str = "cpu"
    ours: str = "32"
    theirs: str = "32"
    compiled: bool = False


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
        low, middle, high = quantiles(pairs, n=4) if len(pairs) > 1 else 3 * pairs
        return low, middle, high


def by_hand(peer: Peer, recipe: Recipe, images: Tensor, precision: str = "32") -> Train:
    """Adam, an average of the generator, and the losses and penalties of a recipe."""
    generator, critic = peer.generator, peer.critic
    average = copy.deepcopy(generator).requires_grad_(False)
    adam_g, adam_c = (
        torch.optim.Adam(network.parameters(), lr=1e-4, betas=recipe.betas, fused=True)
        for network in (generator, critic)
    )
    loss = make_loss(recipe.loss, recipe.label_noise)
    latent, kind = int(generator.latent), images.device.type
    low = partial(torch.autocast, kind, dtype=torch.bfloat16, enabled=precision == "bf16")
    step = 0

    def penalty(fake: Tensor) -> Tensor:
        total = torch.zeros((), device=kind)
        for weight, of in ((recipe.r1, images), (recipe.r2, fake)):
            if weight:
                total = total + float(weight) * squared_gradient(critic, of)
        if recipe.gp:
            mix = torch.rand(len(images), 1, 1, 1, device=kind)
            total = total + recipe.gp * gradient_penalty(critic, images, fake, mix)
        return total

    def train(iterations: int) -> None:
        nonlocal step
        for _ in range(iterations):
            with low():
                fake = generator(torch.randn(len(images), latent, device=kind))
                real_scores, fake_scores = critic(images).float(), critic(fake.detach()).float()
            value = loss.critic(real_scores, fake_scores)
            if recipe.drift:
                value = value + recipe.drift * drift(real_scores)
            if step % recipe.penalty_every == 0 and (recipe.r1 or recipe.r2 or recipe.gp):
                value = value + recipe.penalty_every * penalty(fake.detach().float())
            adam_c.zero_grad()
            value.backward()
            adam_c.step()

            critic.requires_grad_(False)
            reference = None
            with low():
                if loss.needs_real_scores:
                    with torch.no_grad():
                        reference = critic(images).float()
                fake_scores = critic(fake).float()
            value = loss.generator(reference, fake_scores)
            adam_g.zero_grad()
            value.backward()
            adam_g.step()
            critic.requires_grad_(True)
            # Autocast would go on with its copies of the weights before the step.
            torch.clear_autocast_cache()
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 0.01)
            step += 1

    return train


class Alternate(L.Callback):
    """After each cycle of galgen's step, a cycle of the other; both are timed."""

    def __init__(self, other: Train, cycle: int, clock: Clock) -> None:
        self.other, self.cycle, self.clock = other, cycle, clock
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
        if self._count > self.cycle * WARM_UP:
            self.ours.append(1e3 * (begin - self._then) / self.cycle)
            self.theirs.append(1e3 * (end - begin) / self.cycle)
        self._then = self.clock()


def trainer(how: How, callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    """A plain Trainer without pictures, metrics and loggers."""
    return L.Trainer(
        accelerator="gpu" if how.device == "cuda" else "cpu", devices=1, max_epochs=1,
        precision="bf16-mixed" if how.ours == "bf16" else "32-true",
        callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip


def cycle_of(recipe: Recipe) -> int:
    """Iterations from one penalty to the next, four without any."""
    return recipe.penalty_every if recipe.r1 or recipe.r2 or recipe.gp else 4


def race(model: AdversarialModule, peer: Peer, how: How) -> Result:
    """Train both in turns, a cycle of penalties at a time."""
    recipe, spec = model.recipe, model.spec
    images = 0.2 * torch.randn(how.batch, spec.n_bands, spec.size, spec.size)
    there = images.to(how.device)
    for network in (peer.generator, peer.critic):
        network.to(how.device)
    if peer.train is None:
        other = by_hand(peer, recipe, there, how.theirs)
    else:
        own = peer.train

        def other(iterations: int) -> None:
            own(iterations, there)

    cycle = cycle_of(recipe)
    alternate = Alternate(other, cycle, how.clock)
    if how.compiled:
        model.passes.compile(True)
    batches: Any = [{"images": images}] * (cycle * (how.cycles + WARM_UP))
    trainer(how, [alternate]).fit(model, DataLoader(batches, batch_size=None))
    weights = [*model.parameters(), *peer.generator.parameters(), *peer.critic.parameters()]
    assert all(weight.isfinite().all() for weight in weights)
    return Result(alternate.ours, alternate.theirs)
