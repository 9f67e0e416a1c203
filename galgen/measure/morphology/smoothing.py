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
    far = max(math.ceil(float(reach.max())) if len(image) else 0, *image.shape[1:])
    k = torch.arange(-far, far + 1, device=image.device, dtype=image.dtype)
    bell = torch.exp(-0.5 * (k / sigma[:, None]) ** 2) * (k.abs() <= reach[:, None])
    bell = bell / bell.sum(1, keepdim=True)

    def matrix(length: int) -> Tensor:
        i = torch.arange(length, device=image.device)
        return _at(bell, i[:, None] - i + far)

    height, width = image.shape[1:]
    rows = matrix(height)
    columns = rows if width == height else matrix(width)
    return rows @ image @ columns


def excess(image: Tensor, width: Tensor) -> Tensor:
    """Light (N, H, W) above that of the image smoothed by a square of `width` (N,) whole pixels.

    A square of an even number of pixels sits half a pixel off its own, and shows every slope as
    structure; statmorph has it off to the first row and column, here the mean of all four ways
    is taken, which is the same whichever way up the galaxy is. Beyond its edges an image goes on as
    its mirror image.
    """
    height, breadth = image.shape[1:]
    sides = (-0.5, 0.5) if bool((width % 2 == 0).any()) else (-0.5,)
    rows = [_square(image, height, width, side) for side in sides]
    columns = rows if breadth == height else [_square(image, breadth, width, s) for s in sides]
    lines = [m @ image for m in rows]
    total = torch.zeros_like(image)
    for line in lines:
        for m in columns:
            total = total + (image - line @ m.transpose(1, 2)).clamp_min(0)
    return total / len(sides) ** 2


def excess_within(image: Tensor, width: Tensor, side: Tensor) -> Tensor:
    """The same in the first `side` (N,) rows and columns, as though there were no others.

    The square that smooths is off to the first row and column if it has to be.
    """
    mean = _square(image, image.shape[1], width, -0.5, side)
    return (image - mean @ image @ mean.transpose(1, 2)).clamp_min(0)


def _square(
    image: Tensor, length: int, width: Tensor, side: float, end: Tensor | None = None
) -> Tensor:
    """Matrices (N, length, length) of means over `width` pixels, mirrored at 0 and `end`."""
    i = torch.arange(length, device=image.device, dtype=image.dtype)
    off = torch.where(width % 2 == 0, side, 0.0)[:, None]
    half = (width / 2)[:, None]
    # By the distance between two pixels, which may be as far apart as the mirrored ones are.
    k = torch.arange(-2 * length, 2 * length + 1, device=image.device)
    inside = ((k - off).abs() < half).to(image) / width[:, None]
    here, before = i - i[:, None], -1 - i - i[:, None]
    weight = sum(_at(inside, (d + 2 * length).long()) for d in (here, before))
    if end is None:
        return weight + _at(inside, (before + 4 * length).long())
    end = end[:, None, None]
    beyond = ((before + 2 * end - off[:, :, None]).abs() < half[:, :, None]).to(image)
    return (weight + beyond / width[:, None, None]) * (i < end)


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(1, index.flatten()).view(len(values), *index.shape)
