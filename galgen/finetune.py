"""The verb ``finetune``: go on from a checkpoint, on other galaxies, with layers frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
from rich.console import Console

from galgen import checkpoint
from galgen.checkpoint import TrainedModel
from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.exported import is_exported, learned_from, own_data
from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.models.rules import check_growth, check_options, check_recipe
from galgen.runs import RUNS
from galgen.train import Outcome, Say, make_data, make_model, start
from galgen.training.machine import IMAGES, find_accelerator
from galgen.transfer import CarryMoments, other_size, transfer

#: Learning rates of fine-tuning are no higher, unless the user says so.
GENTLE = 5e-4


def prepare(source: TrainedModel, data: str | None = None, *layers: Mapping[str, Any]) -> RunConfig:
    """The configuration of a fine-tuning run.

    The pair, its options and the recipe come from the checkpoint; the data too, unless named. A
    growing pair starts fully grown. Where the clock is kept, the layers' ``train.images`` are the
    run's own, and the configuration's count the checkpoint's too.

    Raises
    ------
    ConfigError
        For unknown keys and values, no data at all, or what the checkpoint has not to keep.
    """
    old = source.config
    recipe = dict(source.card["recipe"])
    recipe["grow_images"] = 0 if find(source.name).load().grows else "auto"
    recipe["lr"] = min(recipe["lr"], GENTLE)
    if recipe["lr_critic"] is not None:
        recipe["lr_critic"] = min(recipe["lr_critic"], GENTLE)
    base: dict[str, Any] = {
        "model": {"name": source.name, "options": dict(source.card["options"])},
        "recipe": recipe,
        "finetune": {"checkpoint": str(source.path)},
        "data": {"size": source.spec.size},
    }
    own = data is None or is_own(source, data)
    if own:
        way_out = "name the data, galgen finetune CKPT DATA"
        named = own_data(source, way_out) if data is None else data
        base["data"] = {**old["data"], "source": named}
        base["seed"] = old.get("seed", 0)
    else:
        base["data"]["source"] = data
    accelerator = find_accelerator(str(RunConfig.build(base, *layers).train.accelerator))
    start = {"finetune.checkpoint": str(source.path)}
    config = RunConfig.build({"train": {"images": IMAGES[accelerator] // 2}}, base, *layers, start)
    if config.model.name != source.name:
        raise ConfigError(
            f"--model {config.model.name} is not the checkpoint's {source.name}: leave it out."
        )
    if config.data.size not in (None, source.spec.size):
        raise ConfigError(other_size(source, config.data.size))
    check_options(find(source.name).load(), config.model.options)
    check_recipe(find(source.name).load(), config.recipe, config.model.options)
    check_growth(config)
    keep = config.finetune.keep if config.finetune is not None else ()
    _refuse_keeping(source, keep)
    if "clock" in keep:
        config = config.replace({"train.images": source.images + config.train.images})
    return config


def _refuse_keeping(source: TrainedModel, keep: Sequence[str]) -> None:
    wanted = [name for name in keep if name != "clock"]
    if wanted and source.path.is_dir():
        raise ConfigError(
            f"--keep {','.join(wanted)}: {source.path} is an exported model, which holds the "
            "averaged generator alone and no optimizers; give the run that it was exported from."
        )


def finetune(
    source: str | Path | TrainedModel | None = None,
    data: str | None = None,
    *,
    config: Mapping[str, Any] | RunConfig | None = None,
    freeze: int | None = None,
    out: str | Path = RUNS,
    say: Say | None = None,
    console: Console | None = None,
) -> Outcome:
    """Fine-tune a model on other galaxies.

    Parameters
    ----------
    source
        Checkpoint, run or exported folder, or a loaded model; None for the newest run's, else
        the model that galgen ships.
    data
        Folder or built-in name; None for the checkpoint's own.
    config
        Further settings, nested or dotted.
    freeze
        Generator layers to freeze, counted from the latent.
    out, say, console
        As `galgen.train.train`.

    Raises
    ------
    UserError
        If the checkpoint, the data or the settings cannot be used.
    """
    model = source if isinstance(source, TrainedModel) else checkpoint.load(source)
    if isinstance(config, RunConfig):
        built = config
    else:
        extra = {} if freeze is None else {"finetune.freeze": freeze}
        built = prepare(model, data, config or {}, extra)
    say = say or (lambda line: None)
    built, cutouts, fresh, callbacks = begin(model, built, say)
    return start(built, cutouts, fresh, out=out, say=say, console=console, callbacks=callbacks)


def begin(
    source: TrainedModel, config: RunConfig, say: Say, holdout: Sequence[str] | None = None
) -> tuple[RunConfig, CutoutDataModule, AdversarialModule, list[L.Callback]]:
    """What a run starts with, with sentences; writes nothing.

    The configuration comes back without what it has from the checkpoint and the data have no use
    for: ``data.balance``, ``data.merge`` and ``recipe.label_dropout`` where there are no classes
    or no conditions. A value that differs from the checkpoint's stays, to be refused.

    Parameters
    ----------
    holdout
        Names of the galaxies to hold out; by default those of the checkpoint on its own data,
        else as the configuration says.
    """
    say(f"starting from {source.path} ({source.images:,} images)")
    if config.data.labels == "none" and config.data.merge:
        config = _without(source, config, "data.merge", "classes are left alone", say)
    # Numbers of the same name keep their meaning for the networks.
    standard = source.module.conditions.numbers
    if holdout is not None:
        data = make_data(config, holdout=list(holdout), standard=standard)
    elif source.holdout and is_own(source, config.data.source):
        data = make_data(config, holdout=list(source.holdout), standard=standard)
        if is_exported(source.path) and not data.holdout_names:
            raise ConfigError(
                f"{config.data.source} has the name of the data that {source.path} was trained on, "
                "but none of the galaxies that it held out: give that folder another name."
            )
        say(f"the {len(source.holdout):,} galaxies that it was never trained on stay held out")
    else:
        data = make_data(config, standard=standard)
    if config.data.balance and len(data.classes) < 2:
        config = _without(source, config, "data.balance", "the data have no classes", say)
        data.balance = config.data.balance
    if config.recipe.label_dropout and not data.conditions:
        why = "the data have no conditions"
        config = _without(source, config, "recipe.label_dropout", why, say)
    model = make_model(config, data)
    model.spec = data.spec
    taken = transfer(source, model, config)
    for line in taken.sentences():
        say(line)
    if source.module.grows:
        level, alpha = source.module.growth.at(source.images)
        sides = cast(list[int], source.module.generator.sides)
        if (sides[level], alpha) != (sides[-1], 1.0):
            say(f"it had grown to {sides[level]} px: what makes finer detail is hardly trained")
    keep = config.finetune.keep if config.finetune is not None else ()
    if keep:
        say("going on with the checkpoint's " + ", ".join(keep))
    return config, data, model, [CarryMoments(taken.moments)] if taken.moments else []


def _without(source: TrainedModel, config: RunConfig, key: str, why: str, say: Say) -> RunConfig:
    """The configuration with one key at its default, if its value is the checkpoint's."""
    section, name = key.split(".")
    value = getattr(getattr(config, section), name)
    own = source.card["recipe"]
    if section == "data":
        own = source.config["data"] if is_own(source, config.data.source) else {}
    default = getattr(getattr(RunConfig(), section), name)
    changed = config.to_dict()
    if own.get(name) != changed[section][name]:
        return config
    shown = ", ".join(value) if isinstance(value, dict) else f"{value}".lower()
    say(f"the checkpoint's {key} ({shown}) is left out: {why}")
    changed[section][name] = default
    return RunConfig.build(changed)


def is_own(source: TrainedModel, data: str) -> bool:
    """True if the model was trained on that data, however its name is spelled."""
    return learned_from(source, data)
