"""Where the light of an image lies and which way it is stretched, and images sampled there.

What a copy audit compares must not change when an image is turned, flipped or shifted by some
pixels, nor much when noise is added; so everything starts from smoothed light.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.stretch import Stretch

#: The asinh is linear to so many sky noises.
_SOFT = 3.0
#: A sky is clipped where this share of all pixels lies exactly at its level; its noise then counts
#: as this share of the range.
_CLIPPED = 0.25
_CLIPPED_NOISE = 0.01
#: Smoothed light below so many noises is taken for none.
_SHRINK = 3.0
#: Smoothing of the light, as a share of the side.
_LIGHT_BLUR = 0.025
#: Light counts above so many noises of the smoothed sky, and above so much of the range.
_ABOVE = 5.0
_LEAST = 0.02
#: Pixels of light that make an image active.
_ACTIVE_PIXELS = 4
_BOUND = 1e6


class Frame(NamedTuple):
    """Frames of N images.

    Attributes
    ----------
    x, y
        (N,) centroid of the light in pixels from the middle, along rows and columns.
    angle
        (N,) direction of the first principal axis of the light in radians, from x towards y.
    active
        (N,) whether there is light at all; the rest is meaningless where there is none.
    """

    x: Tensor
    y: Tensor
    angle: Tensor
    active: Tensor


class Framing:
    """Finds frames; fitted once, on training images.

    Attributes
    ----------
    sky_noise
        (C,) sky noise in flux.

    Parameters
    ----------
    stretch
        From flux to where sky and cores weigh alike, see `soft_stretch`.
    size
        Side of the images in pixels.
    threshold
        Light above it counts, in stretched units.
    """

    def __init__(self, stretch: Stretch, size: int, threshold: float = _LEAST) -> None:
        self.stretch, self.size, self.threshold = stretch, size, threshold
        axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        self._x, self._y = axis.expand(size, size), axis[:, None].expand(size, size)
        radius = torch.hypot(self._x, self._y)
        # A turned image has other corners, so that the light must fade out before them.
        self._taper = ((size / 2 - radius) / (0.1 * size)).clamp(0, 1)
        edge = max(1, size // 10)
        self._border = torch.ones(size, size, dtype=torch.bool)
        self._border[edge : size - edge, edge : size - edge] = False
        self._blur = blur_matrix(size, max(0.7, _LIGHT_BLUR * size))
        self.sky_noise = (stretch.scale / _SOFT).float()
        at_noise = stretch.low.float() + self.sky_noise
        self._noise = stretch(at_noise.view(-1, 1, 1))

    @classmethod
    def fit(cls, flux: Tensor) -> Framing:
        """Take stretch and threshold from training images (N, C, H, W)."""
        flux = torch.nan_to_num(flux.float())
        found = cls(soft_stretch(flux), flux.shape[-1])
        light = found._light(found.stretched(flux))
        sky = light[:, found._border]
        spread = (sky - sky.median(1, keepdim=True).values).abs().median(1).values
        found.threshold = max(_LEAST, _ABOVE * 1.4826 * float(spread.median()))
        return found

    def stretched(self, flux: Tensor) -> Tensor:
        """Stretched float32 images above the sky of each, finite for any flux.

        Raises
        ------
        ValueError
            For images of another shape.
        """
        shape = (self.stretch.n_bands, self.size, self.size)
        if flux.ndim != 4 or tuple(flux.shape[1:]) != shape:
            raise ValueError(f"expected images (N, {', '.join(map(str, shape))}), got "
                             f"{tuple(flux.shape)}")  # fmt: skip
        flux = torch.nan_to_num(flux.detach().float())
        # A pedestal would change how the asinh bends.
        sky = self.stretch.low.to(flux)[:, None, None] - self._sky(flux)
        return torch.nan_to_num(self.stretch(flux + sky)).clamp(-_BOUND, _BOUND)

    def _sky(self, x: Tensor) -> Tensor:
        """Median (..., 1, 1) of the border."""
        return x[..., self._border.to(x.device)].median(-1).values[..., None, None]

    def smooth(self, x: Tensor, sigma: float) -> Tensor:
        """Stretched images blurred by `sigma` pixels, less their sky and what may be noise."""
        y = blurred(x, blur_matrix(self.size, sigma))
        # Again, because the median of a sky that was clipped is below the mean.
        y = y - self._sky(y)
        # White noise of 1 has 1 / (2 sqrt(pi) sigma) after the blur.
        noise = self._noise.to(x) / (2 * math.sqrt(math.pi) * sigma)
        return F.softshrink(y / noise, _SHRINK) * noise

    def _light(self, x: Tensor) -> Tensor:
        return blurred(x.mean(1), self._blur)

    def __call__(self, x: Tensor) -> Frame:
        """Frames of stretched images (N, C, H, W)."""
        light = self._light(x)
        light = (light - self._sky(light) - self.threshold).clamp_min(0) * self._taper.to(x)
        total = light.sum((1, 2)).clamp_min(1e-12)
        xs, ys = self._x.to(x), self._y.to(x)
        cx, cy = ((light * a).sum((1, 2)) / total for a in (xs, ys))
        dx, dy = xs - cx[:, None, None], ys - cy[:, None, None]
        xx, yy, xy = ((light * a).sum((1, 2)) / total for a in (dx * dx, dy * dy, dx * dy))
        active = (light > 0).sum((1, 2)) >= _ACTIVE_PIXELS
        return Frame(cx, cy, 0.5 * torch.atan2(2 * xy, xx - yy), active)


def soft_stretch(flux: Tensor) -> Stretch:
    """An asinh stretch of (N, C, H, W) that is linear up to three sky noises.

    A sky that was clipped, as in published radio pictures, has no noise to go by, and an asinh
    of next to no softening would make any noise in a generated sky as bright as galaxies.
    """
    # A band without light in any image says nothing, and must not stop the others.
    low, high = (flux.amin((0, 2, 3)), flux.amax((0, 2, 3)))
    dark = high <= low
    flux = torch.where(dark.view(-1, 1, 1), torch.linspace(0, 1, flux.shape[-1]).to(flux), flux)
    found = Stretch.fit(flux, "asinh")
    level = found.low.to(flux).view(-1, 1, 1)
    clipped = (flux == level).double().mean((0, 2, 3)).cpu() > _CLIPPED
    noise = torch.where(clipped, _CLIPPED_NOISE * (found.top - found.low), found.scale)
    return Stretch("asinh", found.low, _SOFT * noise, found.top)


def blur_matrix(size: int, sigma: float) -> Tensor:
    """Gaussian blur of `sigma` pixels along a line of `size`, as a matrix whose rows sum to 1."""
    axis = torch.arange(size, dtype=torch.float32)
    distance = (axis[:, None] - axis) / sigma
    # Numbers next to nothing are slow to multiply.
    weights = torch.where(distance.abs() < 5, torch.exp(-0.5 * distance**2), 0.0)
    return weights / weights.sum(1, keepdim=True)


def blurred(x: Tensor, matrix: Tensor) -> Tensor:
    """Images (..., H, W) blurred by a matrix of `blur_matrix`."""
    matrix = matrix.to(x)
    return matrix @ x @ matrix.T


def sample(x: Tensor, columns: Tensor, rows: Tensor, padding: str = "zeros") -> Tensor:
    """Bilinear values (N, C, a, b) of (N, C, H, W).

    `columns` and `rows` are (N, a, b), in pixels from the middle; `padding` is that of torch's
    ``grid_sample``.
    """
    height, width = x.shape[-2:]
    grid = torch.stack([columns / (width / 2), rows / (height / 2)], -1)
    return F.grid_sample(x, grid, align_corners=False, padding_mode=padding)


def turned(x: Tensor, angle: Tensor, shift: Tensor, flip: bool = False) -> Tensor:
    """Images (N, C, H, W) turned, then shifted, filled by reflection.

    Parameters
    ----------
    angle
        (N,) in radians, counter-clockwise on a picture whose rows run downwards.
    shift
        (N, 2) in pixels along columns and rows.
    flip
        Mirror left to right before the turn.
    """
    height, width = x.shape[-2:]
    columns = torch.arange(width).to(x) - (width - 1) / 2
    rows = torch.arange(height).to(x)[:, None] - (height - 1) / 2
    dx, dy = (s[:, None, None] for s in shift.to(x).T)
    u, v = columns - dx, rows - dy
    cos, sin = angle.to(x).cos()[:, None, None], angle.to(x).sin()[:, None, None]
    source = cos * u - sin * v, sin * u + cos * v
    return sample(x, -source[0] if flip else source[0], source[1], "reflection")
