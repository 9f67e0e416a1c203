"""Pictures and grids of galaxies: one fixed stretch for all images, never one each.

What becomes red, green and blue is in `galgen.measure.composite`.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.io.atomic import replacing
from galgen.measure.composite import composite_planes
from galgen.runs import make_folder
from galgen.stretch import Stretch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Pictures = NDArray[np.uint8]

_GAP = 2
_GAP_GREY = 40
_TILE_PIXELS = 96


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
    planes = composite_planes(flux.detach().cpu(), spec, stretch).permute(0, 2, 3, 1)
    return np.ascontiguousarray((planes * 255).round().to(torch.uint8).numpy())


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
    # Noise is hardly smaller for trying harder, which takes thirty times as long.
    _image(picture).save(buffer, format="PNG", compress_level=4)
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
