"""What galgen's training loop costs over a loop written by hand.

Both train the same `dcgan` networks from the same weights in float32 on the same simulated galaxies
in memory, with the same loss, Adam, average of the generator, turns and flips. galgen's loop is a
plain Lightning Trainer with `CutoutDataModule` and neither pictures, metrics nor loggers; the other
is what one would write by hand in PyTorch. A cycle is four iterations, one of which has penalties
where there are any. Medians count; the quickest cycles stand beside them.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen import DCGAN, CutoutDataModule
from galgen.data.augment import Augmentation
from galgen.sections import Recipe
from peers.loop import WARM_UP, Alternate, How, trainer

CYCLE = 4


def half_squared_gradient(critic: torch.nn.Module, images: Tensor) -> Tensor:
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()


def by_hand(
    model: DCGAN, images: Tensor, batch: int, gammas: tuple[float, float]
) -> Callable[[int], None]:
    """The hand-written loop, as a function that trains so many iterations."""
    generator, critic = copy.deepcopy(model.generator), copy.deepcopy(model.critic)
    average = copy.deepcopy(generator).requires_grad_(False)
    recipe = model.recipe
    adam_g, adam_c = (
        torch.optim.Adam(network.parameters(), lr=recipe.lr, betas=recipe.betas, fused=True)
        for network in (generator, critic)
    )
    augmentation, random = Augmentation(), torch.Generator().manual_seed(0)
    decay = 0.5 ** (batch / recipe.ema_images)
    order: list[int] = []
    step = 0

    def train(iterations: int) -> None:
        nonlocal order, step
        for _ in range(iterations):
            if len(order) < batch:
                order = torch.randperm(len(images)).tolist()
            chosen, order = order[:batch], order[batch:]
            real = augmentation.apply(images[chosen], augmentation.draw(batch, random))
            real = real.contiguous(memory_format=torch.channels_last)
            fake = generator(torch.randn(batch, generator.latent))

            loss = F.softplus(critic(fake.detach()) - critic(real)).mean()
            if any(gammas) and step % CYCLE == 0:
                r1, r2 = half_squared_gradient(critic, real), half_squared_gradient(critic, fake)
                loss = loss + CYCLE * (gammas[0] * r1 + gammas[1] * r2)
            adam_c.zero_grad()
            loss.backward()
            adam_c.step()

            critic.requires_grad_(False)
            with torch.no_grad():
                real_scores = critic(real)
            loss = F.softplus(real_scores - critic(fake)).mean()
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            critic.requires_grad_(True)

            with torch.no_grad():
                torch._foreach_lerp_(
                    list(average.parameters()), list(generator.parameters()), 1 - decay
                )
            step += 1

    return train


def measure(options: argparse.Namespace, penalties: bool) -> float:
    """Print one comparison; give the ratio of the medians."""
    # A recipe without penalties is refused; so they are due once, while the loops warm up.
    recipe = Recipe(penalty_every=CYCLE if penalties else 10**6)
    size, bands = options.sizes[0], ("g", "r", "i")
    data = CutoutDataModule(
        "sersic", size=size, bands=bands, count=512, batch=options.batch,
        epoch_images=10**9,
    )  # fmt: skip
    torch.manual_seed(0)
    model = DCGAN(size=size, bands=bands, recipe=recipe)
    data.setup("fit")
    kept = data.train_set.kept
    assert kept is not None
    weight = 0.25 * (size / 32) ** 2 if penalties else 0.0
    clock = time.process_time if options.cpu else time.perf_counter
    other = by_hand(model, kept, options.batch, (weight, weight))
    alternate = Alternate(other, CYCLE, clock)
    batches = CYCLE * (options.cycles + WARM_UP)
    how = How(options.batch, options.cycles, clock)
    trainer(how, [alternate], limit_train_batches=batches, use_distributed_sampler=False).fit(
        model, data
    )
    ours, theirs = median(alternate.ours), median(alternate.theirs)
    pairs = median(a / b for a, b in zip(alternate.ours, alternate.theirs, strict=True))
    quick, quickest = min(alternate.ours), min(alternate.theirs)
    print(
        f"| {'R1 and R2 every 4th' if penalties else 'none'} "
        f"| {ours:.1f} ({quick:.1f}) | {theirs:.1f} ({quickest:.1f}) "
        f"| {ours / theirs:.3f} | {quick / quickest:.3f} | {pairs:.3f} |",
        flush=True,
    )
    return ours / theirs


def table(options: argparse.Namespace) -> None:
    """Print the table, and the worst ratio last."""
    print(
        f"ms per iteration at {options.sizes[0]} px, batch {options.batch}, 3 bands, float32, "
        f"{torch.get_num_threads()} thread(s): median (quickest)\n"
    )
    print("| penalties | galgen | by hand | medians | quickest | median of pairs |")
    print("| --- | --- | --- | --- | --- | --- |")
    worst = max(measure(options, penalties) for penalties in (False, True))
    print(f"\ngalgen / by hand, worst of the medians: {worst:.3f}")
