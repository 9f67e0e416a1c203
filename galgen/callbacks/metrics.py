"""Metrics along training: distances of features, the colour-magnitude check, radio histograms.

Samples come from the averaged generator and from random streams of their own, so that how
often a metric is taken changes nothing in training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import lightning as L
import torch
from torch import Tensor

from galgen.callbacks.collapse import CollapseAlarm
from galgen.callbacks.log import log
from galgen.callbacks.snapshots import Snapshots
from galgen.data.module import CutoutDataModule
from galgen.errors import ConfigError
from galgen.metrics import colour_magnitude, radio
from galgen.metrics.colour_magnitude import ColourMagnitude
from galgen.metrics.coverage import COVERAGE
from galgen.metrics.diversity import DIVERSITY
from galgen.metrics.features import FeatureExtractor, PhysicsFeatures
from galgen.metrics.frechet import FRECHET
from galgen.metrics.galaxy import GalaxyFeatures
from galgen.metrics.radio import RadioHistograms
from galgen.metrics.scorecard import Family, Scale
from galgen.metrics.setmetric import SetMetric
from galgen.models.base import AdversarialModule
from galgen.models.sampling import CHUNK
from galgen.training.replicas import world

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Seed of the samples that metrics see, apart from those that pictures show.
SEED = 1_000_003
#: Real galaxies that the generated ones are compared with, at most.
MAX_REAL = 4096
_BLOCK = 256


#: What was drawn last of a module, and of which of its weights: metrics of a moment share it.
_drawn: WeakKeyDictionary[AdversarialModule, tuple[Any, Tensor]] = WeakKeyDictionary()


def local_samples(module: AdversarialModule, n: int, label: str | None = None) -> Tensor:
    """This replica's part of samples 0 to n of the metric stream, in flux."""
    weights = module.average.network.state_dict(keep_vars=True).values()
    # The average moves without a new version of its weights, but with the clock.
    versions = [(id(weight), weight._version) for weight in weights]
    moment = (n, label, module.clock.images, versions)
    held = _drawn.get(module)
    if held is None or held[0] != moment:
        held = _drawn[module] = (moment, _draw(module, n, label))
    return held[1]


def _draw(module: AdversarialModule, n: int, label: str | None) -> Tensor:
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

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, *rest: Any
    ) -> None:
        """Let go of the samples."""
        _drawn.clear()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Measure and log when it is due, and offer the snapshots what they may choose by."""
        assert isinstance(module, AdversarialModule)
        if not module.clock.crossed(self.every):
            return
        self.latest = self.measure(module)
        log(trainer, self.latest, module.clock.images)
        for callback in _snapshots(trainer):
            callback.offer(self.latest)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, CollapseAlarm):
                callback.offer(trainer, self.latest)


def _snapshots(trainer: L.Trainer) -> list[Snapshots]:
    """Those that may choose by a metric."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Snapshots)]


def _named(metric: str, classes: tuple[str, ...], values: Mapping[int, float]) -> dict[str, float]:
    """``metric_CLASS`` to value."""
    return {f"{metric}_{classes[number]}": value for number, value in values.items()}


def _watched(real: NDArray[Any], fake: NDArray[Any]) -> dict[str, float]:
    """Distance, coverage and diversity of features; without what so few images do not give."""
    found: dict[str, float] = {}
    for family in (FRECHET, COVERAGE, DIVERSITY):
        with suppress(ValueError):
            found |= family.between(real, fake)
    return {name: found[name] for name in WATCHED if name in found}


#: What is measured on features along training.
WATCHED = ("frechet", "coverage", "diversity")


class FrechetCallback(SampleMetric):
    """Frechet distance, coverage and diversity of samples, in two kinds of features.

    Logged as ``frechet``, ``coverage`` and ``diversity`` in physics features and as
    ``frechet_galaxy`` and so on in those of the galaxy network; with `per_class` also
    ``frechet_CLASS`` and ``frechet_galaxy_CLASS``: of samples of one class from its own real
    images, seen with the features of the whole set.

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
        self.extractors: dict[str, FeatureExtractor] = {
            "": PhysicsFeatures.fit(real, module.spec),
            "_galaxy": GalaxyFeatures.fit(real, module.spec),
        }
        classes = labels if self.per_class else None
        self.metrics: dict[tuple[str, int | None], SetMetric] = {}
        for suffix, extractor in self.extractors.items():
            rows = _features(extractor, real, module.device) if world()[0] == 0 else None
            for number in (None, *(() if classes is None else range(len(module.classes)))):
                chosen = slice(None) if number is None else classes == number
                if number is not None and int((labels == number).sum()) < 2:
                    continue
                metric = SetMetric(
                    _FAMILY, extractor, extractor.n_features, reset_real_features=False
                )
                # Replicas on GPUs can only gather what lies on GPUs.
                self.metrics[suffix, number] = metric.to(module.device)
                if rows is not None:
                    metric.update(rows[chosen], real=True)

    def measure(self, module: AdversarialModule) -> dict[str, float]:
        """Name to value."""
        found = self._values(None, local_samples(module, self.samples), module)
        if len(self.metrics) > len(self.extractors):
            for number, flux in samples_by_class(module, self.samples):
                if ("", number) in self.metrics:
                    own = self._values(number, flux, module)
                    names = [name for name in own if name.startswith("frechet")]
                    found |= {f"{name}_{module.classes[number]}": own[name] for name in names}
        return found

    def _values(
        self, number: int | None, fake: Tensor, module: AdversarialModule
    ) -> dict[str, float]:
        found: dict[str, float] = {}
        for suffix, extractor in self.extractors.items():
            metric = self.metrics[suffix, number]
            if len(fake):
                metric.update(_features(extractor, fake, module.device), real=False)
            found |= {f"{name}{suffix}": float(v) for name, v in metric.compute().items()}
            metric.reset()
        return found


_FAMILY = Family(dict.fromkeys(WATCHED, Scale()), _watched)


@torch.no_grad()
def _features(extractor: FeatureExtractor, flux: Tensor, device: torch.device) -> Tensor:
    return torch.cat([extractor(block.to(device)) for block in flux.split(_BLOCK)])


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
