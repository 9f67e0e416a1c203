"""When a run stops: images done, minutes over, or Ctrl-C, always at the end of a batch."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import lightning as L

from galgen.callbacks.snapshots import Snapshots
from galgen.models.base import AdversarialModule


class Ending(L.Callback):
    """Stops training and leaves a checkpoint to go on from.

    Parameters
    ----------
    images
        Stop when the critic has seen so many.
    minutes
        Stop early after so long; None for never.
    snapshots
        Saves last.ckpt at the end.

    Attributes
    ----------
    reason
        ``finished``, ``minutes`` or ``interrupted``, None while it runs.
    """

    def __init__(self, images: int, minutes: float | None, snapshots: Snapshots) -> None:
        self.images, self.minutes, self.snapshots = images, minutes, snapshots
        self.reason: str | None = None
        self._interrupted = False
        self._started = 0.0
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock and listen for Ctrl-C and a scheduler's SIGTERM."""
        self._started = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._on_signal)
            except ValueError:
                # Not in the main thread: a notebook's executor, say. Then nothing listens.
                return

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            # Asked twice: stop at once, from the last snapshot.
            self._restore()
            raise KeyboardInterrupt
        self._interrupted = True

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Stop where a reason holds on any replica."""
        assert isinstance(module, AdversarialModule)
        minutes = (time.monotonic() - self._started) / 60
        if module.clock.images >= self.images:
            self.reason = "finished"
        elif trainer.strategy.reduce_boolean_decision(self._interrupted, all=False):
            self.reason = "interrupted"
        elif self.minutes is not None and trainer.strategy.reduce_boolean_decision(
            minutes >= self.minutes, all=False
        ):
            self.reason = "minutes"
        if self.reason is not None:
            trainer.should_stop = True
            self.snapshots.save_last(trainer, module)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # Lightning may have given back what it found before it, and before us.
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)
        self._previous = {}

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore()
