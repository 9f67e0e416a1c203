"""Which pixels count, and which belong to the galaxy. Masks carry no gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.measure.morphology import shape, smoothing
from galgen.measure.morphology.sources import part_at

#: Smoothing of the map of Gini, and where the sky begins, in Petrosian radii.
_MAP_SMOOTHING, _SKY = 0.2, 2.0
#: Pixels off their neighbours by so many standard deviations of these are no light.
_OUTLIER = 10.0
#: Rounds in which sky beyond three sigma is left out.
_CLIPS = 3
#: Fewer pixels of sky far away than this, and all of the sky has to do.
_FEW = 64


@torch.no_grad()
def outliers(light: Tensor) -> Tensor:
    """Pixels that differ from their eight neighbours by 10 of these' standard deviations.

    As Lotz et al. 2004 have it. In differences from the pixel, which cancel no digits:
    mean^2 > 100 (mean of squares - mean^2).
    """
    wide = F.pad(light[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    height, width = light.shape[1:]
    total, square = torch.zeros_like(light), torch.zeros_like(light)
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                d = wide[:, i : i + height, j : j + width] - light
                total += d
                square.addcmul_(d, d)
    mean = total / 8
    return (1 + _OUTLIER**2) * mean * mean > _OUTLIER**2 * square / 8


@torch.no_grad()
def gini_map(
    image: Tensor, centre: Tensor, radius: Tensor, elongation: Tensor, angle: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels of the smoothed image that are brighter than it is at the Petrosian ellipse.

    Lotz et al. 2004, section 2.3. Also whether there are any, and not all (N,).
    """
    smooth = smoothing.gaussian(image, _MAP_SMOOTHING * radius)
    distance = shape.elliptical(image, centre, elongation, angle)
    wider, narrower = radius + 0.5, (radius - 0.5).clamp_min(0)
    ring = _within(distance, wider) - _within(distance, narrower)
    # Over the whole ring, also what of it lies outside the image.
    area = torch.pi / elongation * (wider**2 - narrower**2)
    edge = (smooth * ring).sum((1, 2)) / area
    above = smooth >= edge[:, None, None]
    part = part_at(above, smooth.flatten(1).argmax(1))
    pixels = part.sum((1, 2))
    return part, (pixels > 1) & (pixels < part[0].numel())


@torch.no_grad()
def outermost(
    image: Tensor, valid: Tensor, no_source: Tensor, centre: Tensor, radius: Tensor
) -> Tensor:
    """Distance of the furthest pixel that is still brighter than the sky by one sigma.

    Of those connected to the brightest, in means over 3 x 3 pixels (Pawlik et al. 2016).
    """
    distance = shape.distance(image, centre)
    sky = valid * (distance > _SKY * radius[:, None, None])
    few = sky.sum((1, 2)) < _FEW
    sky[few] = no_source[few]
    level, sigma = _clipped(image, sky)
    wide = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    lines = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    smooth = (lines[:, :, :-2] + lines[:, :, 1:-1] + lines[:, :, 2:]) / 9
    above = smooth >= (level + sigma)[:, None, None]
    peak = smooth.flatten(1).argmax(1)
    above = above.flatten(1).scatter(1, peak[:, None], True).view(above.shape)
    part = part_at(above, peak)
    return (distance * part).flatten(1).amax(1)


def _within(distance: Tensor, radius: Tensor) -> Tensor:
    return (radius[:, None, None] + 0.5 - distance).clamp(0, 1)


def _clipped(image: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (N,) of some pixels within three sigma."""
    use = pixels
    for _ in range(_CLIPS):
        n = use.sum((1, 2)).clamp_min(1)
        level = (image * use).sum((1, 2)) / n
        offset = image - level[:, None, None]
        sigma = ((offset * offset * use).sum((1, 2)) / n).sqrt()
        use = pixels * (offset.abs() <= 3 * sigma[:, None, None])
    return level, sigma
