"""What conditions and codes do to the losses of a step, and that dropping labels drops them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from galgen.errors import ConfigError
from galgen.models.dcgan import DCGAN
from galgen.models.objective import Objective
from galgen.models.reading import Reading
from galgen.models.rules import check_recipe
from galgen.models.step import Part
from galgen.nn.condition import ConditionSettings, Given, Guess
from galgen.nn.scoring import Judgement
from galgen.randomness import StepStreams
from galgen.sections import Recipe

ROWS = torch.eye(3)[[0, 1, 2, 1]]
Z = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
SETTINGS = ConditionSettings(conditioning="both", codes=2)


def reading(**recipe: float) -> Reading:
    return Reading(Guess(8, Given(3, 0, SETTINGS)), ROWS, Z, Recipe(**recipe))


def judge(images: Tensor) -> Judgement:
    flat = images.flatten(1)
    return Judgement(flat.mean(dim=1), flat[:, :5])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 3.0), (0.0, 0.0)])
def test_the_critic_reads_conditions_in_real_images_and_codes_in_its_fakes(
    weights: tuple[float, float],
) -> None:
    told = reading(auxiliary=weights[0], information=weights[1])
    real, fake = torch.randn(2, 4, 1, 4, 4)
    objective = Objective(Recipe(loss="logistic", r1=0, r2=0), size=4)

    def critic(reading: Reading | None) -> Tensor:
        return objective.critic(judge, real, fake, None, lambda *_: None, reading)[0]

    guess = told.guess
    want = weights[0] * guess.missed(judge(real).read, ROWS)
    want = want + weights[1] * guess.missed_codes(judge(fake).read, Z)
    assert torch.allclose(critic(told) - critic(None), want, atol=1e-5)

    def generator(reading: Reading | None) -> Tensor:
        return objective.generator(judge, real, fake, lambda *_: None, reading)

    want = weights[0] * guess.missed(judge(fake).read, ROWS)
    want = want + weights[1] * guess.missed_codes(judge(fake).read, Z)
    assert torch.allclose(generator(told) - generator(None), want, atol=1e-5)


def test_dropped_labels_are_a_fraction_keyed_by_the_clock() -> None:
    model = DCGAN(16, 1, classes=("a", "b", "c"), recipe={"label_dropout": 0.3})
    rows = torch.eye(3)[torch.arange(1200) % 3]

    def told(images: int, rank: int = 0, world: int = 1) -> Tensor:
        local = 1200 // world
        streams = StepStreams(0, images, local, rank, world)
        batch = {"condition": rows[rank * local : (rank + 1) * local]}
        return model._condition(batch, streams)

    whole = told(0)
    dropped = ~whole.any(dim=1)
    assert 0.25 < float(dropped.double().mean()) < 0.35
    assert torch.equal(whole[~dropped], rows[~dropped])
    assert torch.equal(torch.cat([told(0, rank, 2) for rank in (0, 1)]), whole)
    assert not torch.equal(told(1200), whole)


def test_without_dropping_every_galaxy_keeps_its_own() -> None:
    model = DCGAN(16, 1, classes=("a", "b", "c"))
    batch: dict[str, Any] = {"condition": ROWS}
    assert model._condition(batch, StepStreams(0, 0, 4)) is ROWS
    assert DCGAN(16, 1)._condition(batch, StepStreams(0, 0, 4)) is None


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="leaves none free"):
        DCGAN(16, 1, latent=4, codes=3, categories=2)
    with pytest.raises(ConfigError, match="categories 1 is no choice"):
        DCGAN(16, 1, categories=1)
    with pytest.raises(ConfigError, match=r"model\.options\.conditioning"):
        DCGAN(16, 1, conditioning="maybe")
    with pytest.raises(ConfigError, match=r"model\.options\.codes.*-1"):
        DCGAN(16, 1, codes=-1)
    with pytest.raises(ConfigError, match=r"codes and recipe\.mixing 0\.9.*recipe\.mixing to 0"):
        check_recipe(DCGAN, Recipe(mixing=0.9), {"codes": 2})


@pytest.mark.parametrize(
    ("conditioning", "numbers", "kept"),
    [("auxiliary", ("mag_r",), True), ("both", ("mag_r",), True), ("both", (), False),
     ("projection", ("mag_r",), False)],
)  # fmt: skip
def test_images_that_numbers_are_read_in_keep_size_and_flux(
    monkeypatch: pytest.MonkeyPatch, conditioning: str, numbers: tuple[str, ...], kept: bool
) -> None:
    seen = []

    def note(images: Tensor, draws: Tensor, p: Tensor, *, keep_numbers: bool = False) -> Tensor:
        seen.append(keep_numbers)
        return images

    monkeypatch.setattr("galgen.models.step.augment", note)
    model = DCGAN(
        16, 1, classes=("a", "b"), numbers=numbers, recipe={"ada": True},
        widths=[4, 4, 4], critic_widths=[4, 4, 4], conditioning=conditioning,
    )  # fmt: skip
    rows = torch.zeros(2, model.conditions.width)
    Part(model, torch.zeros(2, 1, 16, 16), rows, StepStreams(0, 0, 2), torch.zeros(()), graph=False)
    assert seen == [kept, kept]
