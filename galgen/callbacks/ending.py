"""When a run stops: images done, minutes over, or a signal, always at the end of a batch."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import lightning as L
import torch
from torch import distributed as dist

from galgen.callbacks.health import finite
from galgen.callbacks.snapshots import Snapshots
from galgen.errors import OutputError, UserError
from galgen.models.base import AdversarialModule

#: Ctrl-C, what ends a job, and what schedulers send some time before (``sbatch --signal=USR1@60``).
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
#: Steps between two questions to the other replicas whether one of them wants to stop. A question
#: waits for the device and for all of them, which every step would cost more than it is worth; a
#: scheduler's notice is many steps long.
ASK_EVERY = 10
#: Seconds within which a second Ctrl-C is the first one: a terminal sends it to all processes of a
#: command, and those that start replicas pass on what they get.
SAME = 0.5
#: How much a reason weighs where replicas have different ones.
REASONS = (None, "minutes", "interrupted", "trouble")


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
        ``finished``, ``minutes``, ``interrupted`` or ``trouble``, None while it runs.
    trouble
        What to raise for ``trouble``: a file that went bad, a disk
        that is full.
    at_once
        True after a second Ctrl-C.
    """

    def __init__(self, images: int, minutes: float | None, snapshots: Snapshots) -> None:
        self.images, self.minutes, self.snapshots = images, minutes, snapshots
        self.reason: str | None = None
        self.trouble: UserError | None = None
        self.at_once = False
        self._interrupted: float | None = None
        self._started = 0.0
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock and listen for signals."""
        self._started = time.monotonic()
        if getattr(trainer, "received_sigterm", False):
            # It came while Lightning listened.
            self._interrupted = self._started
        for number in SIGNALS:
            try:
                self._previous[number] = signal.signal(number, self._on_signal)
            except ValueError:
                # Not in the main thread: a notebook's executor, say. Then nothing listens.
                return

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._interrupted is None:
            self._interrupted = now
        elif number == signal.SIGINT and now - self._interrupted > SAME:
            # A person asks twice: stop at once, from the last snapshot. Schedulers repeat
            # themselves and mean nothing by it.
            self.at_once = True
            self._restore()
            raise KeyboardInterrupt

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Stop where a reason holds on any replica."""
        assert isinstance(module, AdversarialModule)
        if module.clock.images >= self.images:
            self.reason = "finished"
        else:
            self.reason = self._asked(trainer, module)
        if self.reason is None:
            return
        trainer.should_stop = True
        self.trouble = self._told(trainer)
        if self.trouble is not None:
            self.reason = "trouble"
        # What the run goes on from is whole: its rows are on the disk, its weights are numbers.
        sound = finite(module) and not isinstance(self.trouble, OutputError)
        if trainer.strategy.reduce_boolean_decision(sound, all=True):
            self.snapshots.save_last(trainer, module)

    def _asked(self, trainer: L.Trainer, module: AdversarialModule) -> str | None:
        minutes = (time.monotonic() - self._started) / 60
        if self._found(trainer) is not None:
            mine: str | None = "trouble"
        elif self._interrupted is not None:
            mine = "interrupted"
        else:
            mine = "minutes" if self.minutes is not None and minutes >= self.minutes else None
        if trainer.world_size == 1:
            return mine
        if not module.clock.crossed(ASK_EVERY * module.clock.batch):
            return None
        weight = torch.tensor(REASONS.index(mine), device=module.device)
        return REASONS[int(trainer.strategy.reduce(weight, reduce_op="max"))]

    def _found(self, trainer: L.Trainer) -> UserError | None:
        """What a loader or a logger of this replica could not do."""
        loader = getattr(getattr(trainer, "datamodule", None), "loader", None)
        for part in (*trainer.loggers, loader):
            error = getattr(part, "trouble", None)
            if isinstance(error, UserError):
                return error
        return None

    def _told(self, trainer: L.Trainer) -> UserError | None:
        """The trouble, on replicas too that have none themselves."""
        mine = self._found(trainer)
        if trainer.world_size == 1:
            return mine
        found: list[UserError | None] = [None] * trainer.world_size
        dist.all_gather_object(found, mine)
        return next((error for error in found if error is not None), None)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # Lightning may have given back what it found before it, and before us.
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)
        self._previous = {}

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back: Lightning tears no callback down after an error."""
        self._restore()
