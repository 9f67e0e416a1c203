"""Checkpoints at intervals of images and where a metric was best, written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.errors import ConfigError, OutputError
from galgen.io.atomic import replacing
from galgen.metrics.radio import why_not
from galgen.models.base import AdversarialModule
from galgen.runs import BEST_BY, BEST_OF, LAST, PREVIOUS, snapshot_names
from galgen.sections import TrainConfig

#: Training images that a class needs for a snapshot of its own.
FEWEST = 20


def check_choice(train: TrainConfig, spec: ImageSpec, classes: Sequence[str]) -> None:
    """Refuse a choice of snapshots that the metrics or the data cannot give.

    Raises
    ------
    ConfigError
        If nothing is measured, RMAE does not apply to such images, or there are no classes.
    """
    named = "train.best_per_class" if train.best_per_class else f"train.best {train.best}"
    if not train.metric_images and (train.best_per_class or train.best != "frechet"):
        raise ConfigError(
            f"{named} has nothing to choose by, since train.metric_images is 0: set that above 0, "
            "or leave the choice out."
        )
    reason = why_not(spec)
    if train.best == "rmae" and reason is not None:
        raise ConfigError(f"train.best rmae does not go with {reason}; use frechet.")
    if train.best_per_class and "galaxy" in classes:
        # frechet_galaxy is the distance in features of the galaxy network.
        raise ConfigError(
            "train.best_per_class: a class called 'galaxy' cannot be told from the features of "
            "that name in metrics.csv; rename it, by data.merge say."
        )
    if train.best_per_class and not classes:
        raise ConfigError(
            "train.best_per_class: these images have no classes, of which each could have a "
            "snapshot; give them by sub-folders or --labels, or leave it out."
        )


def chosen_alone(train: TrainConfig, conditions: Conditions) -> dict[str, str]:
    """Classes with a snapshot of their own, all with `FEWEST` training images, to its name."""
    if not train.best_per_class:
        return {}
    names = snapshot_names(conditions.classes).items()
    counts = zip(names, conditions.counts, strict=True)
    return {name: file for (name, file), count in counts if count >= FEWEST}


def choice_notes(train: TrainConfig, conditions: Conditions) -> list[str]:
    """A sentence on the classes that are too small for a snapshot of their own."""
    chosen = chosen_alone(train, conditions)
    left = [
        f"{name} ({count})"
        for name, count in zip(conditions.classes, conditions.counts, strict=True)
        if train.best_per_class and name not in chosen
    ]
    if not left:
        return []
    return [
        f"snapshots: {', '.join(left)}: fewer than {FEWEST} images to train on, so the snapshot "
        "that is best over all classes is theirs"
    ]


def save(
    trainer: L.Trainer,
    path: Path,
    *,
    optimizers: bool = True,
    keep: Path | None = None,
    **entries: Any,
) -> None:
    """Save a checkpoint under a temporary name, then rename, with further `entries` of its card.

    All replicas must call it, and all raise where the first cannot write.

    Parameters
    ----------
    optimizers
        Without them it is less than half as large and serves for everything but to train on as if
        nothing had happened.
    keep
        Name under which the checkpoint that it replaces stays.

    Raises
    ------
    OutputError
        If the disk is full, say; what was there before is as it was.
    """
    if trainer.world_size > 1:
        trainer.strategy.barrier()
    checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    checkpoint["galgen"] |= entries
    if not optimizers:
        del checkpoint["optimizer_states"]
    failure = ""
    if trainer.is_global_zero:
        try:
            _all_logged(trainer)
            _write(checkpoint, path, keep)
        except OutputError as error:
            failure = str(error)
    if trainer.world_size > 1:
        # A replica that waits here for one that has given up would wait for ever.
        failure = str(trainer.strategy.broadcast(failure))
    if failure:
        full = OutputError(failure)
        full.agreed = True
        raise full


def _all_logged(trainer: L.Trainer) -> None:
    """A run goes on from a checkpoint, and would lack rows that could not be written before it."""
    for logger in trainer.loggers:
        trouble = getattr(logger, "trouble", None)
        if isinstance(trouble, OutputError):
            raise trouble


def _write(content: dict[str, Any], path: Path, keep: Path | None) -> None:
    run = path.parent.parent
    with replacing(
        path,
        durable=True,
        keep=keep,
        way_out=f"free some space, then go on with galgen train {run} --resume.",
    ) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Into an open file: given a path, torch writes its name, with our process id, into it.
            with temporary.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:
            # On a full disk torch finds the position unexpected; the disk's own error is behind it.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


class Snapshots(L.Callback):
    """Keeps ``last.ckpt`` up to date, and ``best.ckpt`` where the metric was lowest.

    The snapshot of the interval before stays as ``previous.ckpt``, which is also where the state
    before the first image is kept, so that a run can be gone on with, or back to, from its first
    moment. What an ending saves between two intervals replaces last.ckpt alone: previous.ckpt is
    always a snapshot of an interval, and where a run goes back to does not depend on whether it
    was interrupted.

    The radio GAN's two choices (SCIENCE R3): *overall*, ``best.ckpt`` has the lowest mean over the
    classes, of which the paper kept the four lowest and galgen keeps the one; and *per class*,
    ``best-CLASS.ckpt`` has the lowest value of that class, from which its galaxies are then drawn.
    These say of which class and by which metric, and leave the optimizers out.

    Parameters
    ----------
    folder
        Where the checkpoints go.
    every
        Interval in images.
    metric
        Which one chooses, of those that callbacks offer.
    files
        Classes that have a snapshot of their own, to its name.
    resumed
        The checkpoint that the run goes on from; None for a new run.

    Attributes
    ----------
    best
        Lowest value so far, None before the first and where its snapshot is gone.
    best_of
        The same of each class.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        metric: str = "frechet",
        files: Mapping[str, str] | None = None,
        resumed: Path | None = None,
    ) -> None:
        self.folder, self.every, self.metric = folder, every, metric
        self.resumed = resumed
        self.files = dict(files or {})
        self.best: float | None = None
        self.best_of: dict[str, float] = {}
        self._due: list[str | None] = []
        self._saved_at = -1
        self._of_interval = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save the beginning."""
        assert isinstance(module, AdversarialModule)
        if self.resumed is None:
            save(trainer, self.folder / PREVIOUS)
        else:
            self._forget(trainer)
            # Gone back to previous.ckpt, last.ckpt is of a future that is gone.
            self._of_interval = self.resumed.name == LAST and module.clock.crossed(self.every)

    def _forget(self, trainer: L.Trainer) -> None:
        """The next value is the best where a snapshot is gone: it was of a stretch that is."""
        names: list[tuple[str | None, str]] = [(None, "best.ckpt"), *self.files.items()]
        gone = [name for name, file in names if not (self.folder / file).is_file()]
        # By the first one's view of the disk, since all have to save at the same moments.
        for name in trainer.strategy.broadcast(gone):
            if name is None:
                self.best = None
            else:
                self.best_of.pop(name, None)

    def offer(self, values: Mapping[str, float]) -> None:
        """Metrics of the present weights, lower is better; called before the batch ends.

        A class's value is named ``METRIC_CLASS``.
        """
        value = values.get(self.metric, math.nan)
        if math.isfinite(value) and (self.best is None or value < self.best):
            self.best = value
            self._due.append(None)
        for name in self.files:
            value = values.get(f"{self.metric}_{name}", math.nan)
            if math.isfinite(value) and value < self.best_of.get(name, math.inf):
                self.best_of[name] = value
                self._due.append(name)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Save what is due."""
        assert isinstance(module, AdversarialModule)
        due, self._due = self._due, []
        for name in due:
            if name is None:
                save(trainer, self.folder / "best.ckpt")
            else:
                entries: dict[str, Any] = {BEST_OF: name, BEST_BY: self.metric}
                save(trainer, self.folder / self.files[name], optimizers=False, **entries)
        if module.clock.crossed(self.every):
            self.save_last(trainer, module)

    def save_last(self, trainer: L.Trainer, module: AdversarialModule) -> None:
        """Write last.ckpt, unless it holds this moment already."""
        if self._saved_at == module.clock.images:
            return
        keep = self.folder / PREVIOUS if self._of_interval else None
        save(trainer, self.folder / LAST, keep=keep)
        self._saved_at = module.clock.images
        self._of_interval = module.clock.crossed(self.every)

    def state_dict(self) -> dict[str, Any]:
        """The best values so far, and of what."""
        return {"metric": self.metric, "best": self.best, "best_of": dict(self.best_of)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`; values of another metric are forgotten."""
        if state_dict.get("metric") == self.metric:
            self.best = state_dict["best"]
            self.best_of = {k: v for k, v in state_dict["best_of"].items() if k in self.files}
