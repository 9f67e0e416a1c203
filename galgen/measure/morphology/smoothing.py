"""Smoothing of each image by a width of its own, as products with banded matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian(image: Tensor, sigma: Tensor) -> Tensor:
    """Images (N, H, W) convolved with a Gaussian of `sigma` (N,) pixels; beyond them is nothing.

    The Gaussian is cut at four sigma.
    """
    reach = (4 * sigma + 0.5).floor()
    sigma = sigma.clamp_min(1e-3)
    far = math.ceil(float(reach.max())) if len(image) else 0
    k = torch.arange(-far, far + 1, device=image.device, dtype=image.dtype)
    norm = _bell(k, sigma[:, None], reach[:, None]).sum(1)[:, None, None]

    def matrix(length: int) -> Tensor:
        i = torch.arange(length, device=image.device, dtype=image.dtype)
        return _bell(i[:, None] - i, sigma[:, None, None], reach[:, None, None]) / norm

    height, width = image.shape[1:]
    rows = matrix(height)
    columns = rows if width == height else matrix(width)
    return rows @ image @ columns.transpose(1, 2)


def _bell(offset: Tensor, sigma: Tensor, reach: Tensor) -> Tensor:
    return torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= reach)


def excess(image: Tensor, width: Tensor) -> Tensor:
    """Light (N, H, W) above that of the image smoothed by a square of `width` (N,) whole pixels.

    A square of an even number of pixels sits half a pixel off its own, and shows every slope as
    structure; statmorph has it off to the first row and column, here the mean of all four ways
    is taken, which is the same whichever way up the galaxy is. Beyond its edges an image goes on as
    its mirror image.
    """
    n, height, width_ = image.shape
    sides = (-0.5, 0.5) if bool((width % 2 == 0).any()) else (-0.5,)
    zero = torch.zeros_like(width)

    def matrices(length: int) -> list[Tensor]:
        return [_square(image, length, width, side, zero, zero + length) for side in sides]

    rows = matrices(height)
    columns = rows if width_ == height else matrices(width_)
    lines = [m @ image for m in rows]
    parts = [(image - line @ m.transpose(1, 2)).clamp_min(0) for line in lines for m in columns]
    return torch.stack(parts).mean(0) if len(parts) > 1 else parts[0]


def excess_within(image: Tensor, width: Tensor, corner: Tensor, side: Tensor) -> Tensor:
    """The same in squares of `side` (N,) from `corner` (N, 2), x and y, as though all else was gone.

    The square that smooths is off to the first row and column if it has to be.
    """
    x, y = (
        _square(image, image.shape[2 - k], width, -0.5, corner[:, k], corner[:, k] + side)
        for k in (0, 1)
    )
    return (image - y @ image @ x.transpose(1, 2)).clamp_min(0)


def _square(
    image: Tensor, length: int, width: Tensor, side: float, first: Tensor, end: Tensor
) -> Tensor:
    """Matrices (N, length, length) of means over `width` pixels, mirrored at `first` and `end`."""
    i = torch.arange(length, device=image.device, dtype=image.dtype)
    off = torch.where(width % 2 == 0, side, 0.0)[:, None, None]
    half = (width / 2)[:, None, None]
    first, end = first[:, None, None], end[:, None, None]
    weight = torch.zeros_like(half)
    for place in (i, 2 * first - 1 - i, 2 * end - 1 - i):
        weight = weight + ((place - i[:, None] - off).abs() < half)
    return weight * ((i >= first) & (i < end)) / width[:, None, None]
