"""Read one galaxy from a FITS file, as flux and never resampled."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgen.io.cutout import Card, Cutout, centre_crop, name_planes
from galgen.io.hdu import STRUCTURE, FitsFile, open_images
from galgen.io.planes import (
    RELEVANT,
    choose_planes,
    pixel_scale_of,
    psf_fwhm_of,
    unit_of,
    zero_point_of,
)


@dataclass(frozen=True)
class _Plan:
    """Planes to take, as (image of the file, plane of its cube or None), and their facts."""

    planes: tuple[tuple[int, int | None], ...]
    bands: tuple[str, ...] | None
    unit: str | None
    zero_points: tuple[float | None, ...]
    pixel_scale: float | None
    psf_fwhm: tuple[float, ...] | None


# The files of a folder differ in their positions and dates, seldom in the cards that matter.
_PLANS: dict[Hashable, _Plan] = {}
_MOST_PLANS = 4096


def read_fits(
    path: str | Path, bands: Sequence[str] | None = None, crop: int | None = None
) -> Cutout:
    """Science planes of a FITS file with unit, zero points and pixel scale from its cards.

    Parameters
    ----------
    path
        Plain, ``.gz`` or tile-compressed (``.fz``) file; any image HDU, 2-D or cube, any data
        type. BLANK pixels become NaN, which is kept.
    bands
        Selects and orders bands by name (case counts only where it must), or names the
        planes of a file without names, where the count matches.
    crop
        Side in pixels of a square to cut from the centre.

    Returns
    -------
    Cutout
        With (C, H, W) float32 pixels in the file's own flux unit.

    Raises
    ------
    DataError
        If the file is missing, truncated, no FITS file, without an image, or smaller than
        `crop`.
    ConfigError
        If a wanted band does not exist, or several planes have no names.
    """
    file = open_images(path)
    plan = _plan(file, bands, path)
    height, width = file.images[plan.planes[0][0]].shape[-2:]
    return Cutout(
        pixels=_stack(file, plan, crop, path),
        bands=plan.bands,
        unit=plan.unit,
        zero_points=plan.zero_points,
        pixel_scale=plan.pixel_scale,
        psf_fwhm=plan.psf_fwhm,
        # As galgen writes the samples of a model that was trained on pictures.
        display=plan.unit == "display",
        header=_plain_cards(file.primary, file.images[plan.planes[0][0]].header),
        native=(height, width),
    )


def _plan(file: FitsFile, bands: Sequence[str] | None, path: str | Path) -> _Plan:
    key = (
        _relevant(file.primary),
        tuple((image.position, image.shape, _relevant(image.header)) for image in file.images),
        file.filters,
        None if bands is None else tuple(bands),
    )
    plan = _PLANS.get(key)
    if plan is None:
        if len(_PLANS) >= _MOST_PLANS:
            _PLANS.clear()
        plan = _PLANS[key] = _make_plan(file, bands, path)
    return plan


def _relevant(header: Mapping[str, Card]) -> tuple[tuple[str, Card], ...]:
    return tuple((key, header[key]) for key in header if key in RELEVANT)


def _make_plan(file: FitsFile, bands: Sequence[str] | None, path: str | Path) -> _Plan:
    science = choose_planes(file, path)
    rows, names = name_planes(len(science.planes), science.names, bands, path)
    planes = [science.planes[row] for row in rows]
    headers = [(file.images[image].header, file.primary) for image, _ in planes]
    scale, unit = pixel_scale_of(headers[0]), unit_of(headers[0])
    widths = [psf_fwhm_of(h, index) for h, (_, index) in zip(headers, planes, strict=True)]
    known_widths = [width for width in widths if width is not None]
    return _Plan(
        planes=tuple(planes),
        bands=names,
        unit=unit,
        zero_points=tuple(
            zero_point_of(header, unit, scale, index)
            for header, (_, index) in zip(headers, planes, strict=True)
        ),
        pixel_scale=scale,
        psf_fwhm=tuple(known_widths) if len(known_widths) == len(widths) else None,
    )


def _stack(file: FitsFile, plan: _Plan, crop: int | None, path: str | Path) -> NDArray[np.float32]:
    image, index = plan.planes[0]
    # A float64 pixel may be outside float32: it becomes infinite, and is reported as such.
    with np.errstate(over="ignore", invalid="ignore"):
        if index is None:
            stack = [file.images[k].load() for k, _ in plan.planes]
            stack = [array.reshape(array.shape[-2:]) for array in stack]
            if crop is not None:
                stack = [centre_crop(array, crop, path) for array in stack]
            pixels = np.empty((len(stack), *stack[0].shape), np.float32)
            for row, array in zip(pixels, stack, strict=True):
                row[:] = array
            return pixels
        cube = file.images[image].load()
        if cube.ndim > 3:
            cube = cube.reshape(-1, *cube.shape[-2:])
        if crop is not None:
            cube = centre_crop(cube, crop, path)
        order = [k for _, k in plan.planes if k is not None]
        if order != list(range(len(cube))):
            cube = cube[order]
        return np.array(cube, dtype=np.float32, order="C")


def _plain_cards(primary: Mapping[str, Card], image: Mapping[str, Card]) -> dict[str, Card]:
    cards = {**primary} if image is primary else {**primary, **image}
    for key in STRUCTURE & cards.keys():
        del cards[key]
    return cards
