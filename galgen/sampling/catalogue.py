"""The catalogue of a set of galaxies, as FITS and as Parquet, and how they follow the request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.io.header import fits_text
from galgen.io.parquet import parquet_available, write_parquet
from galgen.io.table import write_table
from galgen.metrics.requested import follow
from galgen.sampling.columns import table_type
from galgen.sampling.layout import Layout
from galgen.sampling.rows import DONE, MISSED, Rows, done

#: Names beside each other in a folder.
FITS, PARQUET = "catalogue.fits", "catalogue.parquet"
#: So many galaxies that were left out are named.
_NAMED = 20
#: Rows of a part of a table.
_MANY = 4096


def table_rows(layout: Layout, stores: Sequence[Rows]) -> Iterator[NDArray[Any]]:
    """Yield the catalogue's rows, `_MANY` at a time whatever the stores, at least once."""
    dtype = table_type(layout.columns)
    names = list(dtype.names or ())
    left = np.empty(0, dtype)
    for rows in done(stores):
        found = np.empty(len(rows), dtype)
        for name in names:
            found[name] = rows[name]
        left = np.concatenate([left, found])
        while len(left) > _MANY:
            yield left[:_MANY]
            left = left[_MANY:]
    yield left


def summary(layout: Layout, stores: Sequence[Rows]) -> dict[str, Any]:
    """What came of a set: how many there are, and how they follow what was asked for.

    Returns
    -------
    dict
        ``count`` galaxies, ``undetected`` among them. Under `Task.accept` also ``redrawn``, those
        that were drawn anew, left out or not, ``draws``, how often all together, ``left_out``, how
        many never were what was asked for, and the first of ``left_out_samples``. ``conditions``:
        for each number of the model that can be measured what `galgen.metrics.requested.follow`
        finds, as the first telescope has them.
    """
    width, names = layout.width, layout.dtype.names or ()
    accept = layout.task.accept
    count = undetected = redrawn = draws = left_out = 0
    missed: list[int] = []
    asked: dict[str, list[NDArray[Any]]] = {name: [] for name in layout.numbers}
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in layout.numbers}
    for store in stores:
        for first, rows in store.all():
            rows = rows[(-first) % width :: width]
            good = rows[rows["state"] == DONE]
            count += len(good)
            undetected += int((~good["detected"]).sum())
            if "draws" in names:
                redrawn += int((rows["draws"] > 1).sum())
                draws += int(rows["draws"].sum())
                gone = rows[rows["state"] == MISSED]
                left_out += len(gone)
                missed += gone["sample"][: _NAMED - len(missed)].tolist()
            for name in layout.numbers:
                asked[name].append(good[f"{name}_requested"])
                found[name].append(good[f"{name}_measured"])
    told: dict[str, Any] = {"count": count, "undetected": undetected}
    if accept is not None:
        told |= {"redrawn": redrawn, "draws": draws, "left_out": left_out}
        told["left_out_samples"] = missed
    told["conditions"] = {
        name: follow(np.concatenate(asked[name]), np.concatenate(found[name]))
        for name in layout.numbers
    }
    return told


def write(folder: Path, layout: Layout, stores: Sequence[Rows], told: dict[str, Any]) -> list[Path]:
    """Write the catalogue as FITS, and as Parquet where pyarrow is installed.

    Parameters
    ----------
    told
        What `summary` found, which the header says too: ``COND1`` with ``BIAS1``, ``SCAT1`` and
        ``NFAIL1``, median and 1.4826 median absolute deviations of measured - requested.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    task, model = layout.task, layout.model
    cards: dict[str, Any] = {
        "CREATOR": "galgen",
        "MODEL": fits_text(model.name),
        "CKPTHASH": model.digest,
        "GALGENV": layout.provenance(layout.views[0])["version"],
        "SEED": task.seed,
        "TRUNC": float(task.look.truncation),
    }
    if "redrawn" in told:
        cards["REDRAWN"] = (told["redrawn"], "galaxies that were drawn anew")
        cards["NDRAWS"] = (told["draws"], "draws of all galaxies together")
        cards["LEFTOUT"] = (told["left_out"], "galaxies that never were as asked")
    for k, (name, found) in enumerate(told["conditions"].items(), start=1):
        cards[f"COND{k}"] = (fits_text(name), "number that was asked for")
        for card, key, comment in (
            ("BIAS", "bias", "median of measured - requested"),
            ("SCAT", "scatter", "1.4826 MAD of measured - requested"),
            ("NFAIL", "failures", "galaxies that could not be measured"),
        ):
            if found[key] is not None:
                cards[f"{card}{k}"] = (found[key], comment)
    count = told["count"] * layout.width
    unit = layout.views[0].spec.unit
    cards["FLUXUNIT"] = fits_text(unit)
    units = {
        column.name: column.unit
        for column in layout.columns
        if column.unit and (column.unit != fits_text(unit) or _in_standard(unit))
    }
    paths = [folder / FITS]
    write_table(
        paths[0], table_type(layout.columns), table_rows(layout, stores), count, cards, units
    )
    if parquet_available():
        paths.append(folder / PARQUET)
        plain = {k: v[0] if isinstance(v, tuple) else v for k, v in cards.items()}
        write_parquet(paths[1], table_rows(layout, stores), units, plain)
    return paths


def _in_standard(unit: str) -> bool:
    """Whether FITS has the unit; readers warn of others, such as nanomaggy."""
    from astropy import units

    try:
        units.Unit(unit, format="fits")
    except ValueError:
        return False
    return True
