"""Read one image file, whatever its format; ``.npy`` arrays here, the others in their modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from galgen.errors import ConfigError, DataError
from galgen.io.cutout import (
    IMAGE_SUFFIXES,
    Cutout,
    centre_crop,
    file_kind,
    name_planes,
    one_line,
)
from galgen.io.fits import read_fits
from galgen.io.raster import read_raster


def read_cutout(
    path: str | Path, bands: Sequence[str] | None = None, crop: int | None = None
) -> Cutout:
    """Read one image file; the reader is chosen by the file's ending.

    Parameters
    ----------
    path
        A file that ends on one of `IMAGE_SUFFIXES`.
    bands
        Selects and orders bands by name, or names the planes of a file that does not name
        them, where the count matches.
    crop
        Side in pixels of a square to cut from the centre, without resampling.

    Raises
    ------
    DataError
        If the file cannot be read, holds no image or is smaller than `crop`.
    ConfigError
        If a wanted band does not exist, or several planes have no names.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind is None:
        raise DataError(f"{path} is not an image that galgen reads ({', '.join(IMAGE_SUFFIXES)}).")
    if kind == "fits":
        return read_fits(path, bands=bands, crop=crop)
    if kind == "npy":
        return _read_npy(path, bands, crop)
    cutout = read_raster(path, crop=crop)
    return cutout if bands is None else _rename_or_select(cutout, bands, path)


def channels_of(
    known: tuple[str, ...] | None,
    count: int,
    wanted: Sequence[str] | None,
    picture: bool,
    path: str | Path,
) -> tuple[list[int], tuple[str, ...] | None]:
    """Which of `count` channels to keep, in which order, and what they are called.

    Those of flux are selected by name. R, G, B are only places in a picture, so as many other
    names may replace them.

    Raises
    ------
    ConfigError
        If a wanted band does not exist, or several planes have no names.
    """
    if not picture or wanted is None or known is None:
        return name_planes(count, known, wanted, path)
    if all(band in known for band in wanted):
        return [known.index(band) for band in wanted], tuple(wanted)
    if len(wanted) == count:
        return list(range(count)), tuple(wanted)
    raise ConfigError(
        f"{path} has the channels {', '.join(known)}: choose some of them or give "
        f"{count} names of your own with --bands."
    )


def _rename_or_select(cutout: Cutout, bands: Sequence[str], path: Path) -> Cutout:
    count = len(cutout.pixels)
    rows, names = channels_of(cutout.bands, count, bands, cutout.display, path)
    pixels = cutout.pixels if rows == list(range(count)) else cutout.pixels[rows]
    return replace(cutout, pixels=pixels, bands=names)


def _read_npy(path: Path, bands: Sequence[str] | None, crop: int | None) -> Cutout:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    # numpy parses the header as Python, so damage shows as any exception of the tokenizer too.
    except Exception as error:
        raise DataError(f"{path} is no readable .npy array ({one_line(error)}).") from None
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{path} holds an array of shape {array.shape} and type {array.dtype}, "
            "not real numbers of shape (bands, y, x)."
        )
    native = (array.shape[1], array.shape[2])
    rows, names = name_planes(array.shape[0], None, bands, path)
    view = array if crop is None else centre_crop(array, crop, path)
    pixels = np.ascontiguousarray(view[rows], dtype=np.float32)
    return Cutout(pixels=pixels, bands=names, native=native)
