"""A cutout as it stands in a file, and what the readers of all formats share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.bands import band_indices
from galgen.errors import ConfigError, DataError

FITS_SUFFIXES = (".fits", ".fit", ".fts")
RASTER_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_COMPRESSED = ("", ".gz", ".fz")

#: Every file ending that galgen reads as an image, in lower case.
IMAGE_SUFFIXES: tuple[str, ...] = (
    *(fits + packed for fits in FITS_SUFFIXES for packed in _COMPRESSED),
    ".npy",
    *RASTER_SUFFIXES,
)
_LONGEST_FIRST = sorted(IMAGE_SUFFIXES, key=len, reverse=True)

Card = str | int | float | bool


@dataclass(frozen=True)
class Cutout:
    """Pixels of one file and the facts that came with them.

    Attributes
    ----------
    pixels
        (C, H, W) float32 in the machine's byte order. Flux in `unit`, or 0..255 for display
        images. NaN and infinity are kept as they stand in the file.
    bands
        Names in channel order, or None where the file does not name its one plane.
    unit
        Flux unit, ``display`` for pictures, None where the file does not say.
    zero_points
        AB magnitude of one unit of flux per band, None where unknown.
    pixel_scale
        Arcsec per pixel, None where unknown.
    psf_fwhm
        Full width at half maximum of the point spread function per band in arcsec, or None.
    display
        True for JPG, PNG and TIFF.
    header
        Cards of the primary header and of the image, the image's winning.
    native
        (H, W) of the file before any crop; that of `pixels` by default.
    """

    pixels: NDArray[np.float32]
    bands: tuple[str, ...] | None = None
    unit: str | None = None
    zero_points: tuple[float | None, ...] | None = None
    pixel_scale: float | None = None
    psf_fwhm: tuple[float, ...] | None = None
    display: bool = False
    header: Mapping[str, Card] = field(default_factory=dict)
    native: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.native == (0, 0):
            height, width = self.pixels.shape[-2:]
            object.__setattr__(self, "native", (height, width))


def file_kind(name: str | Path) -> str | None:
    """``fits``, ``npy`` or ``raster`` by the ending of a file name, None for anything else."""
    # pathlib would cost more than reading a small file does, over a folder of a million.
    lower = os.path.basename(name).lower()
    if not lower.endswith(IMAGE_SUFFIXES):
        return None
    if lower.endswith(".npy"):
        return "npy"
    return "raster" if lower.endswith(RASTER_SUFFIXES) else "fits"


def image_stem(name: str | Path) -> str:
    """File name without its image ending: ``m31.fits.gz`` is ``m31``."""
    text = os.path.basename(name)
    lower = text.lower()
    for suffix in _LONGEST_FIRST if lower.endswith(IMAGE_SUFFIXES) else ():
        if lower.endswith(suffix):
            return text[: -len(suffix)]
    return text


def centre_crop(
    pixels: NDArray[np.generic], size: int, path: str | Path = "image"
) -> NDArray[np.generic]:
    """View of the central `size` x `size` pixels of the last two axes.

    The first row is ``(height - size) // 2``: with an odd difference the cut lies half a
    pixel towards the origin.

    Raises
    ------
    DataError
        If the image is smaller than `size`; `path` is what the message names.
    """
    height, width = pixels.shape[-2:]
    if size > min(height, width):
        raise DataError(
            f"{path} has {width} x {height} pixels, fewer than the {size} asked for: "
            "lower --size or --crop."
        )
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[..., top : top + size, left : left + size]


def name_planes(
    count: int,
    known: tuple[str, ...] | None,
    wanted: Sequence[str] | None,
    path: str | Path,
) -> tuple[list[int], tuple[str, ...] | None]:
    """Which planes to keep, in which order, and what they are called.

    Raises
    ------
    ConfigError
        If several planes have no names and `wanted` does not give one for each.
    """
    if known is not None:
        if wanted is None:
            return list(range(count)), known
        try:
            rows = band_indices(known, wanted)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        return rows, tuple(known[row] for row in rows)
    if wanted is not None and len(wanted) == count:
        return list(range(count)), tuple(wanted)
    if count == 1 and wanted is None:
        return [0], None
    if wanted is None:
        raise ConfigError(
            f"{path} holds {count} planes without band names: name them in order, "
            f"for example --bands {','.join('ugrizyjhk'[:count])}."
        )
    raise ConfigError(
        f"{path} holds {count} planes without band names, but --bands gives {len(wanted)}: "
        "give one name for each plane."
    )


def one_line(error: Exception) -> str:
    """What an exception says, without its second and further lines; its class if nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
