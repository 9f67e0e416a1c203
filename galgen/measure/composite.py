"""Colour composites of any number of bands under one fixed stretch, never one an image.

Any number of bands becomes red, green and blue: sorted by wavelength, cut into three groups
and averaged in stretched space. A fixed stretch keeps a faint galaxy faint and a red one red,
and makes real and generated images comparable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from galgen.bands import ImageSpec, band_indices
from galgen.measure.bandorder import blue_to_red
from galgen.stretch import Stretch

#: Sky noise below the sky level stays visible down to this much of the range.
BLACK = -0.05
#: A linear flux stretch shows the cores alone; asinh with this softening opens it up.
SOFTENING = 1e-3
#: Beyond it stretched pixels are absurd; the bound keeps means over bands finite.
_ABSURD = 1e6


def channel_groups(bands: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Channels that make red, green and blue; a single group for one band (grey).

    Two bands: the redder is red, the bluer blue, green their mean.

    >>> channel_groups(("g", "r", "i", "z", "y"))
    ((3, 4), (2,), (0, 1))
    >>> channel_groups(("R", "G", "B"))
    ((0,), (1,), (2,))
    """
    order = blue_to_red(bands)
    if len(order) == 1:
        return (order,)
    if len(order) == 2:
        return (order[1:], order, order[:1])
    outer = round(len(order) / 3)
    return (order[-outer:], order[outer:-outer], order[:outer])


def display_stretch(flux: Tensor, spec: ImageSpec) -> Stretch:
    """The stretch to draw a set with where no checkpoint gives one, (N, C, H, W)."""
    if spec.display:
        return Stretch.fit(flux[:1], "linear")
    return Stretch.fit(torch.nan_to_num(flux.detach().float().cpu()), "asinh")


def select_bands(stretch: Stretch, have: Sequence[str], want: Sequence[str]) -> Stretch:
    """The same stretch for some of its bands, in the order asked for."""
    rows = band_indices(have, want)
    return Stretch(stretch.kind, stretch.low[rows], stretch.scale[rows], stretch.top[rows])


def composite_planes(flux: Tensor, spec: ImageSpec, stretch: Stretch | None = None) -> Tensor:
    """Red, green and blue of flux images, each from 0 to 1.

    Parameters
    ----------
    flux
        (N, C, H, W), any device; pixels that are not numbers count as 0.
    spec
        Band names decide which is red.
    stretch
        The set's; by default one fitted on `flux`, or none for display images. An asinh
        stretch is drawn as it is; a linear one of fluxes is opened up with an asinh.

    Returns
    -------
    (N, 3, H, W) float32 on the device of `flux`; three equal planes for one band.
    """
    flux = torch.nan_to_num(flux.detach().float())
    if spec.display:
        x = flux / 255
    else:
        stretch = stretch or display_stretch(flux, spec)
        x = stretch(flux)
        if stretch.kind != "asinh":
            x = torch.asinh(x / SOFTENING) / math.asinh(1 / SOFTENING)
        x = (x - BLACK) / (1 - BLACK)
    x = x.clamp(-_ABSURD, _ABSURD)
    groups = channel_groups(spec.bands)
    planes = torch.stack([x[:, list(g)].mean(1) for g in groups], dim=1).clamp(0, 1)
    return planes.expand(-1, 3, -1, -1)
