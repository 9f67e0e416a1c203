"""Colour composites and grids of galaxies: one fixed stretch for all images, never one each.

Any number of bands becomes red, green and blue: sorted by wavelength, cut into three groups
and averaged in stretched space. A fixed stretch keeps a faint galaxy faint and a red one red,
and makes real and generated images comparable.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec, band_indices
from galgen.io.atomic import replacing
from galgen.measure.bandorder import blue_to_red
from galgen.runs import make_folder
from galgen.stretch import Stretch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Pictures = NDArray[np.uint8]

#: Sky noise below the sky level stays visible down to this much of the range.
_BLACK = -0.05
#: A linear flux stretch shows the cores alone; asinh with this softening opens it up.
_SOFTENING = 1e-3
_GAP = 2
_GAP_GREY = 40
_TILE_PIXELS = 96


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


def composite(flux: Tensor, spec: ImageSpec, stretch: Stretch | None = None) -> Pictures:
    """Colour pictures of flux images.

    Parameters
    ----------
    flux
        (N, C, H, W), any device.
    spec
        Band names decide which is red.
    stretch
        The set's; by default one fitted on `flux`, or none for display images. An asinh
        stretch is drawn as it is; a linear one of fluxes is opened up with an asinh.

    Returns
    -------
    (N, H, W, 3) uint8
    """
    flux = torch.nan_to_num(flux.detach().float().cpu())
    if spec.display:
        x = flux / 255
    else:
        stretch = stretch or display_stretch(flux, spec)
        x = stretch(flux)
        if stretch.kind != "asinh":
            x = torch.asinh(x / _SOFTENING) / math.asinh(1 / _SOFTENING)
        x = (x - _BLACK) / (1 - _BLACK)
    groups = channel_groups(spec.bands)
    planes = torch.stack([x[:, list(g)].mean(1) for g in groups], dim=-1)
    pixels = (planes.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:-1], 3)))


def tile_scale(size: int) -> int:
    """Whole-number enlargement that makes a tile about 96 pixels wide."""
    return max(1, round(_TILE_PIXELS / size))


def enlarge(pictures: Pictures, scale: int) -> Pictures:
    """Repeat pixels, which shows a small image as it is."""
    return pictures.repeat(scale, axis=1).repeat(scale, axis=2)


def mosaic(pictures: Pictures, columns: int = 8, scale: int | None = None) -> Pictures:
    """Pictures (N, H, W, 3) in rows of `columns`, with gaps, as one (H', W', 3)."""
    n = len(pictures)
    if n == 0:
        raise ValueError("no pictures to draw")
    tiles = enlarge(pictures, scale or tile_scale(pictures.shape[2]))
    columns = max(1, min(columns, n))
    rows = math.ceil(n / columns)
    height, width = tiles.shape[1] + _GAP, tiles.shape[2] + _GAP
    sheet = np.full((rows * height + _GAP, columns * width + _GAP, 3), _GAP_GREY, dtype=np.uint8)
    for k, tile in enumerate(tiles):
        y, x = (k // columns) * height + _GAP, (k % columns) * width + _GAP
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def png_bytes(picture: Pictures) -> bytes:
    """A picture (H, W, 3) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    _image(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def grid_png(
    flux: Tensor,
    spec: ImageSpec,
    path: str | Path,
    columns: int = 8,
    scale: int | None = None,
    stretch: Stretch | None = None,
) -> Path:
    """Write a grid of galaxies as PNG, to a temporary name first.

    Parameters
    ----------
    flux
        (N, C, H, W).
    spec, stretch
        As `composite`.
    path
        Where; its folder is made.
    columns
        Galaxies per row.
    scale
        Whole-number enlargement; by default tiles become about 96 pixels wide.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    sheet = mosaic(composite(flux, spec, stretch), columns, scale)
    path = Path(path)
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(sheet))
    return path


def _image(picture: Pictures) -> Image.Image:
    from PIL import Image

    array: Any = np.ascontiguousarray(picture)
    return Image.fromarray(array)
