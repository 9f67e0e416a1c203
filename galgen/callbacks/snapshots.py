"""Checkpoints at intervals of images, written whole or not at all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import torch

from galgen.io.atomic import replacing
from galgen.models.base import AdversarialModule


def save(trainer: L.Trainer, path: Path) -> None:
    """Save a checkpoint under a temporary name, then rename. All replicas must call it."""
    if trainer.world_size > 1:
        trainer.strategy.barrier()
    checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    if trainer.is_global_zero:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Into an open file: given a path, torch writes its name, with our process id, into it.
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
    if trainer.world_size > 1:
        trainer.strategy.barrier()


class Snapshots(L.Callback):
    """Keeps ``last.ckpt`` up to date, and ``best.ckpt`` where the metric was lowest.

    Parameters
    ----------
    folder
        Where the checkpoints go.
    every
        Interval in images.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self.best: float | None = None
        self._candidate: float | None = None
        self._saved_at = -1

    def offer(self, value: float) -> None:
        """A metric of the present weights, lower is better; called before the batch ends."""
        if math.isfinite(value) and (self.best is None or value < self.best):
            self._candidate = value

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Save what is due."""
        assert isinstance(module, AdversarialModule)
        if self._candidate is not None:
            self.best, self._candidate = self._candidate, None
            save(trainer, self.folder / "best.ckpt")
        if module.clock.crossed(self.every):
            self.save_last(trainer, module)

    def save_last(self, trainer: L.Trainer, module: AdversarialModule) -> None:
        """Write last.ckpt, unless it holds this moment already."""
        if self._saved_at != module.clock.images:
            self._saved_at = module.clock.images
            save(trainer, self.folder / "last.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.best = state_dict["best"]
