"""From pixels of one size to pixels of another, with all of the light."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Degree of the spline through the summed light. Of a Gaussian of 3 pixels FWHM, along one axis, it
#: puts 5e-4 of the light into a wrong pixel of half the size, a cubic 3e-3.
_DEGREE = 5
#: Pixels beyond the edges that are part of the spline; a pixel's share falls as 0.43 per pixel.
_MARGIN = 16


def rebinning(old: int, new: int, ratio: float, mirror: bool) -> NDArray[np.float64]:
    r"""The matrix R (new, old) of :math:`R f R^T`, for new pixels about the same centre.

    A pixel holds the light that falls on it. So the light summed up to every pixel's edge is
    known exactly, a smooth curve goes through these sums (a spline), and a new pixel gets the
    difference of the curve at its own two edges. Sums over the stamp are kept to the last digits
    whatever the curve does between the edges. Old pixels are not taken for flat
    squares, as weighting by area does, which would smear the light by one more pixel.

    Parameters
    ----------
    old, new
        Pixels along a side.
    ratio
        Side of a new pixel in old ones.
    mirror
        Whether the light goes on as its mirror image beyond the old edges, so that none is lost
        there: then new pixels hold what falls on the old field, and those that lie across its edge
        only their part of it. Without it there is nothing beyond.
    """
    half = new * ratio / 2
    margin = _MARGIN + max(0, math.ceil(half - old / 2))
    edges = np.arange(-margin, old + margin + 1.0) - old / 2
    wide = old + 2 * margin
    wanted = ratio * (np.arange(new + 1) - new / 2)
    if mirror:
        wanted = np.clip(wanted, -old / 2, old / 2)
    if ratio == 1 and (old - new) % 2 == 0:
        first = round(wanted[0] - edges[0])
        matrix = np.eye(wide)[first : first + new]
    else:
        # Only here: it takes a third of a second to load.
        from scipy.interpolate import make_interp_spline

        sums = np.concatenate([np.zeros((1, wide)), np.cumsum(np.eye(wide), axis=0)])
        matrix = np.diff(make_interp_spline(edges, sums, k=_DEGREE)(wanted), axis=0)
    if not mirror:
        return np.ascontiguousarray(matrix[:, margin : margin + old])
    folded = np.zeros((new, old))
    for column, source in enumerate(np.pad(np.arange(old), margin, mode="symmetric")):
        folded[:, source] += matrix[:, column]
    return folded
