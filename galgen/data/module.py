"""Cutouts as a LightningDataModule, with an exact position that a checkpoint keeps."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.conditions import Conditions, Number
from galgen.data.augment import Augmentation
from galgen.data.classes import too_few
from galgen.data.folder import BUILT_IN
from galgen.data.loader import READ_AHEAD, SteadyLoader
from galgen.data.sampler import CounterSampler
from galgen.data.sets import CutoutSet, open_set
from galgen.data.split import split_by_group
from galgen.data.stretched import KEEP_BYTES, Batch, StretchedCutouts
from galgen.errors import ConfigError, DataError
from galgen.randomness import generator
from galgen.stretch import Stretch

#: Galaxies that the stretch of a larger set is fitted on ...
FIT_GALAXIES = 4096
#: ... and most values of them in memory at a time.
FIT_VALUES = 1 << 27
#: Galaxies that are read at a time.
_CHUNK = 256


class CutoutDataModule(L.LightningDataModule):
    """Galaxy cutouts from a folder, a pack or a built-in set.

    Batches are dicts with ``images`` (N, C, size, size) in network space, rotated and flipped
    on the device, ``position`` (images drawn before this batch), and ``condition`` (N, width)
    where there are `conditions`: a row of `galgen.conditions.Conditions.encode` for each.

    Parameters
    ----------
    source
        Folder, pack, or the name of a built-in set (``hubble``, ``sersic``).
    size, crop, bands, labels, merge, condition, group, select
        As `galgen.data.sets.open_set`.
    unit, magzero, pixscale, psf_fwhm, count, redshift, bad_fraction
        As `galgen.data.sets.open_set`.
    batch
        Images of a global batch, over all devices.
    seed
        Decides the split, the order and the augmentation.
    stretch
        ``asinh``, ``minmax``, ``linear``, a fitted `Stretch`, or ``auto``: linear for
        pictures, asinh for fluxes.
    holdout
        Fraction of galaxies that are never trained on, or the names of those.
    rotate, flip, shift, fill
        As `galgen.data.augment.Augmentation`.
    balance
        Show as many images of each class, however rare. The classes that samples have stay as
        frequent as in the training set.
    standard
        Numbers of a checkpoint: those of the same name keep the mean and the deviation that
        its networks know.
    workers
        Reader processes; they pay only for folders of files that are larger than memory.
    epoch_images
        Images of what Lightning calls an epoch; None for one pass.

    Raises
    ------
    DataError, ConfigError
        From `setup`, if the source cannot be used as asked.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        batch: int = 32,
        seed: int = 0,
        stretch: str | Stretch = "auto",
        holdout: float | Sequence[str] = 0.1,
        rotate: str = "quarter",
        flip: bool = True,
        shift: int = 0,
        fill: str = "reflect",
        balance: bool = False,
        standard: Sequence[Number] = (),
        workers: int = 0,
        epoch_images: int | None = None,
        **reading: Any,
    ) -> None:
        super().__init__()
        self.source, self.batch, self.seed = source, batch, seed
        self.augmentation = Augmentation(rotate=rotate, flip=flip, shift=shift, fill=fill)
        self.holdout, self.workers, self.epoch_images = holdout, workers, epoch_images
        self.balance, self.standard = balance, tuple(standard)
        self._stretch, self._reading = stretch, reading
        self.position = 0

    @cached_property
    def cutouts(self) -> CutoutSet:
        """The whole set, opened at first use."""
        return open_set(self.source, seed=self.seed, **self._reading)

    @property
    def spec(self) -> ImageSpec:
        """Facts about the images."""
        return self.cutouts.spec

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, empty without labels."""
        return self.cutouts.classes

    @cached_property
    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and of the held-out galaxies."""
        if isinstance(self.holdout, float | int):
            labels = self.cutouts.labels if len(self.cutouts.classes) > 1 else None
            train, held = split_by_group(
                self.cutouts.groups, float(self.holdout), self.seed, labels
            )
        else:
            names = set(self.holdout)
            mask = np.array([name in names for name in self.cutouts.names])
            train, held = np.flatnonzero(~mask), np.flatnonzero(mask)
        if len(train) < 2:
            raise DataError(
                f"{self.source} leaves {len(train)} galaxies to train on: "
                "at least 2 are needed, see data.holdout and data.select."
            )
        return train, held

    @property
    def holdout_names(self) -> list[str]:
        """Names of the held-out galaxies."""
        return [self.cutouts.names[i] for i in self.split[1]]

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """How many galaxies are trained on, and a hash of their names, to know them again."""
        names, rows = self.cutouts.names, self.split[0]
        text = "\n".join(names[row] for row in rows.tolist())
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return {"count": len(rows), "names": digest}

    @cached_property
    def conditions(self) -> Conditions:
        """What the training galaxies can be told apart by; empty with fewer than two classes
        and no numbers.

        Raises
        ------
        DataError
            If a class has fewer than 2 galaxies to train on.
        ConfigError
            If classes are to be balanced where there are none.
        """
        cutouts, rows = self.cutouts, self.split[0]
        labels = cutouts.labels[rows] if cutouts.labels is not None else None
        classes = cutouts.classes if len(cutouts.classes) > 1 else ()
        if labels is None or not classes:
            labels = None
            if self.balance:
                raise ConfigError(
                    f"data.balance needs two classes or more, and {self.source} has "
                    f"{len(cutouts.classes) or 'none'}: name them by --labels, or leave it out."
                )
        else:
            counts = np.bincount(labels, minlength=len(classes)).tolist()
            text, built_in = self._reading.get("labels"), str(self.source) in BUILT_IN
            held = np.asarray(cutouts.labels)[self.split[1]]
            out = np.bincount(held, minlength=len(classes)).tolist()
            few = too_few(
                dict(zip(classes, counts, strict=True)),
                text,
                built_in,
                dict(zip(classes, out, strict=True)),
            )
            if few is not None:
                raise DataError(few)
        kept = {number.name: number for number in self.standard}
        numbers = [
            replace(kept[number.name], source=number.source) if number.name in kept else number
            for number in cutouts.numbers
        ]
        values = None if cutouts.values is None else cutouts.values[rows]
        return Conditions.of(classes, labels, numbers, values)

    @cached_property
    def stretch(self) -> Stretch:
        """The stretch, fitted on the training galaxies."""
        if isinstance(self._stretch, Stretch):
            return self._stretch
        kind = self._stretch
        if kind == "auto":
            kind = "linear" if self.spec.display else "asinh"
        rows = self.split[0]
        if kind == "linear":
            rows = rows[:1]
        elif kind == "asinh":
            rows = self._sample(rows)
        elif 4 * len(rows) * math.prod(self.spec.shape) > KEEP_BYTES // 4:
            return Stretch.fit(self._extremes(rows), kind)
        return Stretch.fit(torch.from_numpy(self.cutouts.read(rows.tolist())), kind)

    def _sample(self, rows: np.ndarray) -> np.ndarray:
        """Galaxies to fit on, spread over the set."""
        most = min(FIT_GALAXIES, max(2, FIT_VALUES // math.prod(self.spec.shape)))
        return rows[:: -(-len(rows) // most)]

    def _extremes(self, rows: np.ndarray) -> Tensor:
        """The faintest and the brightest value of each band, as two images of one pixel."""
        low = torch.full((self.spec.n_bands,), math.inf)
        high = -low
        for first in range(0, len(rows), _CHUNK):
            flux = torch.from_numpy(self.cutouts.read(rows[first : first + _CHUNK].tolist()))
            least, most = torch.aminmax(flux.transpose(0, 1).flatten(1), dim=1)
            low, high = torch.minimum(low, least), torch.maximum(high, most)
        return torch.stack([low, high])[:, :, None, None]

    @cached_property
    def variance(self) -> float:
        """Mean over pixels of the variance between training images, in network space."""
        rows = self._sample(self.split[0])
        images = self.stretch(torch.from_numpy(self.cutouts.read(rows.tolist())))
        return float(images.var(dim=0, unbiased=False).mean())

    @cached_property
    def margin(self) -> int:
        """Pixels read beyond each edge, so that a turned frame has no empty corners."""
        return min(self.augmentation.margin(self.spec.size), self.cutouts.max_margin)

    @cached_property
    def train_set(self) -> StretchedCutouts:
        """The training galaxies in network space."""
        return StretchedCutouts(
            self.cutouts, self.split[0], self.stretch, self.margin, self.conditions
        )

    def setup(self, stage: str | None = None) -> None:
        """Open, split and stretch the set, on the device that trains if it fits."""
        if stage in (None, "fit"):
            sharing = self.trainer.num_devices if self.trainer else 1
            self.train_set.settle(self.device, sharing)

    @property
    def device(self) -> torch.device:
        """The device that trains."""
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def train_dataloader(self) -> SteadyLoader:
        """Batches from where the run stands to the end of the epoch."""
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        if self.batch % world:
            raise ConfigError(
                f"--batch {self.batch} does not divide over {world} devices: "
                f"choose a multiple of {world}."
            )
        labels = self.cutouts.labels
        sampler = CounterSampler(
            len(self.train_set),
            self.batch,
            self.seed,
            rank,
            world,
            self.epoch_images,
            labels[self.split[0]] if self.balance and labels is not None else None,
        )
        sampler.position = self.position
        self._sampler = sampler
        ahead = READ_AHEAD if world > 1 and self.train_set.kept is None else 1
        # Nothing is read where the images are on the device, and no other process sees them there.
        workers = 0 if self.train_set.resident else self.workers
        pin = self.device.type == "cuda"
        self.loader = SteadyLoader(self.train_set, sampler, workers, ahead, pin)
        return self.loader

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn, flip and shift, the draws keyed by the batch's position."""
        sampler = self._sampler
        draws = self.augmentation.draw(
            self.batch, generator(self.seed, "augment", int(batch["position"]))
        )
        images = self.train_set.images(batch)
        local = len(images)
        mine = draws[sampler.rank * local : (sampler.rank + 1) * local]
        images = self.augmentation.apply(images, mine, size=self.spec.size)
        self.position = sampler.position = int(batch["position"]) + self.batch
        kept = {name: value for name, value in batch.items() if name != "rows"}
        return {**kept, "images": images}

    def state_dict(self) -> dict[str, int]:
        """Position in the stream of training images."""
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there."""
        self.position = int(state_dict["position"])
