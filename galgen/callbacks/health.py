"""Whether training is still sound, asked at moments that the clock alone decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor

from galgen.errors import GalgenError
from galgen.models.base import AdversarialModule
from galgen.sections import TrainConfig
from galgen.training.clock import Clock


class Diverged(GalgenError):
    """Training has come to nothing since the last snapshot; raised out of a fit, to go back.

    Parameters
    ----------
    images
        Images seen when it was noticed.
    why
        What was found, for a sentence.
    """

    def __init__(self, images: int, why: str) -> None:
        super().__init__(f"training diverged at {images:,} images: {why}.")
        self.images, self.why = images, why


class Health(L.Callback):
    """Ends a fit by `Diverged` where gradients or weights are no longer finite.

    It looks where rows are logged, snapshots and metrics taken, and at the end, never in between:
    a look waits for the device. These are functions of the clock, so a run that was killed and
    gone on with goes back at the same image as one that was not. It has to stand before all
    callbacks that log, measure and save.

    Parameters
    ----------
    train
        Intervals, length, and ``nonfinite_steps``: so many steps without a finite gradient since
        the last snapshot are too many. So are all of them, over a whole interval or, in a run
        that has not come to a snapshot, over all of it.
    """

    def __init__(self, train: TrainConfig) -> None:
        self.train = train
        #: Images at which the run began: of a fine-tuning that keeps the clock it is not 0.
        self._began: int | None = None

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note where the run began, unless its checkpoint knew."""
        assert isinstance(module, AdversarialModule)
        if self._began is None:
            self._began = module.clock.images

    def state_dict(self) -> dict[str, Any]:
        """Where the run began."""
        return {"began": self._began}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._began = state_dict["began"]

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, *rest: object
    ) -> None:
        """Look, where it is time to."""
        assert isinstance(module, AdversarialModule)
        clock, train = module.clock, self.train
        saves = clock.crossed(train.snapshot_images)
        logs = clock.crossed(train.log_images)
        if not (
            saves or logs or clock.crossed(train.metric_images) or clock.images >= train.images
        ):
            return
        why = trouble(module, min(train.nonfinite_steps, self._most(module.clock)))
        # Replicas hold the same weights, but buffers may be their own.
        if trainer.strategy.reduce_boolean_decision(bool(why), all=False):
            raise Diverged(clock.images, why or "another replica found weights that are not finite")
        if saves:
            module.bad_steps = torch.zeros_like(module.bad_steps)
        if logs and module.rollbacks:
            module.means.note("rollbacks", torch.tensor(float(module.rollbacks)))

    def _most(self, clock: Clock) -> int:
        """Steps since the last snapshot, at moments when all of them tell something."""
        began, every = self._began or 0, self.train.snapshot_images
        intervals = (clock.images - clock.batch) // every
        first = intervals == began // every
        if not clock.crossed(every) and not (first and clock.images >= self.train.images):
            # Some steps after a snapshot: a few bad ones may be all there are.
            return self.train.nonfinite_steps
        # The snapshot was taken at the first whole batch that reached its images.
        steps = -((began - intervals * every) // clock.batch)
        start = began if first else began + steps * clock.batch
        return max(1, (clock.images - start) // clock.batch)


def trouble(module: AdversarialModule, limit: int) -> str:
    """What is wrong with the networks, nothing if all is well.

    Parameters
    ----------
    limit
        Steps without a finite gradient that are too many.
    """
    bad = int(module.bad_steps)
    if bad >= limit:
        return f"{bad} steps since the last snapshot had no finite gradient"
    if not finite(module):
        return "weights are not finite"
    return ""


@torch.no_grad()
def finite(module: AdversarialModule) -> bool:
    """Whether all weights, buffers and the average are finite numbers."""
    checks = [torch.isfinite(tensor).all() for tensor in _floats(module)]
    return bool(torch.stack(checks).all()) if checks else True


def _floats(module: AdversarialModule) -> Iterator[Tensor]:
    for network in (module, module.average.network):
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                yield tensor
