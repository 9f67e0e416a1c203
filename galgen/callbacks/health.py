"""Whether training is still sound, asked at moments that the clock alone decides."""

from __future__ import annotations

from collections.abc import Iterator

import lightning as L
import torch
from torch import Tensor

from galgen.errors import GalgenError
from galgen.models.base import AdversarialModule
from galgen.sections import TrainConfig


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
        the last snapshot are too many.
    """

    def __init__(self, train: TrainConfig) -> None:
        self.train = train

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
        why = trouble(module, train.nonfinite_steps)
        # Replicas hold the same weights, but buffers may be their own.
        if trainer.strategy.reduce_boolean_decision(bool(why), all=False):
            raise Diverged(clock.images, why or "another replica found weights that are not finite")
        if saves:
            module.bad_steps = torch.zeros_like(module.bad_steps)
        if logs and module.rollbacks:
            module.means.note("rollbacks", torch.tensor(float(module.rollbacks)))


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
