"""Recipes that make no sense for a pair are refused, each with its reason and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from galgen.errors import ConfigError
from galgen.losses import make_loss
from galgen.sections import Recipe

if TYPE_CHECKING:
    from galgen.models.base import AdversarialModule


def check_recipe(
    pair: type[AdversarialModule], recipe: Recipe, options: Mapping[str, Any] | None = None
) -> None:
    """Refuse a recipe that asks of a pair what it cannot do or what cannot work.

    An automatic weight of R1 and R2 is no mistake where it makes no sense: it is 0 there (see
    `galgen.models.objective.Objective`).

    Parameters
    ----------
    pair
        Class of the pair.
    recipe
        What it is to be trained by.
    options
        Options of its networks.

    Raises
    ------
    ConfigError
        For label noise with another loss than ``bce``; a penalty per image in a critic that
        couples the images of a batch; a loss that needs a penalty without one; style mixing or
        path length without styles; growing in a pair that does not grow; a beta2 that would
        fall.
    """
    make_loss(recipe.loss, recipe.label_noise)
    coupled = pair.couples_images(options or {})
    if coupled:
        _check_coupled(recipe)
    _check_bounded(recipe, coupled)
    for name, value in (("mixing", recipe.mixing), ("path_length", recipe.path_length)):
        if value and not pair.has_styles:
            raise ConfigError(
                f"recipe.{name} {value:g} needs a generator with styles, which {pair.name} has "
                "not: set it to 0, or choose a pair with styles (--model stylegan2)."
            )
    if recipe.grow_images not in ("auto", 0) and not pair.grows:
        raise ConfigError(
            f"recipe.grow_images {recipe.grow_images} is for pairs that grow from coarse to fine, "
            f"which {pair.name} does not: leave it out."
        )
    if recipe.beta2_start is not None and recipe.beta2_start > recipe.betas[1]:
        raise ConfigError(
            f"recipe.beta2_start {recipe.beta2_start:g} is above {recipe.betas[1]:g}, the second "
            "of recipe.betas that it rises to: choose a smaller one."
        )


def _check_coupled(recipe: Recipe) -> None:
    for name in ("r1", "r2", "gp"):
        weight = getattr(recipe, name)
        if weight != "auto" and weight > 0:
            raise ConfigError(
                f"recipe.{name} {weight:g} penalises the gradient of each image's own score, but "
                "batch norm in the critic lets a score depend on the other images of the batch: "
                f"set recipe.{name} to 0, or model.options.norm to none."
            )


def _check_bounded(recipe: Recipe, coupled: bool) -> None:
    """The two losses of score differences need a penalty.

    Without one a Wasserstein critic can scale its scores without bound (Arjovsky et al. 2017,
    arXiv:1701.07875, section 3), and the relativistic loss does not converge (Huang et al. 2024,
    arXiv:2501.05441, section 2). The other two losses have trained many a network without.
    """
    reasons = {
        "relativistic": "diverges without R1 and R2 (Huang et al. 2024)",
        "wasserstein": "has no bound on its scores without a penalty",
    }
    penalised = not coupled and (
        recipe.gp > 0 or any(w == "auto" or w > 0 for w in (recipe.r1, recipe.r2))
    )
    if penalised or recipe.loss not in reasons:
        return
    if coupled:
        way_out = (
            "and batch norm in the critic rules penalties out: set recipe.loss to logistic or bce, "
            "or model.options.norm to none"
        )
    elif recipe.loss == "relativistic":
        way_out = "set recipe.r1 and recipe.r2 to auto"
    else:
        way_out = "set recipe.gp to 10, or recipe.r1 and recipe.r2 to auto"
    joint = "," if coupled else ":"
    raise ConfigError(f"recipe.loss {recipe.loss} {reasons[recipe.loss]}{joint} {way_out}.")
