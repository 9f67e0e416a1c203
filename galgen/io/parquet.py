"""A table as Parquet, row group by row group, where pyarrow is installed (the extra ``parquet``).

It reads back with pandas and polars, and with astropy, which finds the units too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galgen.io.atomic import replacing

if TYPE_CHECKING:
    import pyarrow as pa

#: File metadata in which astropy keeps a table's units and header.
ASTROPY = "table_meta_yaml"


def parquet_available() -> bool:
    """Whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def write_parquet(
    path: str | Path,
    rows: Iterable[NDArray[Any]],
    units: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> bool:
    """Write a table from parts, each a row group, in the memory of one part.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    rows
        Structured arrays of one dtype, at least one (it may have no rows). Fields are numbers,
        truth values, texts (``U``, or ``S`` in UTF-8) or short vectors of them; any byte order.
    units
        Column to unit, as astropy writes units (``"mag"``); columns without one are left out.
    metadata
        Plain JSON types that go into the file's header.

    Returns
    -------
    bool
        False, with nothing written and `rows` untouched, where pyarrow is not installed.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    if not parquet_available():
        return False
    import pyarrow.parquet as pq

    parts = iter(rows)
    first = next(parts, None)
    if first is None:
        raise ValueError("a table needs at least one part, of no rows where it has none")
    schema = _schema(first.dtype, units or {}, metadata or {})
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        writer.write_table(_table(first, schema))
        for part in parts:
            writer.write_table(_table(part, schema))
    return True


def _schema(
    dtype: np.dtype[Any], units: Mapping[str, str], metadata: Mapping[str, Any]
) -> pa.Schema:
    import pyarrow as pa
    from astropy.table import Table, meta

    fields = []
    for name in dtype.names or ():
        unit = units.get(name)
        fields.append(pa.field(name, _type(dtype[name]), metadata={"unit": unit} if unit else None))
    empty = Table(np.empty(0, dtype), units=dict(units), meta=dict(metadata))
    header = {ASTROPY: "\n".join(meta.get_yaml_from_table(empty))}
    for name in dtype.names or ():
        if dtype[name].kind in "US":
            # Without it astropy warns and looks for the longest text itself.
            header[f"table::len::{name}"] = str(
                empty[name].dtype.itemsize // empty[name].dtype.alignment
            )
    return pa.schema(fields, metadata=header)


def _type(dtype: np.dtype[Any]) -> pa.DataType:
    import pyarrow as pa

    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return pa.list_(_type(base), int(np.prod(shape)))
    if dtype.kind in "US":
        return pa.string()
    return pa.from_numpy_dtype(dtype.newbyteorder("="))


def _table(part: NDArray[Any], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.table([_column(part[f.name], f.type) for f in schema], schema=schema)


def _column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if values.ndim > 1:
        return pa.FixedSizeListArray.from_arrays(
            _column(values.reshape(-1), kind.value_type), kind.list_size
        )
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return pa.array(native, type=kind)
