"""When a run stops: images done, minutes over, or a signal, always at the end of a batch."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch
from torch import distributed as dist

from galgen.callbacks.health import finite
from galgen.callbacks.signals import Signals
from galgen.callbacks.snapshots import Snapshots
from galgen.errors import OutputError, UserError
from galgen.models.base import AdversarialModule

#: Steps between two questions to the other replicas whether one of them wants to stop. A question
#: waits for the device and for all of them, which every step would cost more than it is worth; a
#: scheduler's notice is many steps long.
ASK_EVERY = 10
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
    signals
        What the process has heard, also before this fit.

    Attributes
    ----------
    reason
        ``finished``, ``minutes``, ``interrupted`` or ``trouble``, None while it runs.
    trouble
        What to raise for ``trouble``: a file that went bad, a disk
        that is full.
    """

    def __init__(
        self,
        images: int,
        minutes: float | None,
        snapshots: Snapshots,
        signals: Signals | None = None,
    ) -> None:
        self.images, self.minutes, self.snapshots = images, minutes, snapshots
        self.signals = signals or Signals()
        self.reason: str | None = None
        self.trouble: UserError | None = None
        self._started = 0.0
        self._first = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._first = self.signals.training = True

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
        elif self.signals.heard is not None:
            mine = "interrupted"
        else:
            mine = "minutes" if self.minutes is not None and minutes >= self.minutes else None
        if trainer.world_size == 1:
            return mine
        # After the first too: a signal may have come in the long time before it.
        first, self._first = self._first, False
        if not first and not module.clock.crossed(ASK_EVERY * module.clock.batch):
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
