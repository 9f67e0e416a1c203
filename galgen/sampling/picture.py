"""The overview of a set of galaxies, each as every telescope sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galgen.models.requests import read_rows
from galgen.report.overview import Overview
from galgen.report.pictures import composite
from galgen.report.strips import GREY, table, write_png
from galgen.sampling.engine import drawn
from galgen.sampling.layout import Layout
from galgen.sampling.rows import DONE, Rows
from galgen.sampling.task import chunks_of
from galgen.sampling.views import View

#: Galaxies that are looked at to choose those of the overview.
_FIRST = 2048
#: Galaxies that are shown under several telescopes.
_ROWS = 8


def overview(layout: Layout, count: int) -> Overview:
    """Which galaxies of a set are shown."""
    task, module = layout.task, layout.model.module
    if layout.width > 1:
        return Overview([[place] for place in range(min(count, _ROWS))], [])
    n = min(count, _FIRST)
    indices = range(task.start, task.start + n)
    rows = module.sample_conditions(indices, task.seed, task.request)
    return Overview.of(layout.conditions, read_rows(layout.conditions, rows, n), task.request)


def shown(chosen: Overview) -> frozenset[int]:
    """Places of the galaxies of an overview."""
    return frozenset(place for row in chosen.places for place in row)


def draw(
    chosen: Overview,
    layout: Layout,
    stores: Sequence[Rows],
    kept: Mapping[tuple[int, int], Tensor],
    path: Path,
) -> Path | None:
    """Write the picture; galaxies that other processes made are drawn again.

    Returns
    -------
    Path or None
        None where none of the galaxies was ever what was asked for.
    """
    wanted = sorted(shown(chosen))
    draws = _draws(wanted, layout, stores)
    wanted = [place for place in wanted if place in draws]
    if not wanted:
        return None
    found = {key: galaxy for key, galaxy in kept.items() if key[1] in draws}
    missing = [p for p in wanted if any((k, p) not in found for k in range(layout.width))]
    found |= _again(layout, missing, draws)
    if layout.width > 1:
        return _by_telescope(layout, wanted, found, path)
    rows = [[place for place in row if place in draws] for row in chosen.places]
    full = [k for k, row in enumerate(rows) if row]
    names = [chosen.names[k] for k in full] if chosen.names else []
    kept_rows = Overview([rows[k] for k in full], names)
    galaxies = {place: found[0, place] for place in wanted}
    return kept_rows.draw(galaxies, layout.views[0].spec, layout.views[0].stretch, path)


def _draws(places: Sequence[int], layout: Layout, stores: Sequence[Rows]) -> dict[int, int]:
    """How often the galaxies of a set that were written were drawn."""
    found, first = {}, 0
    for store in stores:
        own = store.count // layout.width
        for place in places:
            if first <= place < first + own:
                row = store.read((place - first) * layout.width, 1)[0]
                if row["state"] == DONE:
                    names = layout.dtype.names or ()
                    found[place] = int(row["draws"]) if "draws" in names else 1
        first += own
    return found


def _again(
    layout: Layout, places: Sequence[int], draws: Mapping[int, int]
) -> dict[tuple[int, int], Tensor]:
    """Galaxies by view and place."""
    found: dict[tuple[int, int], Tensor] = {}
    for attempt in sorted({draws[place] for place in places}):
        own = [place for place in places if draws[place] == attempt]
        for chunk in chunks_of(layout.task, own):
            piece = drawn(layout, chunk, attempt - 1)
            for number, flux in enumerate(piece.flux):
                for place, galaxy in zip(piece.places, flux, strict=True):
                    found[number, place] = torch.from_numpy(galaxy)
    return found


def _by_telescope(
    layout: Layout, places: Sequence[int], found: Mapping[tuple[int, int], Tensor], path: Path
) -> Path:
    """A galaxy a row, a telescope a column, all of one scale on the sky."""
    side = 2 * max(view.spec.size for view in layout.views)
    field = max(map(_field, layout.views))
    sheet = np.full((len(places), layout.width, side, side, 3), GREY, dtype=np.uint8)
    for row, place in enumerate(places):
        for number, view in enumerate(layout.views):
            flux = found[number, place][None] * _brighter(layout, number)
            tile = composite(flux, view.spec, view.stretch)[0]
            wide = max(1, round(side * _field(view) / field))
            near = (np.arange(wide) * tile.shape[0]) // wide
            edge = (side - wide) // 2
            sheet[row, number, edge : edge + wide, edge : edge + wide] = tile[near][:, near]
    heads = [str(view.name) for view in layout.views]
    names = [str(layout.task.start + place) for place in places]
    return write_png(table(sheet, names, heads), path)


def _field(view: View) -> float:
    """Side of a view's images in arcsec, or in pixels."""
    return view.spec.size * (view.spec.pixel_scale or 1.0)


def _brighter(layout: Layout, number: int) -> float:
    """What makes a surface as bright in the pixels of a telescope as in the model's own."""
    own, other = layout.model.spec.pixel_scale, layout.views[number].spec.pixel_scale
    return 1.0 if own is None or other is None else (own / other) ** 2
