"""The verb ``train``: from a configuration to a run folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import Tensor

from galgen import checkpoint
from galgen.callbacks.collapse import CollapseAlarm
from galgen.callbacks.ending import Ending
from galgen.callbacks.log import LogMeans
from galgen.callbacks.metrics import ColourMagnitudeCallback, FrechetCallback, RadioCallback
from galgen.callbacks.pictures import SampleGrid, write_grid
from galgen.callbacks.progress import TrainingProgress
from galgen.callbacks.snapshots import Snapshots, check_choice, chosen_alone
from galgen.conditions import Conditions
from galgen.config import RunConfig, load_yaml
from galgen.data.module import CutoutDataModule
from galgen.errors import CheckpointError, ConfigError
from galgen.models.base import AdversarialModule
from galgen.models.registry import find
from galgen.models.rules import check_data, check_growth, check_options, check_recipe
from galgen.models.sampling import KERNELS
from galgen.plan import CONFIG, describe, resolve, write_config
from galgen.randomness import key
from galgen.runs import RUNS, make_folder, new_folder, newest_run, run_label
from galgen.stretch import Stretch
from galgen.training.csvlog import CsvLog
from galgen.training.loggers import extra_loggers
from galgen.training.machine import IMAGES, Machine, choose, find_accelerator
from galgen.training.replicas import ReplicaStrategy, is_first
from galgen.transfer import settle

#: Batches of what Lightning calls an epoch; it means nothing here, so it is long.
EPOCH_BATCHES = 1000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes
    ----------
    run
        The run folder.
    checkpoint
        best.ckpt, or last.ckpt where no metric was taken.
    images
        Images that the critic has seen.
    reason
        ``finished``, ``minutes`` or ``interrupted``.
    picture
        The last grid of samples.
    """

    run: Path
    checkpoint: Path
    images: int
    reason: str
    picture: Path | None


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
    """The data module of a configuration."""
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
    check_data(model, data, 1, named_bands=True)
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
    config = resolve(config, data, machine)
    say = say or (lambda line: None)
    for line in describe(config, data, machine):
        say(line)
    run = Path(out)
    if is_first():
        run = new_folder(run, run_label(config.model.name, data.cutouts.name, data.spec.size))
        write_config(run, config, data)
        say(f"run folder: {run}")
        if opened is not None:
            opened(run)
    return fit(config, data, model, machine, run, console=console, more=callbacks)


def resume(
    run: str | Path | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    say: Say | None = None,
    console: Console | None = None,
) -> Outcome:
    """Go on with a run from its last.ckpt; one that is finished returns at once.

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
        If there is no run, or it has no last.ckpt.
    ConfigError
        If a change would make it another run.
    """
    folder, config, card = plan_resume(run, changes)
    last = folder / "checkpoints" / "last.ckpt"
    say = say or (lambda line: None)
    done = int(card["clock"]["images"])
    if done >= config.train.images:
        say(
            f"{folder} is finished: {done:,} of {config.train.images:,} images. "
            "Give a larger --images to go further."
        )
        return _outcome(folder, done, "finished")
    say(f"going on with {folder} at {done:,} of {config.train.images:,} images")
    machine = choose(config)
    # What the run began with, even if files have come or gone since.
    data = make_data(
        config,
        holdout=list(card["holdout"]),
        stretch=Stretch.from_state(card["stretch"]),
        standard=Conditions.from_dict(card["conditions"]).numbers,
    )
    check_choice(config.train, data.spec, data.conditions.classes)
    _refuse_other_conditions(folder, Conditions.from_dict(card["conditions"]), data.conditions)
    model = make_model(config, data, checkpoint.read(last)["ema"].get(KERNELS))
    settle(model, config)
    if is_first():
        write_config(folder, config, data)
    return fit(config, data, model, machine, folder, console=console, resume_from=last)


def plan_resume(
    run: str | Path | None = None, changes: Mapping[str, Any] | None = None
) -> tuple[Path, RunConfig, dict[str, Any]]:
    """Run folder, configuration and checkpoint card of a run to go on with; writes nothing."""
    folder = newest_run() if run is None else Path(run)
    if folder is None:
        raise CheckpointError(
            "there is no run under ./runs to resume: start one with galgen train."
        )
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file() or not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder} cannot be resumed: it has no checkpoints/last.ckpt and {CONFIG}."
        )
    fixed = RunConfig.build(load_yaml(folder / CONFIG))
    config = fixed.replace(changes or {})
    _refuse_other_run(fixed, config)
    return folder, config, checkpoint.read(last)["galgen"]


def _refuse_other_run(old: RunConfig, new: RunConfig) -> None:
    before, after = old.to_dict(), new.to_dict()
    for section in ("seed", "data", "model", "recipe", "finetune"):
        if before[section] != after[section]:
            raise ConfigError(
                f"--resume keeps the run's own {section} settings: leave them out, or start a new "
                "run, or use galgen finetune."
            )
    if before["train"]["batch"] != after["train"]["batch"]:
        raise ConfigError("--resume keeps the run's own --batch: leave it out.")


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


def fit(
    config: RunConfig,
    data: CutoutDataModule,
    model: AdversarialModule,
    machine: Machine,
    run: Path,
    *,
    console: Console | None = None,
    resume_from: Path | None = None,
    more: Sequence[L.Callback] = (),
) -> Outcome:
    """Train in a run folder, from the start or from a checkpoint, with `more` callbacks."""
    settings = config.train
    if is_first():
        make_folder(run / "checkpoints")
    model.run = _kept(config)
    model.total_images = settings.images
    model.micro = settings.micro_batch
    if console is not None and is_first():
        model.say = lambda line: console.print(line, highlight=False, soft_wrap=True)
    resumed_at = None
    if resume_from is not None:
        resumed_at = int(checkpoint.read(resume_from)["galgen"]["clock"]["images"])
    csv = CsvLog(run / "metrics.csv", resumed_at)
    snapshots = Snapshots(
        run / "checkpoints",
        settings.snapshot_images,
        settings.best,
        chosen_alone(settings, model.conditions),
    )
    ending = Ending(settings.images, settings.minutes, snapshots)
    callbacks: list[L.Callback] = [
        *more,
        LogMeans(settings.log_images, csv.last("seconds")),
        FrechetCallback(
            settings.metric_images,
            settings.metric_samples,
            per_class=settings.best_per_class and settings.best != "rmae",
        ),
        ColourMagnitudeCallback(settings.metric_images, settings.metric_samples),
        RadioCallback(settings.metric_images, settings.metric_samples),
        CollapseAlarm(console),
        SampleGrid(run / "samples", settings.grid_images),
    ]
    if console is not None:
        callbacks.append(TrainingProgress(settings.images, console))
    # Last, so that what a checkpoint holds is what the others have seen and logged.
    callbacks += [snapshots, ending]
    quiet_lightning()
    trainer = L.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=settings.nodes,
        strategy=ReplicaStrategy() if machine.devices * settings.nodes > 1 else "auto",
        precision="bf16-mixed" if machine.precision == "bf16" else "32-true",
        max_epochs=-1,
        logger=[csv, *extra_loggers(config, run)],
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run,
    )
    trainer.fit(model, data, ckpt_path=resume_from, weights_only=True)
    picture = None
    if trainer.is_global_zero:
        picture = write_grid(model, run / "samples" / f"{model.clock.images:09d}.png")
    return _outcome(run, model.clock.images, ending.reason or "finished", picture)


def _kept(config: RunConfig) -> dict[str, Any]:
    """The configuration as checkpoints keep it, without what does not change the result."""
    kept = config.to_dict()
    for section in ("sample", "evaluate"):
        kept.pop(section)
    for name in ("minutes", "devices", "nodes", "logger", "accelerator"):
        kept["train"].pop(name)
    return kept


def _outcome(run: Path, images: int, reason: str, picture: Path | None = None) -> Outcome:
    best = run / "checkpoints" / "best.ckpt"
    found = best if best.is_file() else run / "checkpoints" / "last.ckpt"
    if picture is None:
        pictures = sorted((run / "samples").glob("*.png"))
        picture = pictures[-1] if pictures else None
    return Outcome(run, found, images, reason, picture)


def quiet_lightning() -> None:
    """Lightning's tips and banners, which galgen says in its own words or not at all."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*epoch ended.*not resumable.*")
    warnings.filterwarnings("ignore", message=".*treespec.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
