"""One fit in a run folder: what is around Lightning's loop, and going back where it diverges."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console

from galgen.callbacks.collapse import CollapseAlarm
from galgen.callbacks.ending import Ending
from galgen.callbacks.health import Diverged, Health
from galgen.callbacks.log import LogMeans
from galgen.callbacks.metrics import ColourMagnitudeCallback, FrechetCallback, RadioCallback
from galgen.callbacks.pictures import SampleGrid, write_grid
from galgen.callbacks.progress import TrainingProgress
from galgen.callbacks.signals import Signals
from galgen.callbacks.snapshots import Snapshots, chosen_alone
from galgen.config import RunConfig
from galgen.data.module import CutoutDataModule
from galgen.errors import DataError, OutputError, UserError
from galgen.io.atomic import ELSEWHERE, clear_leftovers
from galgen.models.base import AdversarialModule
from galgen.recovery import MOST, Slower, go_back, images_of, remove_later
from galgen.runs import LAST, make_folder
from galgen.training.compiling import require
from galgen.training.csvlog import CsvLog
from galgen.training.group import Replicas, environment, of_first, together
from galgen.training.loggers import extra_loggers
from galgen.training.machine import Machine
from galgen.training.replicas import is_first, met

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


def fit(
    config: RunConfig,
    data: CutoutDataModule,
    model: AdversarialModule,
    machine: Machine,
    run: Path,
    *,
    say: Say | None = None,
    console: Console | None = None,
    resume_from: Path | None = None,
    resumed_at: int | None = None,
    more: Sequence[L.Callback] = (),
) -> Outcome:
    """Train in a run folder, from the start or from a checkpoint of `resumed_at` images.

    Where training diverges it goes back to the last good checkpoint with half the learning rate,
    as a run that was killed goes on from there, at most `galgen.recovery.MOST` times.

    Raises
    ------
    ConfigError
        If it diverges all the same.
    UserError
        If a disk is full, or an image can no longer be read; the last checkpoint is whole.
    """
    settings = config.train
    if is_first():
        make_folder(run / "checkpoints")
        clear_leftovers(run, run / "checkpoints", run / "samples")
    model.run = _kept(config)
    model.total_images = settings.images
    model.micro = settings.micro_batch
    if settings.compile == "on":
        require(machine.accelerator)
    model.passes.compile(settings.compile == "on")
    if is_first() and console is not None:
        model.say = lambda line: console.print(line, highlight=False, soft_wrap=True)
    elif is_first() and say is not None:
        model.say = say
    quiet_lightning()
    if resume_from is not None and resumed_at is None:
        resumed_at = images_of(resume_from)
    end = None if settings.minutes is None else time.monotonic() + 60 * settings.minutes
    with Signals() as signals:
        while True:
            csv = CsvLog(run / "metrics.csv", resumed_at)
            snapshots = _snapshots(config, model, run, resume_from)
            minutes = None if end is None else (end - time.monotonic()) / 60
            ending = Ending(settings.images, minutes, snapshots, signals)
            callbacks = [*more, *_callbacks(config, run, csv, console), snapshots, ending]
            # Made anew where it goes back: TensorBoard is to forget what came after.
            loggers = [csv, *extra_loggers(config, run, resumed_at)]
            trainer = _trainer(config, machine, run, loggers, callbacks)
            diverged = _fit(trainer, model, data, resume_from, signals, run)
            if diverged is None:
                break
            resume_from, slower = _back(diverged, model, run, settings.snapshot_images)
            resumed_at, more = images_of(resume_from), (slower,)
            if say is not None:
                say(
                    f"{diverged} Going back to {resume_from} with half the learning rate, "
                    f"{slower.times} of at most {MOST} times."
                )
    if ending.trouble is not None:
        raise _trouble(ending.trouble, run, model.clock.images)
    picture = None
    if trainer.is_global_zero:
        try:
            picture = write_grid(model, run / "samples" / f"{model.clock.images:09d}.png")
        except OutputError as error:
            # Of a run that is saved it is the least.
            if say is not None:
                say(str(error))
    return outcome_of(run, model.clock.images, ending.reason or "finished", picture)


def _fit(
    trainer: L.Trainer,
    model: AdversarialModule,
    data: CutoutDataModule,
    resume_from: Path | None,
    signals: Signals,
    run: Path,
) -> Diverged | None:
    """Train until the run ends; gives why it has to go back, None where it has not."""
    try:
        with together(trainer):
            try:
                trainer.fit(model, data, ckpt_path=resume_from, weights_only=True)
            except Diverged as error:
                # All replicas raise it at once, and are needed once more.
                return error
    except SystemExit:
        # Lightning's way out after Ctrl-C.
        if signals.at_once:
            raise KeyboardInterrupt from None
        raise
    except OutputError as error:
        raise _on_full_disk(error, run) from error
    return None


def _snapshots(
    config: RunConfig, model: AdversarialModule, run: Path, resumed: Path | None
) -> Snapshots:
    settings = config.train
    return Snapshots(
        run / "checkpoints",
        settings.snapshot_images,
        settings.best,
        chosen_alone(settings, model.conditions),
        resumed,
    )


def _callbacks(
    config: RunConfig, run: Path, csv: CsvLog, console: Console | None
) -> list[L.Callback]:
    """All but what saves and ends, which come last: a checkpoint holds what these have seen."""
    settings = config.train
    callbacks: list[L.Callback] = [
        # First, so that nothing is logged, measured or saved of what has come to nothing.
        Health(settings),
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
    return callbacks


def _trainer(
    config: RunConfig, machine: Machine, run: Path, loggers: list[Any], callbacks: list[L.Callback]
) -> L.Trainer:
    trainer = L.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.nodes,
        strategy=Replicas() if machine.replicas > 1 else "auto",
        plugins=environment(),
        precision="bf16-mixed" if machine.precision == "bf16" else "32-true",
        max_epochs=-1,
        logger=loggers,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run,
    )
    # Lightning asks all replicas at every step whether one of them got SIGTERM, and waits for the
    # answer; `Ending` listens for signals, and asks now and then.
    loop: Any = trainer.fit_loop.epoch_loop
    if hasattr(loop, "_broadcast_sigterm_tensor"):
        loop._broadcast_sigterm_tensor = lambda: None
    # Its own handler of SIGTERM waits for all replicas wherever this one stands.
    connector: Any = trainer._signal_connector
    connector.register_signal_handlers = lambda: None
    return trainer


def _back(
    diverged: Diverged, model: AdversarialModule, run: Path, every: int
) -> tuple[Path, Slower]:
    """Where to go back to, the same on every replica."""

    def find() -> Path:
        return go_back(run, every)

    good = of_first(find) if met() else find()
    slower = Slower.than(model, diverged, good)
    if is_first():
        remove_later(run, good)
    return good, slower


def _trouble(error: UserError, run: Path, images: int) -> UserError:
    """The sentence of what ended the run, the same on every replica."""
    if isinstance(error, DataError):
        error = DataError(
            f"{error} Training stopped at {images:,} images, and last.ckpt holds that moment: put "
            f"the file back as it was, then go on with galgen train {run} --resume."
        )
    error.agreed = True
    return error


def _on_full_disk(error: OutputError, run: Path) -> OutputError:
    """The sentence of something written along a run, with the way out of a run."""
    text = str(error)
    if not text.endswith(ELSEWHERE):
        return error
    way = f"free some space, then go on with galgen train {run} --resume."
    return OutputError(text.removesuffix(ELSEWHERE) + way)


def _kept(config: RunConfig) -> dict[str, Any]:
    """The configuration as checkpoints keep it, without what does not change the result."""
    kept = config.to_dict()
    for section in ("sample", "evaluate"):
        kept.pop(section)
    for name in ("minutes", "devices", "nodes", "logger", "accelerator"):
        kept["train"].pop(name)
    return kept


def outcome_of(run: Path, images: int, reason: str, picture: Path | None = None) -> Outcome:
    """What lies in a run folder."""
    best = run / "checkpoints" / "best.ckpt"
    found = best if best.is_file() else run / "checkpoints" / LAST
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
    # Of few samples a replica may have none, and says so to torchmetrics in its own way.
    warnings.filterwarnings("ignore", message=".*was called before the ``update`` method.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
