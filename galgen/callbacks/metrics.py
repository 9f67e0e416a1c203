"""Metrics along training: Frechet distance and the colour-magnitude check.

Samples come from the averaged generator and from random streams of their own, so that how
often a metric is taken changes nothing in training.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import lightning as L
import torch
from torch import Tensor

from galgen.callbacks.log import log
from galgen.callbacks.snapshots import Snapshots
from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.metrics.colour_magnitude import ColourMagnitude, why_not
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frechet import FrechetDistance
from galgen.models.base import AdversarialModule
from galgen.models.sampling import CHUNK
from galgen.training.replicas import world

#: Seed of the samples that metrics see, apart from those that pictures show.
SEED = 1_000_003
#: Real galaxies that the generated ones are compared with, at most.
MAX_REAL = 4096


def local_samples(module: AdversarialModule, n: int) -> Tensor:
    """This replica's part of samples 0 to n of the metric stream, in flux."""
    rank, replicas = world()
    chunks = range(rank, -(-n // CHUNK), replicas)
    mine = [i for c in chunks for i in range(c * CHUNK, min(n, (c + 1) * CHUNK))]
    parts = [flux for _, flux in module.sample_chunks(mine, seed=SEED)]
    return torch.cat(parts) if parts else torch.zeros(0, *module.spec.shape)


def real_galaxies(trainer: L.Trainer) -> Tensor:
    """Training galaxies in flux, as they were read: not turned, not stretched."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, CutoutDataModule):
        raise ConfigError("metric callbacks need the CutoutDataModule: Trainer.fit(model, data).")
    rows = data.split[0]
    rows = rows[:: -(-len(rows) // MAX_REAL)]
    return torch.from_numpy(data.cutouts.read(rows.tolist()))


class SampleMetric(L.Callback):
    """A metric of samples against the training galaxies, every so many images.

    Parameters
    ----------
    every
        Interval in images; 0 for never.
    samples
        Generated galaxies per measurement.

    Attributes
    ----------
    latest
        What was measured last, name to value.
    """

    def __init__(self, every: int = 10_000, samples: int = 512) -> None:
        self.every, self.samples = every, samples
        self.latest: dict[str, float] = {}

    @abstractmethod
    def prepare(self, real: Tensor, module: AdversarialModule) -> None:
        """Take in the real galaxies once; replicas other than the first get none."""

    @abstractmethod
    def measure(self, fake: Tensor) -> dict[str, float]:
        """Values for this replica's samples, the same on every replica."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Measure the real set."""
        assert isinstance(module, AdversarialModule)
        if self.every:
            self.prepare(real_galaxies(trainer), module)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Measure and log when it is due."""
        assert isinstance(module, AdversarialModule)
        if not module.clock.crossed(self.every):
            return
        self.latest = self.measure(local_samples(module, self.samples))
        log(trainer, self.latest, module.clock.images)
        self.after(trainer)

    def after(self, trainer: L.Trainer) -> None:
        """What a value leads to; nothing by default."""


class FrechetCallback(SampleMetric):
    """Frechet distance on physics features; the lowest value chooses best.ckpt.

    Logged as ``frechet``. Where the trainer has a `Snapshots` callback, that one keeps the
    best checkpoint.
    """

    def prepare(self, real: Tensor, module: AdversarialModule) -> None:
        """Sums over the real set, once; the first replica's count."""
        extractor = PhysicsFeatures.fit(real, module.spec)
        metric = FrechetDistance(extractor, reset_real_features=False)
        # Replicas on GPUs can only add up what lies on GPUs.
        self.metric = metric.to(module.device)
        if world()[0] == 0:
            self.metric.update(real, real=True)

    def measure(self, fake: Tensor) -> dict[str, float]:
        """``frechet``."""
        if len(fake):
            self.metric.update(fake, real=False)
        value = float(self.metric.compute())
        self.metric.reset()
        return {"frechet": value}

    def after(self, trainer: L.Trainer) -> None:
        """Offer the value to the snapshots."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Snapshots):
                callback.offer(self.latest["frechet"])


class ColourMagnitudeCallback(SampleMetric):
    """The colour-magnitude check: how many samples lie where the real galaxies do.

    Logged as ``colour_magnitude`` (fraction inside the box) and ``colour_magnitude_ratio``
    (that over the real galaxies' own fraction). One band has no colour and is left out.
    """

    def prepare(self, real: Tensor, module: AdversarialModule) -> None:
        """Photometry of the real set, once."""
        self.applies = why_not(module.spec) is None
        self.metric = ColourMagnitude(module.spec, reset_real_features=False).to(module.device)
        if self.applies and world()[0] == 0:
            self.metric.update(real, real=True)

    def measure(self, fake: Tensor) -> dict[str, float]:
        """``colour_magnitude`` and ``colour_magnitude_ratio``."""
        if not self.applies:
            return {}
        if len(fake):
            self.metric.update(fake, real=False)
        values = self.metric.compute()
        self.metric.reset()
        return {
            "colour_magnitude": float(values["fraction"]),
            "colour_magnitude_ratio": float(values["ratio"]),
        }
