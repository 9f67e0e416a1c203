"""What a training step takes from the clock: resolution, Adam's memory, rates, gamma."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from contract import fit
from galgen.data.module import CutoutDataModule
from galgen.models.registry import find

BATCH = 8
# Of a pair of sides 4, 8 and 16 that is fully grown from 80 images on: images before the step,
# level, alpha, and Adam's steps since the level began. 40 images a level, 16 of them fading.
STAGES = [
    (0, 0, 1.0, 0),
    (8, 0, 1.0, 1),
    (16, 0, 1.0, 2),
    (24, 0, 1.0, 3),
    (32, 0, 1.0, 4),
    (40, 1, 0.0, 0),
    (48, 1, 0.5, 1),
    (56, 1, 1.0, 2),
    (64, 1, 1.0, 3),
    (72, 1, 1.0, 4),
    (80, 2, 0.0, 0),
    (88, 2, 0.5, 1),
    (96, 2, 1.0, 2),
    (104, 2, 1.0, 3),
]
SIDES = [4, 8, 16]


@dataclass
class Watch(Callback):
    """What each batch brought, what the critic was shown, and with what each network stepped."""

    batches: list[Tensor] = field(default_factory=list)
    shown: list[list[Tensor]] = field(default_factory=list)
    stood: list[list[tuple[int, float]]] = field(default_factory=list)
    steps: list[list[dict[str, Any]]] = field(default_factory=list)

    def on_train_start(self, trainer: Any, module: Any) -> None:
        judge = module.critic.judge

        def see(images: Tensor, condition: Tensor | None = None) -> Any:
            self.shown[-1].append(images.detach().clone())
            networks = (module.generator, module.critic, module.average.network)
            if module.grows:
                self.stood[-1] = [(network.level, network.alpha) for network in networks]
            return judge(images, condition)

        def note(adam: Any, *_: Any) -> None:
            group = adam.param_groups[0]
            last = adam.state.get(self.used(adam, module), {})
            now = {
                "which": trainer.optimizers.index(adam),
                "lr": group["lr"],
                "betas": group["betas"],
                "decay": module.objective.decay,
                "before": int(last.get("step", 0)),
            }
            self.steps[-1].append(now)

        module.critic.judge = see
        for adam in trainer.optimizers:
            adam.register_step_pre_hook(note)

    @staticmethod
    def used(adam: Any, module: Any) -> Any:
        """A parameter that the network uses at every level."""
        owned = {id(p) for group in adam.param_groups for p in group["params"]}
        one = next(module.generator.parameters())
        return one if id(one) in owned else module.critic.score.weight

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.batches.append(batch["images"].clone())
        for seen in (self.shown, self.stood, self.steps):
            seen.append([])


def watch(pair: str, batches: int, total: int | None, recipe: dict[str, Any]) -> tuple[Any, Watch]:
    # Without penalties the critic sees the reals first of all.
    model = find(pair).load()(
        16, 3, recipe={"loss": "logistic", **recipe}, latent=8, width=4, max_width=4,
        **({"group": 4} if pair == "r3gan" else {}),
    )  # fmt: skip
    model.total_images = total
    seen = Watch()
    data = CutoutDataModule("sersic", size=16, batch=BATCH, count=32, epoch_images=BATCH * batches)
    fit(model, data, batches, callbacks=[seen])
    assert len(seen.batches) == batches
    return model, seen


def faded(images: Tensor, side: int, alpha: float) -> np.ndarray:
    """Reals at a level: block means, blended with those of blocks of twice the side."""
    exact = images.double().numpy()

    def blocks(side: int) -> np.ndarray:
        width = 16 // side
        return exact.reshape(BATCH, 3, side, width, side, width).mean(axis=(3, 5))

    coarse = blocks(side // 2).repeat(2, axis=2).repeat(2, axis=3)
    return alpha * blocks(side) + (1 - alpha) * coarse


@pytest.fixture(scope="module", params=[(80, None), ("auto", 160)], ids=["80 images", "auto"])
def grown(request: pytest.FixtureRequest) -> tuple[Any, Watch]:
    torch.manual_seed(0)
    images, total = request.param
    recipe = {"r1": 0.0, "r2": 0.0, "grow_images": images}
    return watch("progan", len(STAGES), total, recipe)


def test_networks_and_average_stand_where_the_clock_says(grown: tuple[Any, Watch]) -> None:
    model, seen = grown
    for (images, level, alpha, _), stood in zip(STAGES, seen.stood, strict=True):
        assert stood == [(level, pytest.approx(alpha))] * 3, images
    assert model.clock.images == BATCH * len(STAGES)


def test_the_critic_is_shown_both_kinds_at_the_levels_side(grown: tuple[Any, Watch]) -> None:
    _, seen = grown
    for (images, level, alpha, _), batch, shown in zip(
        STAGES, seen.batches, seen.shown, strict=True
    ):
        side = SIDES[level]
        # Reals and fakes together for the critic, fakes for the generator.
        shapes = [(count, 3, side, side) for count in (2 * BATCH, BATCH)]
        assert [tuple(x.shape) for x in shown] == shapes, images
        want = faded(batch, side, alpha)
        assert np.abs(shown[0][:BATCH].double().numpy() - want).max() < 1e-5, images
        if alpha < 1:
            # A real that has not faded would not have passed.
            assert np.abs(want - faded(batch, side, 1.0)).max() > 1e-2, images


def test_adam_forgets_at_each_new_level_and_only_there(grown: tuple[Any, Watch]) -> None:
    _, seen = grown
    for (images, *_, before), steps in zip(STAGES, seen.steps, strict=True):
        assert {step["which"]: step["before"] for step in steps} == {0: before, 1: before}, images


def test_a_pair_that_begins_fully_grown_stays_so() -> None:
    model, seen = watch("progan", 3, 160, {"r1": 0.0, "r2": 0.0, "grow_images": 0})
    assert seen.stood == [[(2, 1.0)] * 3] * 3
    assert [[step["before"] for step in steps] for steps in seen.steps] == [[0, 0], [1, 1], [2, 2]]
    assert torch.equal(seen.shown[0][0][:BATCH], seen.batches[0])
    assert (model.generator.level, model.average.network.level) == (2, 2)


# Fraction done, half of 1 + cos(pi times it); the last step lies behind the end.
COSINE = [
    (0.0, 1.0),
    (1 / 6, 0.9330127018922193),
    (1 / 3, 0.75),
    (1 / 2, 0.5),
    (2 / 3, 0.25),
    (5 / 6, 0.0669872981077807),
    (1.0, 0.0),
    (7 / 6, 0.0),
]


def test_r3gans_rates_gamma_and_beta2_each_follow_their_cosine() -> None:
    recipe = {"lr": 2e-3, "lr_critic": 5e-3, "lr_decay": 0.2, "gamma_decay": 0.1}
    recipe |= {"betas": (0.0, 0.99), "beta2_start": 0.9, "loss": "relativistic"}
    model, seen = watch("r3gan", len(COSINE), 6 * BATCH, recipe)
    for (done, share), steps in zip(COSINE, seen.steps, strict=True):
        assert [step["which"] for step in steps] == [1, 0]
        for step in steps:
            rate = (2e-3, 5e-3)[step["which"]]
            assert step["lr"] == pytest.approx(rate * (0.2 + 0.8 * share), rel=1e-6), done
            assert step["betas"] == pytest.approx((0.0, 0.99 - 0.09 * share), abs=1e-9), done
            assert step["decay"] == pytest.approx(0.1 + 0.9 * share, rel=1e-6), done
    assert [group["lr"] for adam in model.trainer.optimizers for group in adam.param_groups] == [
        pytest.approx(4e-4), pytest.approx(1e-3),
    ]  # fmt: skip


def test_without_an_end_nothing_is_scheduled() -> None:
    recipe = {"lr": 2e-3, "lr_decay": 0.2, "gamma_decay": 0.1, "beta2_start": 0.9}
    _, seen = watch("r3gan", 2, None, recipe)
    found = {(s["lr"], s["betas"], s["decay"]) for steps in seen.steps for s in steps}
    assert found == {(2e-3, (0.0, 0.9), 1.0)}
