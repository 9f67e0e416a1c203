"""What a run says before it begins: options that change nothing, and what follows from others."""

from __future__ import annotations

from typing import Any

import pytest

from galgen.conditions import Conditions
from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.plan import describe, without_effect
from galgen.training.machine import Machine

CLASSES = Conditions(("edge", "round"), (5, 30))
NOTHING = Conditions()


def config(pair: str = "dcgan", recipe: dict[str, Any] | None = None, **options: Any) -> RunConfig:
    return RunConfig.build({"model": {"name": pair, "options": options}, "recipe": recipe or {}})


@pytest.mark.parametrize(
    ("given", "conditions", "words"),
    [
        (config(conditioning="auxiliary"), NOTHING, "conditioning auxiliary: there are no condit"),
        (config(conditioning="both"), NOTHING, "conditioning both: there are no conditions"),
        (config(recipe={"auxiliary": 2}), NOTHING, "recipe.auxiliary 2: there are no conditions"),
        (config(recipe={"auxiliary": 2}), CLASSES, "recipe.auxiliary 2: the critic does not tell"),
        (config(recipe={"information": 0.1}), CLASSES, "recipe.information 0.1: there are no code"),
        (
            config("radiogan", critic="dense", critic_width=32),
            CLASSES, "critic_width 32: the critic is dense",
        ),
        (config("radiogan", dense_width=9), CLASSES, "dense_width 9: the critic is convolutional"),
    ],
)  # fmt: skip
def test_options_without_effect_are_named(
    given: RunConfig, conditions: Conditions, words: str
) -> None:
    (sentence,) = without_effect(given, conditions)
    assert sentence.startswith("without effect: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("given", "conditions"),
    [
        (config(), NOTHING),
        (config(conditioning="projection"), NOTHING),
        (config(conditioning="both", recipe={"auxiliary": 2}), CLASSES),
        (config(codes=2, recipe={"information": 0.1}), NOTHING),
        (config(categories=3, recipe={"information": 0.1}), NOTHING),
        (config("radiogan", critic="dense", dense_width=9), CLASSES),
        (config("radiogan", critic_width=32), CLASSES),
        (config("dcgan", critic_widths=[8, 8, 8]), CLASSES),
    ],
)
def test_options_with_an_effect_are_not(given: RunConfig, conditions: Conditions) -> None:
    assert without_effect(given, conditions) == []


def test_a_run_says_both_that_and_what_augmentation_leaves_out() -> None:
    data = CutoutDataModule("sersic", size=16, count=12, condition="redshift")
    said = " ".join(describe(
        config(conditioning="both", recipe={"ada": True, "information": 0.5}),
        data, Machine("cpu", 1, "32"),
    ))  # fmt: skip
    assert "without effect: recipe.information 0.5" in said
    assert "without scale and cover" in said
    said = " ".join(describe(config(recipe={"ada": True}), data, Machine("cpu", 1, "32")))
    assert "without effect" not in said
    assert "without scale" not in said
