"""Training images in network space: kept whole where they fit, on the device if there is room."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from galgen.conditions import Conditions
from galgen.data.room import device_memory, memory
from galgen.data.sets import CutoutSet
from galgen.stretch import Stretch

#: Sets up to this many bytes are kept in memory, stretched once, where half of it is enough ...
KEEP_BYTES = 4 * 1024**3
#: ... and on the device that trains, where this part of its free memory is.
DEVICE_SHARE = 0.25
#: Galaxies that are stretched at a time.
_CHUNK = 256

Batch = dict[str, Any]


class StretchedCutouts(Dataset[Batch]):
    """Training images in network space, a batch at a time.

    Attributes
    ----------
    kept
        All of them (n, C, side, side), after `settle`; None for a set that is too large, which is
        read as it is needed.
    """

    def __init__(
        self,
        cutouts: CutoutSet,
        rows: np.ndarray,
        stretch: Stretch,
        margin: int = 0,
        conditions: Conditions | None = None,
    ) -> None:
        self.cutouts, self.rows, self.stretch, self.margin = cutouts, rows, stretch, margin
        self.condition = encoded(cutouts, rows, conditions) if conditions else None
        self.kept: Tensor | None = None

    def _read(self, rows: np.ndarray) -> Tensor:
        flux = torch.from_numpy(self.cutouts.read(rows.tolist(), self.margin))
        return self.stretch(flux)

    @property
    def resident(self) -> bool:
        """True where the images are on the device that trains, and that is not the CPU.

        Batches then hold ``rows`` instead of ``images``, to be looked up there.
        """
        return self.kept is not None and self.kept.device.type != "cpu"

    def settle(self, device: torch.device, sharing: int = 1) -> None:
        """Stretch all images and keep them, on the device that trains or else in memory.

        Parameters
        ----------
        device
            Keeps a set that takes at most `DEVICE_SHARE` of its free memory, other than the CPU.
            Memory keeps one of at most `KEEP_BYTES` that takes no more than half of what is free.
        sharing
            Processes of this machine that each keep a copy, on a device of their own or in memory.
        """
        if self._lies_on(device):
            return
        fits = self._bytes <= DEVICE_SHARE * device_memory(device)
        place = device if fits else torch.device("cpu")
        enough = fits or self._bytes <= min(KEEP_BYTES, memory() // (2 * sharing))
        if self._lies_on(place) or not enough:
            return
        kept = torch.empty(self._shape, device=place)
        for first in range(0, len(kept), _CHUNK):
            part = slice(first, first + _CHUNK)
            kept[part] = self._read(self.rows[part]) if self.kept is None else self.kept[part]
        self.kept = kept

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        side = self.cutouts.spec.size + 2 * self.margin
        return len(self.rows), self.cutouts.spec.n_bands, side, side

    @property
    def _bytes(self) -> int:
        return 4 * math.prod(self._shape)

    def _lies_on(self, place: torch.device) -> bool:
        if self.kept is None:
            return False
        here = self.kept.device
        return here.type == place.type and place.index in (None, here.index)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: tuple[int, list[int]]) -> Batch:
        position, indices = item
        batch: Batch = {"position": position}
        if self.resident:
            batch["rows"] = torch.tensor(indices)
        elif self.kept is not None:
            batch["images"] = self.kept[indices]
        else:
            batch["images"] = self._read(self.rows[indices])
        if self.condition is not None:
            batch["condition"] = self.condition[indices]
        return batch

    def images(self, batch: Batch) -> Tensor:
        """The images of a batch, wherever they are."""
        images: Tensor | None = batch.get("images")
        if images is None:
            assert self.kept is not None
            images = self.kept.index_select(0, batch["rows"])
        return images


def encoded(cutouts: CutoutSet, rows: np.ndarray, conditions: Conditions) -> Tensor:
    """What the galaxies `rows` are, as networks see it: (N, width) float32."""
    labels = None if cutouts.labels is None else cutouts.labels[rows]
    values = None if cutouts.values is None else cutouts.values[rows]
    return torch.from_numpy(conditions.encode(labels, values))
