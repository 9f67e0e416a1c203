"""What a person sees while it trains: a live bar, or a line now and then without a terminal."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from galgen.callbacks.log import LogMeans
from galgen.callbacks.metrics import SampleMetric
from galgen.callbacks.snapshots import Snapshots
from galgen.models.base import AdversarialModule

#: Seconds between lines where there is no terminal.
LINE_SECONDS = 20.0


class TrainingProgress(L.Callback):
    """Images seen, images/s, time left, losses and the last metric.

    Parameters
    ----------
    images
        Length of the run.
    console
        Where it goes; a console that is no terminal gets a line every `LINE_SECONDS`.
    """

    def __init__(self, images: int, console: Console) -> None:
        self.images, self.console = images, console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started = self._line = self._from = 0.0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Show the bar."""
        assert isinstance(module, AdversarialModule)
        self._started = self._line = time.monotonic()
        self._from = module.clock.images
        if trainer.is_global_zero and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.completed:,.0f} of {task.total:,.0f} images"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._task = self._bar.add_task(
                "train", total=self.images, completed=module.clock.images, status=""
            )
            self._bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Move on."""
        assert isinstance(module, AdversarialModule)
        if not trainer.is_global_zero:
            return
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(
                self._task, completed=module.clock.images, status=self._status(trainer, module, now)
            )
        elif now - self._line >= LINE_SECONDS:
            self._line = now
            left = (self.images - module.clock.images) / max(self._speed(module, now), 1e-9)
            self.console.print(
                f"{module.clock.images:,} of {self.images:,} images, "
                f"{self._status(trainer, module, now)}, {left / 60:.1f} min left",
                highlight=False,
                soft_wrap=True,
            )

    def _speed(self, module: AdversarialModule, now: float) -> float:
        return (module.clock.images - self._from) / max(now - self._started, 1e-9)

    def _status(self, trainer: L.Trainer, module: AdversarialModule, now: float) -> str:
        parts = [f"{self._speed(module, now):.0f} images/s"]
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        # What snapshots are chosen by, of which there is one for all.
        metric = next((c.metric for c in callbacks if isinstance(c, Snapshots)), "frechet")
        for callback in callbacks:
            values = callback.latest if isinstance(callback, LogMeans | SampleMetric) else {}
            for name, short in (
                ("loss_critic", "critic"),
                ("loss_generator", "generator"),
                (metric, metric),
                ("colour_magnitude_ratio", "colour-magnitude"),
            ):
                if name in values:
                    parts.append(f"{short} {values[name]:.3g}")
        return ", ".join(parts)

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Take the bar away."""
        self._close()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away: Lightning tears no callback down after an error."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
