"""Columns of a catalogue of generated galaxies: what they are, what was asked, what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.conditions import Conditions
from galgen.io.header import fits_text
from galgen.measure.bandorder import colour_pair
from galgen.measure.photometry import measure
from galgen.measure.quantities import is_magnitude, quantity, why_not
from galgen.models.requests import Asked

#: Of `measure`, beside the fluxes and magnitudes of each band.
_SHAPES = ("x", "y", "radius", "r_half", "ellipticity")
#: Bytes of a SHA-256 in hex.
_DIGEST = 64


class Column(NamedTuple):
    """A column: its name, numpy type and unit."""

    name: str
    type: str
    unit: str = ""


def asked_columns(conditions: Conditions, spec: ImageSpec) -> list[Column]:
    """``label``, and ``<number>_requested`` in the unit of what is measured on such images."""
    found = []
    if conditions.classes:
        found.append(_text("label", map(fits_text, conditions.classes)))
    return found + [
        Column(f"{name}_requested", "f8", _unit(name, spec)) for name in conditions.names
    ]


def asked_values(conditions: Conditions, told: Iterable[Asked]) -> dict[str, Any]:
    """Values of `asked_columns`, NaN and no text where nothing was asked for."""
    told = list(told)
    columns: dict[str, Any] = {}
    if conditions.classes:
        columns["label"] = [fits_text(asked.label or "") for asked in told]
    for name in conditions.names:
        values = [asked.numbers.get(name, np.nan) for asked in told]
        columns[f"{name}_requested"] = np.array(values, dtype=np.float64)
    return columns


def measurable(conditions: Conditions, spec: ImageSpec) -> tuple[str, ...]:
    """Numbers of a model that can be measured on its galaxies."""
    return tuple(name for name in conditions.names if why_not(name, spec) is None)


def measured_columns(spec: ImageSpec, numbers: Sequence[str]) -> list[Column]:
    """``<number>_measured``, and what `galgen.measure.photometry.measure` finds by Kron apertures.

    Positions and radii are in pixels, counted from 0; ``<number>_measured`` in the unit of the
    number, which for ``r_half`` is arcsec where the pixel scale is known.
    """
    columns = [Column(f"{name}_measured", "f8", _unit(name, spec)) for name in numbers]
    columns.append(Column("detected", "?"))
    columns += [Column(name, "f8", "" if name == "ellipticity" else "pix") for name in _SHAPES]
    unit = "" if spec.display else fits_text(spec.unit)
    columns += [Column(f"flux_{fits_text(band)}", "f8", unit) for band in spec.bands]
    columns += [Column(f"mag_{fits_text(band)}", "f8", "mag") for band in spec.bands]
    if colour_pair(spec.bands) is not None:
        columns.append(Column("colour", "f8", "mag"))
    return columns


def measured_values(
    flux: NDArray[Any], spec: ImageSpec, numbers: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Values of `measured_columns` for images (n, C, H, W) in flux."""
    # Sums over pixels in one order, however the images lie in memory: last bits depend on it.
    found = measure(np.ascontiguousarray(flux), spec, method="kron")
    columns = {}
    for name in numbers:
        values = quantity(found, name, spec)
        columns[f"{name}_measured"] = np.where(np.isfinite(values), values, np.nan)
    columns["detected"] = found["detected"]
    columns |= {name: found[name] for name in _SHAPES}
    for kind in ("flux", "mag"):
        columns |= {f"{kind}_{fits_text(band)}": found[f"{kind}_{band}"] for band in spec.bands}
    return columns | {"colour": found["colour"]} if "colour" in found else columns


def own_columns(
    file: str,
    digests: Sequence[str],
    telescopes: Sequence[str | None],
    *,
    draws: bool,
    makers: bool,
) -> list[Column]:
    """Columns that say which galaxy a row is of.

    Parameters
    ----------
    file
        The longest name of a file.
    digests
        Names of the columns with the SHA-256 of what was stored.
    telescopes
        Their names, or None alone.
    draws
        Whether galaxies may have been drawn anew.
    makers
        Whether several snapshots draw them.
    """
    columns = [_text("file", [file]), Column("sample", "i8"), Column("seed", "i8")]
    columns += [Column(name, f"S{_DIGEST}") for name in digests]
    names = [fits_text(name) for name in telescopes if name is not None]
    columns += [_text("telescope", names)] if names else []
    columns += [Column("draws", "i4")] if draws else []
    if makers:
        columns += [Column("checkpoint", f"S{_DIGEST}"), Column("images", "i8")]
    return columns


def record_type(columns: Sequence[Column]) -> np.dtype[Any]:
    """Type of a row while the catalogue is made, with the ``state`` of `galgen.sampling.rows`."""
    return np.dtype([("state", "u1"), *((column.name, column.type) for column in columns)])


def table_type(columns: Sequence[Column]) -> np.dtype[Any]:
    """Type of a row of the catalogue."""
    return np.dtype([(column.name, column.type) for column in columns])


def records(dtype: np.dtype[Any], values: Mapping[str, Any], count: int) -> NDArray[Any]:
    """Records (count,) of the values by name; what `dtype` does not have is left out."""
    assert dtype.names is not None
    found = np.zeros(count, dtype)
    for name in dtype.names:
        if name in values:
            found[name] = values[name]
    return found


def _unit(name: str, spec: ImageSpec) -> str:
    """Of a number that can be measured; none for one that cannot, such as a redshift."""
    if name == "r_half":
        return "arcsec" if spec.pixel_scale else "pix"
    return "mag" if why_not(name, spec) is None and is_magnitude(name) else ""


def _text(name: str, texts: Iterable[str]) -> Column:
    return Column(name, f"S{max(1, *map(len, texts), 1)}")
