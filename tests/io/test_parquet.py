"""Tables as Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import meta

from galgen.errors import OutputError
from galgen.io import parquet
from galgen.io.parquet import write_parquet

pq = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")

DTYPE = np.dtype(
    [
        ("file", "U24"),
        ("label", "S4"),
        ("sample", "<i8"),
        ("detected", "?"),
        ("mag_r", ">f4"),
        ("moments", "f8", (3,)),
    ]
)


def part(start: int, n: int) -> np.ndarray:
    rows = np.zeros(n, DTYPE)
    rows["sample"] = np.arange(start, start + n)
    rows["file"] = [f"galaxy_{i:06d}.fits" for i in rows["sample"]]
    rows["label"] = [b"FRII"] * n
    rows["detected"] = rows["sample"] % 2 == 0
    rows["mag_r"] = 18 + rows["sample"] / 10
    rows["mag_r"][::5] = np.nan
    rows["moments"] = rows["sample"][:, None] + np.arange(3)
    return rows


def test_parts_come_back_as_one_table(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    parts = [part(0, 7), part(7, 5)]
    assert write_parquet(path, iter(parts), {"mag_r": "mag"}, {"seed": 3, "model": "dcgan"})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    whole, found = np.concatenate(parts), pq.read_table(path)
    assert found.column_names == list(DTYPE.names or ())
    assert pq.ParquetFile(path).num_row_groups == 2
    for name in ("file", "sample", "detected"):
        assert found[name].to_pylist() == whole[name].tolist()
    assert set(found["label"].to_pylist()) == {"FRII"}
    np.testing.assert_array_equal(found["mag_r"].to_numpy(), whole["mag_r"])
    assert found["moments"].to_pylist() == whole["moments"].tolist()
    assert found.schema.field("mag_r").metadata == {b"unit": b"mag"}


def test_units_and_header_stand_where_astropy_looks(tmp_path: Path) -> None:
    # Table.read takes them from here; it needs pandas, which galgen does without.
    path = tmp_path / "catalogue.parquet"
    write_parquet(path, [part(0, 4)], {"mag_r": "mag"}, {"seed": 3})
    text = pq.read_schema(path).metadata[parquet.ASTROPY.encode()].decode()
    header = meta.get_header_from_yaml(text.split("\n"))
    assert {c["name"]: str(c.get("unit")) for c in header["datatype"]}["mag_r"] == "mag"
    assert [c["name"] for c in header["datatype"]] == list(DTYPE.names or ())
    assert header["meta"] == {"seed": 3}


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "none.parquet", [part(0, 0)])
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    with pytest.raises(ValueError, match="at least one part"):
        write_parquet(tmp_path / "nothing.parquet", [])


def test_what_breaks_off_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    write_parquet(path, [part(0, 2)])

    def broken():
        yield part(0, 2)
        raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        write_parquet(path, broken())
    assert pq.read_table(path).num_rows == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OutputError, match="cannot be written"):
        write_parquet(tmp_path / "missing" / "catalogue.parquet", [part(0, 2)])


def test_without_pyarrow_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    rows = iter([part(0, 1)])
    assert write_parquet(tmp_path / "catalogue.parquet", rows) is False
    assert len(list(rows)) == 1
    assert not list(tmp_path.iterdir())
