"""Nearest training images of generated ones, whatever way up they lie.

A generator that copies is not found by the smallest distance alone (a copy with noise is
never at 0), so the same distances of galaxies that were held out of training are the
comparison: generated images must not lie nearer to the training set than those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ORIENTATIONS = 8
_BLOCK = 1024


@dataclass(frozen=True)
class Nearest:
    """The nearest reference of each query.

    Attributes
    ----------
    index
        (N,) int64 position in the references.
    distance
        (N,) float64 mean squared difference per pixel and band.
    orientation
        (N,) int64; ``orient(reference, orientation)`` lies as the query does.
    """

    index: Tensor
    distance: Tensor
    orientation: Tensor


def orient(images: Tensor, orientation: int) -> Tensor:
    """One of the 8 quarter turns and flips of square images (..., H, W).

    ``orientation % 4`` quarter turns counter-clockwise, then a flip left to right from 4 on.
    """
    turned = torch.rot90(images, orientation % 4, (-2, -1))
    return turned.flip(-1) if orientation >= 4 else turned


def central_crop(images: Tensor, size: int | None) -> Tensor:
    """The central `size` pixels of (..., H, W); None or a larger size leaves them whole."""
    if size is None or size >= images.shape[-1]:
        return images
    start = (images.shape[-1] - size) // 2
    return images[..., start : start + size, start : start + size]


def nearest(
    queries: Tensor,
    references: Tensor | Iterable[Tensor],
    *,
    crop: int | None = None,
    orientations: bool = True,
) -> Nearest:
    """Nearest reference of each query by mean squared difference in network space.

    Parameters
    ----------
    queries
        (N, C, H, W) in network space, where sky and cores weigh alike.
    references
        (M, C, H, W), or an iterable of such blocks for sets larger than memory.
    crop
        Compare this central square only.
    orientations
        Over the 8 quarter turns and flips of each reference; False for one.

    Raises
    ------
    ValueError
        Without a reference, or for images of another shape.

    Notes
    -----
    Distances of whole blocks come from ``|q|^2 + |r|^2 - 2 q.r`` as one matrix product per
    orientation, and that of each winner is then taken again from the pixels, because the
    sum cancels to nothing for copies. Memory is the queries plus one block of references.
    """
    q = central_crop(queries.detach().float(), crop)
    shift = q.mean(0)  # distances from a common point cancel less
    # Orientation mixes positions, so the point must be the same for all of them.
    shift = torch.stack([orient(shift, o) for o in range(ORIENTATIONS)]).mean(0)
    flat = (q - shift).flatten(1)
    lengths = flat.square().sum(1, keepdim=True)
    n = len(q)
    best = torch.full((n,), torch.inf, dtype=torch.float64)
    index = torch.zeros(n, dtype=torch.int64)
    orientation = torch.zeros(n, dtype=torch.int64)
    start = 0
    for whole in _blocks(references):
        block = central_crop(whole.detach().to(q), crop)
        if block.shape[1:] != q.shape[1:]:
            raise ValueError(f"references {tuple(block.shape)} for queries {tuple(q.shape)}")
        rows, turns = _candidates(flat, lengths, block - shift, orientations)
        exact = _exact(q, block, rows, turns)
        closer = exact < best
        best = torch.where(closer, exact, best)
        index = torch.where(closer, rows + start, index)
        orientation = torch.where(closer, turns, orientation)
        start += len(block)
    if start == 0:
        raise ValueError("no reference images to compare with")
    return Nearest(index, best, orientation)


def _blocks(references: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    for block in [references] if isinstance(references, Tensor) else references:
        yield from block.split(_BLOCK) if len(block) else ()


def _candidates(
    flat: Tensor, lengths: Tensor, block: Tensor, orientations: bool
) -> tuple[Tensor, Tensor]:
    """Row in the block and orientation of the nearest reference of each query."""
    sizes = block.flatten(1).square().sum(1)
    lowest = torch.full((len(flat),), torch.inf)
    rows = torch.zeros(len(flat), dtype=torch.int64)
    turns = torch.zeros(len(flat), dtype=torch.int64)
    for turn in range(ORIENTATIONS if orientations else 1):
        product = flat @ orient(block, turn).flatten(1).T
        value, row = (lengths + sizes - 2 * product).cpu().min(1)
        closer = value < lowest
        lowest = torch.where(closer, value, lowest)
        rows = torch.where(closer, row, rows)
        turns = torch.where(closer, torch.full_like(turns, turn), turns)
    return rows, turns


def _exact(q: Tensor, block: Tensor, rows: Tensor, turns: Tensor) -> Tensor:
    """Mean squared difference (N,) of each query and its reference, from the pixels."""
    out = torch.empty(len(q), dtype=torch.float64)
    for turn in sorted(set(turns.tolist())):
        chosen = (turns == turn).nonzero()[:, 0]
        difference = q[chosen] - orient(block[rows[chosen]], turn)
        out[chosen] = difference.cpu().double().square().flatten(1).mean(1)
    return out
