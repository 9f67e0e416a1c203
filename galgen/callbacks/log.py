"""Means of losses, scores and gradients to the loggers, on the clock of images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning as L

from galgen.models.base import AdversarialModule


def log(trainer: L.Trainer, values: Mapping[str, float], images: int) -> None:
    """Send values to every logger at a number of images."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=images)


class LogMeans(L.Callback):
    """Logs the means over the last interval, with speed and time spent.

    Parameters
    ----------
    every
        Interval in images.
    seconds
        Trained before, where a run goes on. It is read from metrics.csv and not kept in
        checkpoints, which depend on nothing but the seed.

    Attributes
    ----------
    latest
        What was logged last, for a progress display.
    nonfinite
        Steps without a finite gradient since the run began or went on, as last logged.
    """

    def __init__(self, every: int, seconds: float = 0.0) -> None:
        self.every, self.seconds = every, seconds
        self.latest: dict[str, float] = {}
        self.nonfinite = 0
        self._then = 0.0
        self._images = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start timing."""
        assert isinstance(module, AdversarialModule)
        self._then, self._images = time.monotonic(), module.clock.images

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Log when the interval is over."""
        assert isinstance(module, AdversarialModule)
        if not module.clock.crossed(self.every):
            return
        now = time.monotonic()
        interval = max(now - self._then, 1e-9)
        self.seconds += interval
        counts = dict(module.means.counts)
        values = module.means.take()
        for name in ("nonfinite_critic", "nonfinite_generator"):
            self.nonfinite += round(values.get(name, 0.0) * counts.get(name, 0))
        values["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        values["seconds"] = round(self.seconds, 3)
        values["images_per_second"] = round((module.clock.images - self._images) / interval, 2)
        self._then, self._images = now, module.clock.images
        self.latest = values
        log(trainer, values, module.clock.images)
