"""Metrics along training: Frechet distance, the colour-magnitude check, radio histograms.

Samples come from the averaged generator and from random streams of their own, so that how
often a metric is taken changes nothing in training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from galgen.callbacks.log import log
from galgen.callbacks.snapshots import Snapshots
from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.metrics import colour_magnitude, radio
from galgen.metrics.colour_magnitude import ColourMagnitude
from galgen.metrics.features import PhysicsFeatures
from galgen.metrics.frechet import FrechetDistance
from galgen.metrics.radio import RadioHistograms
from galgen.models.base import AdversarialModule
from galgen.models.sampling import CHUNK
from galgen.training.replicas import world

#: Seed of the samples that metrics see, apart from those that pictures show.
SEED = 1_000_003
#: Real galaxies that the generated ones are compared with, at most.
MAX_REAL = 4096


def local_samples(module: AdversarialModule, n: int, label: str | None = None) -> Tensor:
    """This replica's part of samples 0 to n of the metric stream, in flux."""
    rank, replicas = world()
    chunks = range(rank, -(-n // CHUNK), replicas)
    mine = [i for c in chunks for i in range(c * CHUNK, min(n, (c + 1) * CHUNK))]
    parts = [flux for _, flux in module.sample_chunks(mine, seed=SEED, label=label)]
    return torch.cat(parts) if parts else torch.zeros(0, *module.spec.shape)


def samples_by_class(module: AdversarialModule, n: int) -> Iterator[tuple[int, Tensor]]:
    """Class number and this replica's part of its samples, equally many of each class.

    There are `n` in all, less what does not divide, and at least two of each class; a pair
    without classes has one, number 0.
    """
    names = module.classes or (None,)
    for number, name in enumerate(names):
        yield number, local_samples(module, max(2, n // len(names)), name)


def real_galaxies(trainer: L.Trainer) -> tuple[Tensor, Tensor | None]:
    """Training galaxies in flux, as they were read: not turned, not stretched. And their class
    numbers, where they have classes.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, CutoutDataModule):
        raise ConfigError("metric callbacks need the CutoutDataModule: Trainer.fit(model, data).")
    rows = data.split[0]
    rows = rows[:: -(-len(rows) // MAX_REAL)]
    labels = data.cutouts.labels
    flux = torch.from_numpy(data.cutouts.read(rows.tolist()))
    return flux, None if labels is None else torch.from_numpy(labels[rows])


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
    def prepare(self, real: Tensor, labels: Tensor | None, module: AdversarialModule) -> None:
        """Take in the real galaxies once; replicas other than the first count none."""

    @abstractmethod
    def measure(self, module: AdversarialModule) -> dict[str, float]:
        """Values for samples of the module, the same on every replica."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Measure the real set."""
        assert isinstance(module, AdversarialModule)
        if self.every:
            self.prepare(*real_galaxies(trainer), module)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Measure and log when it is due, and offer the snapshots what they may choose by."""
        assert isinstance(module, AdversarialModule)
        if not module.clock.crossed(self.every):
            return
        self.latest = self.measure(module)
        log(trainer, self.latest, module.clock.images)
        for callback in _snapshots(trainer):
            callback.offer(self.latest)


def _snapshots(trainer: L.Trainer) -> list[Snapshots]:
    """Those that may choose by a metric."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Snapshots)]


def _named(metric: str, classes: tuple[str, ...], values: Mapping[int, float]) -> dict[str, float]:
    """``metric_CLASS`` to value."""
    return {f"{metric}_{classes[number]}": value for number, value in values.items()}


class FrechetCallback(SampleMetric):
    """Frechet distance on physics features.

    Logged as ``frechet``, with `per_class` also as ``frechet_CLASS``: of samples of one class
    from its own real images, seen with the features of the whole set.

    Parameters
    ----------
    every, samples
        As `SampleMetric`. Those of the classes are further samples, as many in all.
    per_class
        Measure each class with at least two images too.
    """

    def __init__(self, every: int = 10_000, samples: int = 512, per_class: bool = False) -> None:
        super().__init__(every, samples)
        self.per_class = per_class

    def prepare(self, real: Tensor, labels: Tensor | None, module: AdversarialModule) -> None:
        """Features of the real set, once; the first replica's count."""
        extractor = PhysicsFeatures.fit(real, module.spec)
        sets: dict[int | None, Tensor] = {None: real}
        if self.per_class and labels is not None:
            sets |= {number: real[labels == number] for number in range(len(module.classes))}
        self.metrics: dict[int | None, FrechetDistance] = {}
        for number, images in sets.items():
            if len(images) < 2:
                continue
            metric = FrechetDistance(extractor, reset_real_features=False)
            # Replicas on GPUs can only gather what lies on GPUs.
            self.metrics[number] = metric.to(module.device)
            if world()[0] == 0:
                metric.update(images, real=True)

    def measure(self, module: AdversarialModule) -> dict[str, float]:
        """``frechet``, and ``frechet_CLASS``."""
        found = {"frechet": self._distance(None, local_samples(module, self.samples))}
        if len(self.metrics) > 1:
            by_class = {
                number: self._distance(number, flux)
                for number, flux in samples_by_class(module, self.samples)
                if number in self.metrics
            }
            found |= _named("frechet", module.classes, by_class)
        return found

    def _distance(self, number: int | None, fake: Tensor) -> float:
        metric = self.metrics[number]
        if len(fake):
            metric.update(fake, real=False)
        value = float(metric.compute()["frechet"])
        metric.reset()
        return value


class RadioCallback(SampleMetric):
    """RMAE of the histograms of radio images, see `galgen.metrics.radio`.

    Logged as ``rmae``, the mean over classes and histograms, and ``rmae_CLASS``; from equally
    many samples of each class. Only for pictures of one band; nothing is logged for others, nor
    where snapshots are chosen by another metric, since this one needs samples of its own.
    """

    chooses = True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Measure the real set, if something is to be chosen by it."""
        metrics = [c.metric for c in _snapshots(trainer)]
        self.chooses = "rmae" in metrics or not metrics
        super().on_train_start(trainer, module)

    def prepare(self, real: Tensor, labels: Tensor | None, module: AdversarialModule) -> None:
        """Histograms of the real set, once; the first replica's count."""
        self.applies = self.chooses and radio.why_not(module.spec) is None
        metric = RadioHistograms(max(1, len(module.classes)), reset_real_features=False)
        self.metric = metric.to(module.device)
        if not self.applies or world()[0]:
            return
        if module.classes and labels is not None:
            known = labels >= 0
            self.metric.update(real[known], real=True, labels=labels[known])
        else:
            self.metric.update(real, real=True)

    def measure(self, module: AdversarialModule) -> dict[str, float]:
        """``rmae`` and ``rmae_CLASS``."""
        if not self.applies:
            return {}
        for number, flux in samples_by_class(module, self.samples):
            self.metric.update(flux, real=False, labels=number)
        values = self.metric.compute()
        self.metric.reset()
        found = {"rmae": float(values["rmae"])}
        if module.classes:
            by_class = dict(enumerate(values["by_class"].tolist()))
            found |= _named("rmae", module.classes, by_class)
        return found


class ColourMagnitudeCallback(SampleMetric):
    """The colour-magnitude check: how many samples lie where the real galaxies do.

    Logged as ``colour_magnitude`` (fraction inside the box) and ``colour_magnitude_ratio``
    (that over the real galaxies' own fraction). One band has no colour and is left out.
    """

    def prepare(self, real: Tensor, labels: Tensor | None, module: AdversarialModule) -> None:
        """Photometry of the real set, once."""
        self.applies = colour_magnitude.why_not(module.spec) is None
        self.metric = ColourMagnitude(module.spec, reset_real_features=False).to(module.device)
        if self.applies and world()[0] == 0:
            self.metric.update(real, real=True)

    def measure(self, module: AdversarialModule) -> dict[str, float]:
        """``colour_magnitude`` and ``colour_magnitude_ratio``."""
        if not self.applies:
            return {}
        fake = local_samples(module, self.samples)
        if len(fake):
            self.metric.update(fake, real=False)
        values = self.metric.compute()
        self.metric.reset()
        return {
            "colour_magnitude": float(values["fraction"]),
            "colour_magnitude_ratio": float(values["ratio"]),
        }
