"""Rows of a finished set, out of its catalogue, to check it or to make it longer."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from galgen.errors import DataError
from galgen.io.header import fits_text
from galgen.io.table import read_table
from galgen.sampling.layout import Layout
from galgen.sampling.rows import DONE, Rows

_MANY = 4096


def recall(path: Path, rows: Rows, layout: Layout, places: range) -> int:
    """Take the rows of some places of a set over from its catalogue.

    A catalogue that cannot be read, or that is of another layout, is as good as none: what is not
    known is made again.

    Parameters
    ----------
    rows
        Of these places.

    Returns
    -------
    int
        How many rows were taken over.
    """
    taken = 0
    order = {fits_text(str(view.name)): k for k, view in enumerate(layout.views)}
    names = [name for name in layout.dtype.names or () if name != "state"]
    with suppress(DataError):
        for part in read_table(path, _MANY):
            if any(name not in (part.dtype.names or ()) for name in names):
                return taken
            found = np.zeros(len(part), layout.dtype)
            for name in names:
                found[name] = part[name]
            found["state"] = DONE
            seen = part["telescope"] if "telescope" in names else None
            for k, record in enumerate(found):
                number = 0 if seen is None else order.get(seen[k].decode(), -1)
                place = int(record["sample"]) - layout.task.start
                if place in places and number >= 0:
                    row = (place - places.start) * layout.width + number
                    rows.write(row, np.asarray(record))
                    taken += 1
    return taken
