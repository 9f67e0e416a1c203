"""Generated galaxies as a table, with the columns that a catalogue of files has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galgen.generated.ccd import OF_FILES
from galgen.generated.drawing import Drawing
from galgen.generated.units import astropy_unit
from galgen.io.header import galaxy_hdus
from galgen.sampling.columns import (
    asked_columns,
    asked_values,
    measurable,
    measured_columns,
    measured_values,
)
from galgen.sampling.layout import provenance

if TYPE_CHECKING:
    from astropy.table import QTable

#: Cards of an image that say nothing of a table.
_OF_IMAGES = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "WCS", "RADESYS")


def table(
    drawing: Drawing,
    n: int,
    start: int = 0,
    images: bool = False,
    progress: Callable[[int], None] | None = None,
) -> QTable:
    """Galaxies ``start`` to ``start + n`` of a drawing, a row each.

    Parameters
    ----------
    images
        Keep the flux too, in a column ``image`` of (C, H, W).
    progress
        Called with the number of galaxies of each piece of work.

    Returns
    -------
    QTable
        ``sample`` and ``seed``; what `galgen.sampling.columns.asked_columns` and
        ``measured_columns`` have, with units; ``checkpoint`` and ``images`` of the snapshot where
        there are several. ``meta`` holds the cards of the galaxies' files: MODEL, CKPTHASH,
        FLUXUNIT, BANDS, and so on.
    """
    from astropy.table import QTable

    model, spec, conditions = drawing.model, drawing.spec, drawing.conditions
    numbers = measurable(conditions, spec)
    parts: list[dict[str, Any]] = []
    for drawn in drawing.windows(n, start, progress):
        flux = drawn.flux.numpy()
        part: dict[str, Any] = {
            "sample": np.array(drawn.indices, dtype=np.int64),
            "seed": np.full(len(drawn), drawing.seed, dtype=np.int64),
            **asked_values(conditions, drawn.asked),
            **measured_values(flux, spec, numbers),
        }
        if model.specialists:
            makers = [model.made_by(label) for label in drawn.labels]
            part |= {name: [m[name] for m in makers] for name in ("checkpoint", "images")}
        parts.append(part | ({"image": flux} if images else {}))
    columns: dict[str, NDArray[Any]] = {
        name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]
    }
    units = {
        c.name: c.unit for c in (*asked_columns(conditions, spec), *measured_columns(spec, numbers))
    }
    units["image"] = spec.unit
    known = {
        name: unit
        for name, text in units.items()
        if name in columns and text and (unit := astropy_unit(text)) is not None
    }
    return QTable(columns, units=known, meta=_meta(drawing))


def _meta(drawing: Drawing) -> dict[str, Any]:
    """Cards of the galaxies' files, those of each band numbered."""
    spec = drawing.spec
    about = provenance(drawing.model, drawing.task, drawing.view)
    (primary,) = galaxy_hdus(spec.shape, spec, about, cube=True)
    found: dict[str, Any] = {
        keyword: value
        for keyword, value in primary.header.items()
        if keyword not in OF_FILES and not keyword.startswith(_OF_IMAGES)
    }
    found["FLUXUNIT"] = found.pop("BUNIT")
    return found
