"""Options and recipes that make no sense for a pair are refused, each with the way out."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from torch import nn

from galgen.errors import ConfigError
from galgen.losses import make_loss
from galgen.nn.condition import ConditionSettings
from galgen.nn.ending import EndSettings
from galgen.nn.layers import MinibatchStd
from galgen.sections import Recipe

if TYPE_CHECKING:
    from galgen.config import RunConfig
    from galgen.models.base import AdversarialModule


def check_options(pair: type[AdversarialModule], options: Mapping[str, Any]) -> None:
    """Refuse network options that the pair does not have, and values of another type.

    Parameters
    ----------
    pair
        Class of the pair; the keyword arguments of its `build` are its options, beside those of
        `EndSettings` and `ConditionSettings`.

    Raises
    ------
    ConfigError
        For the first that is wrong.
    """
    parameters = inspect.signature(pair.build).parameters.values()
    own = [p.name for p in parameters if p.default is not p.empty]
    known = [*own, *EndSettings.model_fields, *ConditionSettings.model_fields]
    kinds = get_type_hints(pair.build) | get_type_hints(EndSettings)
    kinds |= get_type_hints(ConditionSettings, include_extras=True)
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
            raise ConfigError(f"model.options.{name} is not an option of this model: {hint}")
        try:
            TypeAdapter(kinds.get(name, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            message = error.errors()[0]["msg"].replace("Input should be", "should be")
            raise ConfigError(f"model.options.{name}: {message}, got {value!r}.") from None


def sort_options(
    options: Mapping[str, Any],
) -> tuple[EndSettings, ConditionSettings, dict[str, Any]]:
    """Options of a pair's networks: those of every pair, and its own."""
    end = {k: v for k, v in options.items() if k in EndSettings.model_fields}
    condition = {k: v for k, v in options.items() if k in ConditionSettings.model_fields}
    own = {k: v for k, v in options.items() if k not in end and k not in condition}
    return EndSettings(**end), ConditionSettings(**condition), own


def check_networks(
    pair: type[AdversarialModule], generator: nn.Module, options: Mapping[str, Any]
) -> None:
    """Refuse options that the networks turned out to have no use for.

    Raises
    ------
    ConfigError
        For an option of the end of a generator that has none, and for more codes than the latent
        has room for beside what is free.
    """
    end, settings, _ = sort_options(options)
    name = next((name for name in options if name in end.model_fields_set), None)
    if name is not None and not hasattr(generator, "end"):
        raise ConfigError(f"model.options.{name}: {pair.name} does not end in an End.")
    latent = int(generator.latent)  # type: ignore[arg-type]
    wanted = settings.codes + (1 if settings.categories else 0)
    if wanted >= latent:
        raise ConfigError(
            f"model.options.codes and categories take {wanted} of the {latent} numbers of the "
            "latent, which leaves none free: choose fewer, or a larger model.options.latent."
        )
    if settings.categories == 1:
        raise ConfigError("model.options.categories 1 is no choice: take 2 or more, or 0 for none.")


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
        For label noise with another loss than ``bce``; style mixing with codes; a penalty per
        image in a critic that couples the images of a batch; a loss that needs a penalty without
        one; style mixing or path length without styles; growing in a pair that does not grow; a
        beta2 that would fall.
    """
    make_loss(recipe.loss, recipe.label_noise)
    coupled = pair.couples_images(options or {})
    if coupled:
        _check_coupled(recipe)
    _check_bounded(recipe, coupled)
    coded = next((k for k in ("codes", "categories") if (options or {}).get(k)), None)
    if coded and recipe.mixing:
        raise ConfigError(
            f"model.options.{coded} and recipe.mixing {recipe.mixing:g} do not go together, since "
            "an image of two latents has two sets of codes: set recipe.mixing to 0."
        )
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


def check_growth(config: RunConfig) -> None:
    """Refuse a run that would end before its pair has grown to full size."""
    begins, images = config.recipe.grow_images, config.train.images
    if begins != "auto" and begins >= images:
        raise ConfigError(
            f"recipe.grow_images {begins:,} leaves no time at full size in --images {images:,}: "
            "choose less of the first or more of the second."
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


def check_data(module: AdversarialModule, data: Any, replicas: int, *, named_bands: bool) -> None:
    """Refuse data that a module was not built for.

    Parameters
    ----------
    data
        The datamodule, with its spec, classes, stretch and global batch.
    replicas
        Number of processes.
    named_bands
        Whether the module's bands have names, which then must agree.
    """
    spec, own = data.spec, module.spec
    if (spec.size, spec.n_bands) != (own.size, own.n_bands) or (
        named_bands and spec.bands != own.bands
    ):
        raise ConfigError(
            f"the model makes {own.size} px images in {', '.join(own.bands)}, the "
            f"data hold {spec.size} px in {', '.join(spec.bands)}: build it with "
            "size=data.spec.size and bands=data.spec.bands."
        )
    for what, ours, theirs in (
        ("classes", module.conditions.classes, data.conditions.classes),
        ("numbers", module.conditions.names, data.conditions.names),
    ):
        if module.conditions and ours != theirs:
            raise ConfigError(
                f"the model knows the {what} {', '.join(ours) or 'none'}, the data "
                f"{', '.join(theirs) or 'none'}: build it with the data's, {what}=[...]."
            )
    if module.recipe.label_dropout and not module.conditions:
        raise ConfigError(
            f"recipe.label_dropout {module.recipe.label_dropout:g} has no labels to drop: give "
            "--labels or --condition, or set it to 0."
        )
    if module.options.get("clamp") and data.stretch.kind == "asinh":
        raise ConfigError(
            "model.options.clamp ends images at 0 and 1, but under an asinh stretch the sky's "
            "noise lies around 0: set it to false, or data.stretch to linear or minmax."
        )
    for layer in module.critic.modules():
        if not isinstance(layer, MinibatchStd) or data.batch % replicas:
            continue
        if layer.group_of(data.batch // replicas) != layer.group_of(data.batch):
            raise ConfigError(
                f"--batch {data.batch} on {replicas} devices tears the groups of {layer.group} "
                "that the critic compares: choose a multiple of "
                f"{layer.group * replicas}."
            )
