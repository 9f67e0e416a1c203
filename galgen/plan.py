"""What a run is going to do: said to a person, and written down in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galgen.callbacks.snapshots import check_choice, choice_notes
from galgen.conditions import Conditions
from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.data.source import canonical, left_out
from galgen.io.atomic import replacing
from galgen.models.objective import Objective
from galgen.models.registry import find
from galgen.models.rules import sort_options
from galgen.runs import CONFIG
from galgen.sections import Recipe
from galgen.training.machine import Machine


def describe(config: RunConfig, data: CutoutDataModule, machine: Machine) -> list[str]:
    """What was chosen, one sentence each."""
    spec, train = data.spec, config.train
    lines = list(data.cutouts.notes)
    lines.append(
        f"data: {data.cutouts.name}, {len(data.split[0]):,} galaxies to train on and "
        f"{len(data.split[1]):,} held out, {spec.size} px, {', '.join(spec.bands)} ({spec.unit})"
    )
    lines += asked_for(data.conditions)
    settings = sort_options(config.model.options)[1]
    if settings.codes or settings.categories:
        parts = [(settings.codes, "continuous"), (settings.categories, "categories")]
        found = " and ".join(f"{count} {what}" for count, what in parts if count)
        lines.append(f"codes: {found}, which the critic has to find in the images")
    lines += penalties(config, data)
    lines += without_effect(config, data.conditions)
    lines += choice_notes(train, data.conditions)
    grown = config.recipe.grow_images
    if grown and grown != "auto":
        lines.append(f"growing: coarse to fine, full size comes in from {grown:,} images on")
    if config.recipe.ada:
        most = config.recipe.ada_max
        lines.append(f"augmentation: in front of the critic, with a probability up to {most:g}")
        if data.conditions.numbers and settings.conditioning != "projection":
            lines[-1] += ", without scale and cover, since it reads numbers in what it sees"
    lines.append(run_line(config, machine))
    return lines + left_out(data.cutouts.bad)


def run_line(config: RunConfig, machine: Machine) -> str:
    """What trains how long, and on what."""
    train = config.train
    compiled = ", compiled" if train.compile == "on" else ""
    return (
        f"run: {config.model.name}, {train.images:,} images in batches of {train.batch}, "
        f"on {machine}{compiled}"
    )


def asked_for(conditions: Conditions) -> list[str]:
    """Sentences on what galaxies can be asked to be."""
    lines = []
    if conditions.classes:
        counts = zip(conditions.classes, conditions.counts, strict=True)
        lines.append("classes: " + ", ".join(f"{name} {count:,}" for name, count in counts))
    if conditions.numbers:
        ranges = (f"{n.name} from {n.low:.4g} to {n.high:.4g}" for n in conditions.numbers)
        lines.append("conditions: " + ", ".join(ranges))
    return lines


def without_effect(config: RunConfig, conditions: Conditions) -> list[str]:
    """A sentence for each option that says something and changes nothing."""
    recipe, options = config.recipe, config.model.options
    settings = sort_options(options)[1]
    reads = settings.conditioning != "projection"
    weights = {name: Recipe.model_fields[name].default for name in ("auxiliary", "information")}
    found = []
    if reads and not conditions:
        found.append(
            f"model.options.conditioning {settings.conditioning}: there are no conditions, "
            "see --labels and --condition"
        )
    if recipe.auxiliary != weights["auxiliary"] and not (reads and conditions):
        why = (
            "the critic does not tell conditions under model.options.conditioning projection"
            if conditions
            else "there are no conditions, see --labels and --condition"
        )
        found.append(f"recipe.auxiliary {recipe.auxiliary:g}: {why}")
    if recipe.information != weights["information"] and not (settings.codes or settings.categories):
        found.append(
            f"recipe.information {recipe.information:g}: there are no codes, see "
            "model.options.codes and model.options.categories"
        )
    dense = options.get("critic") == "dense"
    idle = "critic_width" if dense else "dense_width"
    if idle in options:
        critic = "dense" if dense else "convolutional"
        found.append(f"model.options.{idle} {options[idle]}: the critic is {critic}")
    return [f"without effect: {sentence}" for sentence in found]


def penalties(config: RunConfig, data: CutoutDataModule) -> list[str]:
    """A sentence on the penalties and what their weights come from, where there are any."""
    pair = find(config.model.name).load()
    objective = Objective(
        config.recipe,
        data.spec.size,
        data.variance,
        config.train.batch,
        len(data.split[0]),
        coupled=pair.couples_images(config.model.options),
    )
    sentence = objective.describe()
    return [sentence] if sentence else []


def write_config(run: Path, config: RunConfig, data: CutoutDataModule) -> None:
    """Write config.yaml. ``auto`` weights stay, so that fine-tuning on other images chooses its
    own; what they are for these images stands on top.
    """
    notes = "".join(f"# {line}\n" for line in penalties(config, data))
    with replacing(run / CONFIG, durable=True) as path:
        path.write_text(notes + config.to_yaml(), encoding="utf-8")


def resolve(config: RunConfig, data: CutoutDataModule, machine: Machine) -> RunConfig:
    """The configuration with everything that was chosen automatically written down.

    Raises
    ------
    ConfigError
        If snapshots cannot be chosen as it says.
    """
    spec = data.spec
    check_choice(config.train, spec, data.conditions.classes)
    changes: dict[str, Any] = {
        "data.size": spec.size,
        "data.bands": list(spec.bands),
        "data.stretch": data.stretch.kind,
        "data.source": canonical(config.data.source),
        "train.precision": machine.precision,
        "train.devices": machine.devices,
        "train.nodes": machine.nodes,
        "train.accelerator": machine.accelerator,
    }
    return config.replace(changes)
