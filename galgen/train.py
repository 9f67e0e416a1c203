"""The verb ``train``: from a configuration to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import Tensor

from galgen.callbacks.snapshots import check_choice
from galgen.conditions import Conditions
from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.fitting import Outcome, Say, fit, outcome_of, quiet_lightning
from galgen.io.lock import only
from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.models.rules import check_data, check_growth, check_options, check_recipe
from galgen.models.sampling import KERNELS
from galgen.plan import describe, resolve, run_line, write_config
from galgen.randomness import key
from galgen.recovery import Found, put_aside
from galgen.resuming import (
    agree,
    find_begun,
    going_on,
    other_galaxies,
    plan_in,
    plan_resume,
)
from galgen.runs import RUNS, new_folder, run_label
from galgen.stretch import Stretch
from galgen.training import launch
from galgen.training.group import meet, of_first, told
from galgen.training.machine import IMAGES, choose, count_replicas, find_accelerator
from galgen.training.replicas import is_first
from galgen.training.tuning import agreed, tune
from galgen.transfer import settle

#: Batches of what Lightning calls an epoch; it means nothing here, so it is long.
EPOCH_BATCHES = 1000

__all__ = [
    "Outcome",
    "Say",
    "fit",
    "make_data",
    "make_model",
    "plan_resume",
    "prepare",
    "quiet_lightning",
    "resume",
    "start",
    "train",
]


def prepare(config: Mapping[str, Any] | None = None, *layers: Mapping[str, Any]) -> RunConfig:
    """Merge the model's preset under the given layers, and choose a length if none is given.

    Raises
    ------
    ConfigError
        For unknown keys, values and models.
    """
    given = [config or {}, *layers]
    name = RunConfig.build(*given).model.name
    pair = find(name)
    accelerator = find_accelerator(RunConfig.build(*given).train.accelerator)
    built = RunConfig.build({"train": {"images": IMAGES[accelerator]}}, pair.preset, *given)
    check_options(pair.load(), built.model.options)
    check_recipe(pair.load(), built.recipe, built.model.options)
    if pair.load().grows and built.recipe.grow_images == "auto":
        # Written down, so that a larger --images later does not shrink the pictures again.
        built = built.replace({"recipe.grow_images": built.train.images // 2})
    check_growth(built)
    if built.finetune is not None:
        raise ConfigError(
            "the configuration has a finetune section, which training from scratch has no use "
            "for: take it out, or use galgen finetune."
        )
    return built


def make_data(config: RunConfig, **changes: Any) -> CutoutDataModule:
    """The data module of a configuration, and no other where it cannot be trained on."""
    count_replicas(config)
    settings = config.data.model_dump() | changes
    return CutoutDataModule(
        **settings,
        batch=config.train.batch,
        seed=config.seed,
        epoch_images=EPOCH_BATCHES * config.train.batch,
    )


def make_model(
    config: RunConfig, data: CutoutDataModule, kernels: Tensor | None = None
) -> AdversarialModule:
    """A fresh pair for the data, its initial weights decided by the seed.

    `kernels` are those of a PSF that is known already, so that its file need not be there.
    """
    torch.manual_seed(key(config.seed, "weights"))
    conditions = data.conditions
    model = find(config.model.name).load()(
        data.spec.size,
        data.spec.bands,
        classes=conditions.classes,
        numbers=conditions.names,
        seed=config.seed,
        recipe=config.recipe,
        **config.model.options,
    )
    model.conditions = conditions
    # Here and not only when Lightning sets it up, where the run's folder is there already.
    devices, nodes = count_replicas(config)
    check_data(model, data, devices * nodes, named_bands=True)
    if kernels is None:
        model.make_psf(data.spec)
    else:
        model.set_psf(kernels)
    return model


def train(
    config: RunConfig | Mapping[str, Any] | None = None,
    *,
    out: str | Path = RUNS,
    say: Say | None = None,
    console: Console | None = None,
) -> Outcome:
    """Train a generator/critic pair from scratch.

    Parameters
    ----------
    config
        A `RunConfig`, or its fields as a (nested or dotted) mapping.
    out
        Folder that the run's own folder is made in.
    say
        Called with sentences for a person.
    console
        Where progress is shown; None shows none.

    Raises
    ------
    UserError
        If the data, the configuration or the folder cannot be used.

    Examples
    --------
    >>> outcome = train({"data.source": "hubble", "train.images": 40_000})  # doctest: +SKIP
    """
    built = config if isinstance(config, RunConfig) else prepare(config)
    data = make_data(built)
    return start(built, data, make_model(built, data), out=out, say=say, console=console)


def start(
    config: RunConfig,
    data: CutoutDataModule,
    model: AdversarialModule,
    *,
    out: str | Path,
    say: Say | None,
    console: Console | None,
    callbacks: Sequence[L.Callback] = (),
    opened: Callable[[Path], None] | None = None,
) -> Outcome:
    """Begin a run with a model, in a folder of its own; `opened` is told its name."""
    machine = choose(config)
    quiet_lightning()
    choice = tune(config, model, machine) if launch.first() else None
    met = meet(machine)
    choice = agreed(choice)
    config, machine = choice.applied(config, machine)
    config = resolve(config, data, machine)
    say = say or (lambda line: None)
    for line in [*describe(config, data, machine), *choice.reasons, *met]:
        say(line)

    with ExitStack() as held:

        def begin() -> Path:
            label = run_label(config.model.name, data.cutouts.name, data.spec.size)
            run = new_folder(Path(out), label)
            held.enter_context(only(run))
            write_config(run, config, data)
            say(f"run folder: {run}")
            if opened is not None:
                opened(run)
            return run

        run = of_first(begin)
        return fit(config, data, model, machine, run, say=say, console=console, more=callbacks)


def resume(
    run: str | Path | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    say: Say | None = None,
    console: Console | None = None,
) -> Outcome:
    """Go on with a run from its last checkpoint; one that is finished returns at once.

    A run that was stopped before it could save its beginning starts from there.

    Parameters
    ----------
    run
        The run folder; None for the newest under ``./runs``.
    changes
        Values that may differ from the run's own: a larger ``train.images``, ``train.minutes``,
        ``train.devices`` and the like.

    Raises
    ------
    CheckpointError
        If there is no run, or none of its checkpoints is whole.
    ConfigError
        If a change would make it another run.
    OutputError
        If another process works in its folder.
    """
    # The newest run may be another one by the time that further processes look for it.
    folder = find_begun(told() or run)
    with only(folder) if launch.first() else nullcontext():
        return _go_on(folder, changes or {}, say or (lambda line: None), console)


def _go_on(folder: Path, changes: Mapping[str, Any], say: Say, console: Console | None) -> Outcome:
    """`resume`, of a folder that no other process works in."""
    config, found = plan_in(folder, changes)
    machine = choose(config)
    met = meet(machine)
    folder, config, found = agree(folder, config, found, changes)
    machine = choose(config)
    done = 0 if found is None else found.images
    if done >= config.train.images:
        asked = f", and --images asks for {config.train.images:,}"
        asked = asked if done > config.train.images else ""
        say(f"{folder} is finished at {done:,} images{asked}: a larger --images goes further.")
        return outcome_of(folder, done, "finished")
    for line in (*going_on(folder, config, found, changes), run_line(config, machine), *met):
        say(line)
    if found is None:
        data = make_data(config)
        model = make_model(config, data)
    else:
        data, model = _as_it_was(folder, config, found)
        changed = other_galaxies(found, data.fingerprint)
        if changed:
            say(changed)
    if is_first():
        write_config(folder, config, data)
        if found is not None:
            put_aside(found)
    path, images = (None, None) if found is None else (found.path, found.images)
    return fit(
        config,
        data,
        model,
        machine,
        folder,
        say=say,
        console=console,
        resume_from=path,
        resumed_at=images,
    )


def _as_it_was(
    folder: Path, config: RunConfig, found: Found
) -> tuple[CutoutDataModule, AdversarialModule]:
    """What the run began with, even if files have come or gone since."""
    card = found.card
    then = Conditions.from_dict(card["conditions"])
    data = make_data(
        config,
        holdout=list(card["holdout"]),
        stretch=Stretch.from_state(card["stretch"]),
        standard=then.numbers,
    )
    check_choice(config.train, data.spec, data.conditions.classes)
    _refuse_other_conditions(folder, then, data.conditions)
    model = make_model(config, data, found.content["ema"].get(KERNELS))
    settle(model, config)
    return data, model


def _refuse_other_conditions(run: Path, then: Conditions, now: Conditions) -> None:
    """The networks know classes and numbers by their places."""
    for what, old, new in (
        ("classes", then.classes, now.classes),
        ("numbers", then.names, now.names),
    ):
        if old != new:
            raise ConfigError(
                f"{run} began with the {what} {', '.join(old) or 'none'}, and its data now have "
                f"{', '.join(new) or 'none'}: put them back as they were, or use galgen finetune."
            )
