"""Augmentation in front of the critic, of real and generated images alike (Karras et al. 2020,
arXiv:2006.06676).

Galaxies have no up, no fixed place and no fixed distance, so they are turned, flipped, shifted,
scaled a little and partly covered. Fluxes and colours are left as they are: they are what is to be
learnt. Each operation is applied with a probability p; below 1 the distribution of real images
follows uniquely from that of the augmented ones, so the generator does not learn the augmentation
(section 2.2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Uniform numbers that one image takes.
DRAWS = 10
#: Largest shift by whole pixels, as a fraction of the side.
SHIFT = 0.125
#: Largest change of scale, in powers of 2.
SCALE = 0.25
#: Side of the covered square, as a fraction of the image's.
CUTOUT = 0.5
#: Which of the draws decide the change of scale, and whether there is a square.
_ZOOM, _COVER = 5, 8


def augment(images: Tensor, draws: Tensor, p: Tensor, *, keep_numbers: bool = False) -> Tensor:
    """Images as the critic sees them.

    In this order, each with probability p: mirrored left to right; turned by a random multiple of
    90 degrees; turned by any angle, scaled by up to 2^0.25 and shifted by up to half a pixel, all
    by one bilinear interpolation; shifted by whole pixels, up to an eighth of the side; a square of
    half the side set to 0, which is sky. What comes in from outside is the image mirrored about
    its outermost pixels.

    An image that no operation meets is unchanged bit for bit. Whole-pixel operations move pixels
    and change none; interpolation smooths the noise of pixels (to 0.67 of its standard deviation on
    average). That is why its three operations are met by the same images, so that at least 1 - p
    of them keep their noise. On CUDA the gradient is summed in an order that may change.

    Parameters
    ----------
    images
        Shape (N, C, H, H), any number of bands.
    draws
        Uniform numbers in [0, 1), shape (N, `DRAWS`). They alone decide what happens to an image,
        whatever else is in the batch.
    p
        Probability, 0-dim, on the images' device.
    keep_numbers
        Neither scale nor cover, which change a galaxy's size and flux: for a critic that learns
        to read such numbers in what it sees. From scaled and covered images it would learn to
        read too near to the mean, and the generator to exaggerate.

    Returns
    -------
    Tensor
        Shape (N, C, H, H), channels_last; differentiable to any order.
    """
    if keep_numbers:
        draws = draws.clone()
        draws[:, _ZOOM] = 0.5
        draws[:, _COVER] = 1.0
    # Given that a uniform number is below p, it is uniform below p: one number decides both
    # whether and how.
    met = draws < p
    how = torch.where(met, draws / p.clamp_min(1e-6), 0.0).clamp_max(1 - 2**-24)
    side = images.shape[-1]
    pixels = images.permute(0, 2, 3, 1)
    moved = met[:, [0, 1, 2, 4]].any(dim=1)[:, None, None, None]
    pixels = torch.where(moved, _interpolate(pixels, *_sources(side, draws, met, how)), pixels)
    covered = _covered(side, draws, met[:, _COVER], how[:, _COVER])
    return pixels.masked_fill(covered[..., None], 0.0).permute(0, 3, 1, 2)


def _sources(side: int, draws: Tensor, met: Tensor, how: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (N, side, side) that each pixel comes from, from the first's centre;
    exactly whole, also in float32, where nothing is interpolated.
    """
    mirror = torch.where(met[:, 0] & (how[:, 0] < 0.5), -1.0, 1.0)
    turns = (4 * how[:, 1]).floor()
    angle = torch.where(met[:, 4], (2 * how[:, 4] - 1) * math.pi, 0.0)
    zoom = torch.where(met[:, 4], torch.exp2(SCALE * (2 * draws[:, _ZOOM] - 1)), 1.0)
    most = round(SHIFT * side)
    whole = ((2 * most + 1) * torch.stack([how[:, 2], draws[:, 3]])).floor() - most
    part = draws[:, 6:8].T - 0.5
    shift = torch.where(met[:, 2], whole, 0.0) + torch.where(met[:, 4], part, 0.0)
    # cos and sin of the quarter turns are whole numbers, and so are those of their sum with 0.
    cos_turns = (turns == 0).to(draws.dtype) - (turns == 2).to(draws.dtype)
    sin_turns = (turns == 1).to(draws.dtype) - (turns == 3).to(draws.dtype)
    cos = ((cos_turns * angle.cos() - sin_turns * angle.sin()) / zoom)[:, None]
    sin = ((sin_turns * angle.cos() + cos_turns * angle.sin()) / zoom)[:, None]
    middle = (side - 1) / 2
    axis = torch.arange(side, device=draws.device, dtype=draws.dtype) - middle
    down, right = axis - shift[..., None]
    rows = (down * cos)[:, :, None] + (right * sin + middle)[:, None, :]
    mirror = mirror[:, None]
    columns = (middle - mirror * down * sin)[:, :, None] + (mirror * right * cos)[:, None, :]
    return rows, columns


def _interpolate(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear between the four pixels (N, H, W, C) around each place (N, H, W).

    Of gathers rather than by grid_sample: exact at whole pixels, with gradients of any order, on
    every device.
    """
    n, side, _, bands = pixels.shape
    flat = pixels.reshape(-1, bands)
    first = side * side * torch.arange(n, device=pixels.device)[:, None, None]
    top, left = rows.floor(), columns.floor()
    below, beside = ((a - b).to(pixels.dtype)[..., None] for a, b in ((rows, top), (columns, left)))

    def at(row: Tensor, column: Tensor) -> Tensor:
        place = first + (side * row + column).long()
        return flat.index_select(0, place.flatten()).view(pixels.shape)

    near, far = _reflected(left, side), _reflected(left + 1, side)
    upper, lower = (
        torch.lerp(at(row, near), at(row, far), beside)
        for row in (_reflected(top, side), _reflected(top + 1, side))
    )
    return torch.lerp(upper, lower, below)


def _reflected(index: Tensor, side: int) -> Tensor:
    """Whole numbers up to a side beyond the image, mirrored about its outermost pixels."""
    last = side - 1
    return last - (last - index.abs()).abs()


def _covered(side: int, draws: Tensor, met: Tensor, how: Tensor) -> Tensor:
    """Mask (N, side, side) of the square; its middle may be anywhere in the image."""
    axis = torch.arange(side, device=draws.device, dtype=draws.dtype) + 0.5
    rows, columns = (
        (axis - side * middle[:, None]).abs() < side * CUTOUT / 2 for middle in (how, draws[:, 9])
    )
    return met[:, None, None] & rows[:, :, None] & columns[:, None, :]
