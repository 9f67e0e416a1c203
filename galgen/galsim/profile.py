"""A picture to a profile of GalSim, and what is done to the picture before."""

from __future__ import annotations

from typing import Any

import galsim
import numpy as np
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray

#: The sky's level is taken from the outer 1/8 of a picture on each side. Networks make the pixels
#: at the very edge brighter or darker than those next to them, so a narrow border misleads.
BORDER = 8
#: GalSim's default, 4, leaves ghosts of a galaxy four pictures away (Bernstein & Gruen 2014,
#: arXiv:1401.2636) that unweighted moments and sums notice.
PAD_FACTOR = 6.0


def sky_level(images: NDArray[Any]) -> NDArray[Any]:
    """Level (C,) of the border of images (C, side, side): its median, clipped at 3 sigma, since
    neighbours may stand there.
    """
    side = images.shape[-1]
    width = max(1, side // BORDER)
    outside = np.ones((side, side), dtype=bool)
    outside[width : side - width, width : side - width] = False
    stats = sigma_clipped_stats(images[:, outside], axis=1, stdfunc="mad_std")
    return np.asarray(stats[1])


def without_sky(images: NDArray[Any]) -> NDArray[Any]:
    """Images (C, side, side) less the level of their sky."""
    return images - sky_level(images)[:, None, None]


def tapered(images: NDArray[Any], width: int) -> NDArray[Any]:
    r"""Images (C, side, side) that fall to 0 over their outermost `width` pixels.

    The weight of the pixel that is the k-th from the edge, k = 0, 1, ..., is
    :math:`\sin^2(\pi (k + 1/2) / 2w)`, along each axis.
    """
    side = images.shape[-1]
    edge = np.minimum(np.arange(side), np.arange(side)[::-1])
    inwards = np.clip((edge + 0.5) / max(width, 0.5), 0, 1)
    weight = np.sin(np.pi / 2 * inwards) ** 2
    return images * weight[:, None] * weight


def interpolated(
    image: NDArray[Any],
    scale: float,
    behind: Any = None,
    gsparams: Any = None,
    pad_factor: float = PAD_FACTOR,
) -> Any:
    r"""The profile that an image is made of samples of.

    Parameters
    ----------
    image
        (y, x), values at pixel centres; their sum is the flux.
    scale
        Arcsec per pixel.
    behind
        Profile that the image was seen through, which is taken out again; None for none.
    gsparams
        GalSim's settings of accuracy.
    pad_factor
        How much wider than the image its Fourier transform is made.

    Returns
    -------
    galsim.GSObject
        :math:`f(r) = \sum_p x_p\, q(r - p)` with GalSim's quintic interpolant q, deconvolved by
        `behind`.
    """
    values = np.array(image, dtype=np.float64, order="C")
    light = galsim.InterpolatedImage(
        galsim.Image(values, scale=scale), pad_factor=pad_factor, gsparams=gsparams
    )
    if behind is None:
        return light
    return galsim.Convolve(light, galsim.Deconvolve(behind), gsparams=gsparams)


def sampled(kernel: NDArray[Any], scale: float) -> Any:
    """The profile of a kernel (k, k) with the pixel in it, its sum 1."""
    values = np.array(kernel, dtype=np.float64, order="C")
    return galsim.InterpolatedImage(galsim.Image(values, scale=scale), flux=1.0)
