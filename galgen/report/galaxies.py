"""Galaxies that points of the diagrams show: thumbnails in one sheet a set, and measured values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from galgen.metrics.images import Images
from galgen.metrics.survey import Survey
from galgen.report.encode import jpeg_bytes, resized, to_uri
from galgen.report.names import PROPERTIES, capital, property_name
from galgen.report.pictures import composite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.bands import ImageSpec
    from galgen.report.pictures import Pictures
    from galgen.stretch import Stretch

#: Galaxies of a set that can be looked at, at most.
MOST = 400
#: Galaxies, side of their thumbnails and JPEG quality, tried in turn until a sheet is small enough.
_LADDER = ((400, 64, 88), (400, 64, 75), (400, 48, 80), (400, 48, 65), (300, 40, 65), (200, 32, 60),
           (100, 32, 50), (50, 24, 50), (20, 16, 40))  # fmt: skip
_ACROSS = 20
#: Images in memory at a time, and their pixels in all bands.
_BLOCK, _BLOCK_PIXELS = 64, 4_000_000
#: Measured numbers that the panel lists first, in this order; magnitudes of the bands follow.
_FIRST = ("absolute_magnitude", "magnitude", "colour", "r_half", "ellipticity", "r_petro",
          "concentration", "asymmetry", "smoothness", "gini", "m20", "bulge",
          "orientation")  # fmt: skip


@dataclass(frozen=True)
class Album:
    """Galaxies of one set that the diagrams show.

    Attributes
    ----------
    title
        What the set is called.
    survey
        Of the whole set.
    rows
        Positions in the set of those shown, (K,).
    names
        Their names.
    sheet
        Address of the thumbnails, in rows of `across`.
    tile
        Side of a thumbnail in pixels.
    across
        Thumbnails in a row.
    """

    title: str
    survey: Survey
    rows: NDArray[np.int64]
    names: Sequence[str]
    sheet: str
    tile: int
    across: int = _ACROSS


def album(
    title: str, images: Images, survey: Survey, spec: ImageSpec, stretch: Stretch, most: int
) -> Album:
    """Galaxies spread evenly over a set, with a sheet of at most `most` characters."""
    rows = spread(len(images), MOST)
    side = min(spec.size, _LADDER[0][1])
    pictures = thumbnails(images, rows, spec, stretch, side)
    for count, length, quality in _LADDER:
        kept = spread(len(rows), count)
        tile = min(side, length)
        uri = to_uri(jpeg_bytes(_sheet(_small(pictures[kept], tile)), quality), "jpeg")
        if len(uri) <= most:
            break
    names = [_name(images, row) for row in rows[kept].tolist()]
    return Album(title, survey, rows[kept], names, uri, tile)


def spread(total: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the positions 0..total-1, evenly."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(np.int64))


def thumbnails(
    images: Images, rows: NDArray[np.int64], spec: ImageSpec, stretch: Stretch, side: int
) -> Pictures:
    """Pictures (K, side, side, 3), read a block at a time.

    Fluxes of galaxies that are far larger are binned before they are drawn, which is quick.
    """
    found = []
    bins = spec.size // side
    block = int(np.clip(_BLOCK_PIXELS // math.prod(spec.shape), 1, _BLOCK))
    for start in range(0, len(rows), block):
        flux = images.read(rows[start : start + block])
        if bins > 1:
            flux = F.avg_pool2d(torch.nan_to_num(flux), bins)
        drawn = composite(flux, spec, stretch)
        found.append(_small(drawn, side))
    return np.concatenate(found)


def _small(pictures: Pictures, side: int) -> Pictures:
    if pictures.shape[1] <= side:
        return pictures
    return np.stack([resized(picture, side, side) for picture in pictures])


def _sheet(pictures: Pictures) -> Pictures:
    """Without gaps, in rows of `_ACROSS`."""
    n, side = len(pictures), pictures.shape[1]
    down = -(-n // _ACROSS)
    blank = np.zeros((down * _ACROSS, side, side, 3), dtype=np.uint8)
    blank[:n] = pictures
    tiled = blank.reshape(down, _ACROSS, side, side, 3).swapaxes(1, 2)
    return tiled.reshape(down * side, _ACROSS * side, 3)


def _name(images: Images, row: int) -> str:
    return images.name(row) if images.names else f"galaxy {row}"


def properties(albums: Sequence[Album], reference: str) -> list[str]:
    """Measured columns that all sets have and the panel lists.

    The magnitude in the band `reference` is listed once, as the magnitude.
    """
    again = f"mag_{reference}"
    shared = set.intersection(*(set(a.survey.columns) for a in albums))
    bands = [name for name in albums[0].survey.columns if name.startswith("mag_")]
    return [name for name in (*_FIRST, *bands) if name in shared and name != again]


def labels(names: Sequence[str], reference: str, colour: str) -> dict[str, str]:
    """Property to its label with the unit; `reference` is the magnitude's band."""
    units = {"r_half": "px", "r_petro": "px", "orientation": "rad"}
    found = {}
    for name in names:
        # A band's letter stays as it is: r is not R.
        text = property_name(name)
        text = capital(text) if name in PROPERTIES else text
        if name in {"magnitude", "absolute_magnitude"}:
            text = f"{'Absolute ' if name == 'absolute_magnitude' else ''}{reference} magnitude"
        elif name == "colour":
            text = colour
        elif name in units:
            text = f"{text} ({units[name]})"
        found[name] = text
    return found


def data(albums: Sequence[Album], shown: Mapping[str, str]) -> str:
    """What the page's script reads, as JSON that cannot end a script element.

    `shown` gives each measured property its label.
    """
    columns = []
    for name, label in shown.items():
        real = _column(albums[0].survey, name)
        good = real[np.isfinite(real)]
        span = [_number(q) for q in np.percentile(good, (16, 84))] if good.size else None
        columns.append({"label": label, "range": span})
    sets = [
        {
            "title": a.title,
            "tile": a.tile,
            "across": a.across,
            "names": list(a.names),
            "values": [
                [_number(v) for v in _column(a.survey, name)[a.rows].tolist()] for name in shown
            ],
            "detected": [bool(v) for v in a.survey.columns["detected"][a.rows]],
        }
        for a in albums
    ]
    text = json.dumps({"sets": sets, "columns": columns}, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _column(survey: Survey, name: str) -> NDArray[np.float64]:
    return np.asarray(survey.columns[name], dtype=np.float64)


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
