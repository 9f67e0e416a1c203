"""Nearest training images of generated ones: in rows of any space, and as pictures of pairs.

What a distance between rows means is up to the space, see `galgen.metrics.spaces`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from galgen.metrics.frames import turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Ways to lie of a square.
ORIENTATIONS = 8
_QUERIES = 512
_REFERENCES = 1024


@dataclass(frozen=True)
class Neighbours:
    """The k nearest references of each query, the nearest first.

    Attributes
    ----------
    index
        (N, k) int64 position in the references.
    distance
        (N, k) float64.
    """

    index: Tensor
    distance: Tensor


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image of a set, in one space.

    Attributes
    ----------
    index
        (N,) int64 position in the training images; -1 for an image without light.
    distance
        (N,) float64 distance of it over that of a farther neighbour; NaN without light.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]

    @classmethod
    def of(cls, found: Neighbours, active: NDArray[np.bool_]) -> Nearest:
        """From the neighbours of the images with light: nearest over farthest of the k."""
        index = np.full(len(active), -1, dtype=np.int64)
        distance = np.full(len(active), np.nan)
        near, far = (found.distance[:, k].numpy() for k in (0, -1))
        index[active] = found.index[:, 0].numpy()
        # All of the k training images equal, and a copy of them: 0 / 0.
        distance[active] = np.where(far > 0, near / np.where(far > 0, far, 1), 0.0)
        return cls(index, distance)

    @property
    def left_out(self) -> int:
        """Images without light, which match each other perfectly and say nothing."""
        return int((self.index < 0).sum())

    @property
    def rows(self) -> NDArray[np.float64]:
        """(N, 1) distances of the images with light."""
        return self.distance[self.index >= 0, None]


class Search:
    """Nearest references of rows, the references coming in blocks.

    Parameters
    ----------
    queries
        (N, D), or (N, V, D) of V variants of each, of which the nearest counts.
    k
        Neighbours wanted.
    variants
        Makes (n, V, D) of queries (n, D). They are made anew for every block and not kept.

    Notes
    -----
    Distances of whole blocks come from ``|q|^2 + |r|^2 - 2 q.r`` as one matrix product, and
    those of the winners are taken again from the rows, because the sum cancels to nothing for
    copies. Memory is the queries and one block.
    """

    def __init__(
        self,
        queries: Tensor,
        k: int = 1,
        variants: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        rows = queries.detach().float()
        self._queries = rows
        self._variants = variants or (lambda rows: rows if rows.ndim == 3 else rows[:, None])
        self._k, self.seen = k, 0
        # Distances from a common point cancel less; variants move it as they move the rows.
        self._centre = rows.new_zeros(rows.shape[-1])
        if len(rows):
            self._centre = self._variants(rows.mean(0, keepdim=True)).mean((0, 1))
        self._index = torch.zeros(len(rows), 0, dtype=torch.int64)
        self._distance = torch.zeros(len(rows), 0, dtype=torch.float64)

    def add(self, references: Tensor, active: Tensor | None = None) -> None:
        """Compare with the next references (M, D); those that are not `active` count as places.

        Raises
        ------
        ValueError
            For rows of another length.
        """
        if references.ndim != 2 or references.shape[1] != self._queries.shape[-1]:
            raise ValueError(
                f"references {tuple(references.shape)} for rows of {self._queries.shape[-1]}"
            )
        places = torch.arange(len(references)) if active is None else active.cpu().nonzero()[:, 0]
        rows = references.detach()[places.to(references.device)].to(self._queries)
        for block, place in zip(rows.split(_REFERENCES), places.split(_REFERENCES), strict=True):
            if len(block):
                self._compare(block, place + self.seen)
        self.seen += len(references)

    def _compare(self, block: Tensor, place: Tensor) -> None:
        parts = [self._nearest(self._variants(part), block)
                 for part in self._queries.split(_QUERIES)]  # fmt: skip
        row, distance = (torch.cat(part) for part in zip(*parts, strict=True))
        distance = torch.cat([self._distance, distance], 1)
        index = torch.cat([self._index, place[row]], 1)
        self._distance, order = distance.sort(stable=True, dim=1)
        self._index = index.gather(1, order)[:, : self._k]
        self._distance = self._distance[:, : self._k]

    def _nearest(self, queries: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
        """Positions in the block and distances of the nearest, each (n, k) at most."""
        n, variants, width = queries.shape
        q, r = queries.reshape(n * variants, width) - self._centre, block - self._centre
        squares = q.square().sum(1, keepdim=True) + r.square().sum(1) - 2 * q @ r.T
        lowest, variant = squares.view(n, variants, len(r)).min(1)
        row = lowest.topk(min(self._k, len(r)), dim=1, largest=False).indices
        each = torch.arange(n, device=row.device)[:, None]
        chosen = queries[each, variant.gather(1, row)]
        exact = (chosen - block[row]).double().square().sum(2).sqrt()
        return row.cpu(), exact.cpu()

    def found(self) -> Neighbours:
        """The nearest so far; fewer than k where there were fewer references.

        Raises
        ------
        ValueError
            Without a reference.
        """
        if self._index.shape[1] == 0:
            raise ValueError("there is no training image with light to compare with")
        return Neighbours(self._index, self._distance)


def nearest_rows(queries: Tensor, references: Tensor | Iterable[Tensor], k: int = 1) -> Neighbours:
    """Nearest references (M, D), or blocks of them, of queries (N, D) or (N, V, D).

    Raises
    ------
    ValueError
        Without a reference, or for rows of another length.
    """
    search = Search(queries, k)
    for block in [references] if isinstance(references, Tensor) else references:
        search.add(block)
    return search.found()


def orient(images: Tensor, orientation: int) -> Tensor:
    """One of the 8 quarter turns and flips of square images (..., H, W).

    ``orientation % 4`` quarter turns counter-clockwise, then a flip left to right from 4 on.
    """
    upright = torch.rot90(images, orientation % 4, (-2, -1))
    return upright.flip(-1) if orientation >= 4 else upright


def turn_to_match(image: Tensor, other: Tensor) -> Tensor:
    """A training image turned, mirrored and shifted as it fits another best, for pictures of pairs.

    Parameters
    ----------
    image, other
        (C, H, W) flux of the same shape.

    Notes
    -----
    Every 10 degrees in both mirror images, then by degrees around the best; the shift, at most
    an eighth of the side, is where the correlation of the asinh of both is highest.
    """
    pair = torch.nan_to_num(torch.stack([image, other]).detach().float())
    level = pair.flatten(2).median(2).values.mean(0)[:, None, None]
    spread = (pair - level).abs().flatten(2).mean(2).mean(0)[:, None, None]
    x, y = torch.asinh((pair - level) / spread.clamp_min(1e-12))
    coarse = torch.arange(0.0, 360.0, 10.0)
    best = min(_fit(x, y, coarse, flip) for flip in (False, True))
    _, degrees, shift, flip = min(
        best,
        _fit(x, y, best[1] + torch.tensor([-8.0, -6, -4, -3, -2, -1, 1, 2, 3, 4, 6, 8]), best[3]),
    )
    angle = torch.tensor([math.radians(degrees)])
    return turned(pair[:1], angle, torch.tensor([shift]), flip)[0].to(image)


def _fit(
    x: Tensor, y: Tensor, degrees: Tensor, flip: bool
) -> tuple[float, float, tuple[int, int], bool]:
    """Mean squared difference, degrees, shift and flip of the best of some turns."""
    n, size = len(degrees), x.shape[-1]
    every = turned(x.expand(n, *x.shape), torch.deg2rad(degrees), torch.zeros(n, 2), flip)
    spectrum = torch.fft.rfft2(y) * torch.fft.rfft2(every).conj()
    product = torch.fft.irfft2(spectrum, s=x.shape[-2:]).sum(1)
    squares = every.square().sum((1, 2, 3))[:, None, None] + y.square().sum()
    steps = torch.arange(-(size // 8), size // 8 + 1)
    difference = (squares - 2 * product)[:, steps][:, :, steps] / x.numel()
    turn, row, column = (int(k) for k in torch.unravel_index(difference.argmin(), difference.shape))
    shift = int(steps[column]), int(steps[row])
    return float(difference[turn, row, column]), float(degrees[turn]), shift, flip
