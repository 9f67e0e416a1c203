"""What a checkpoint says about its model beside the weights: JSON types only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import galgen
from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.stretch import Stretch
from galgen.training.replicas import of_all

if TYPE_CHECKING:
    from galgen.models.base import AdversarialModule

#: Layout of galgen's part of a checkpoint that this version writes and reads.
FORMAT = 3


def card_of(module: AdversarialModule) -> dict[str, Any]:
    """Everything that makes a checkpoint readable by itself."""
    return {
        "format": FORMAT,
        "version": galgen.__version__,
        "model": module.name,
        "options": dict(module.options),
        "recipe": module.recipe.model_dump(mode="json"),
        "spec": module.spec.to_dict(),
        "stretch": None if module.stretch is None else module.stretch.state(),
        "conditions": module.conditions.to_dict(),
        "clock": module.clock.state(),
        "seed": module.seed,
        "holdout": list(module.holdout),
        "trained_on": dict(module.trained_on),
        "config": module.run,
        "sums": module.means.state(),
        "path_mean": float(module.path_mean),
        "bad_steps": int(module.bad_steps),
        "lr_scale": module.lr_scale,
        "rollbacks": module.rollbacks,
        "micro": of_all(module.micro),
    }


def take_card(module: AdversarialModule, card: Mapping[str, Any]) -> None:
    """Take over the facts that a card states, and grow to its clock."""
    module.spec = ImageSpec.from_dict(card["spec"])
    module.stretch = None if card["stretch"] is None else Stretch.from_state(card["stretch"])
    module.conditions = Conditions.from_dict(card["conditions"])
    module.holdout = list(card["holdout"])
    module.trained_on = dict(card.get("trained_on") or {})
    module.clock.load(card["clock"])
    module.grow_to_clock()
