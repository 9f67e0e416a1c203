"""Tables written in pieces are those that astropy reads, and whole."""

from __future__ import annotations

import shutil
import subprocess
import tracemalloc
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen.errors import DataError, OutputError
from galgen.io.sums import verify
from galgen.io.table import read_table, write_table

ROWS = np.dtype(
    [
        ("file", "S11"),
        ("sample", "i8"),
        ("good", "?"),
        ("small", "u1"),
        ("short", "i2"),
        ("count", "i4"),
        ("flux_r", "f4"),
        ("mag_r", "f8"),
    ]
)


def rows(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.zeros(count, ROWS)
    made["file"] = [b"g_%d" % k for k in rng.integers(0, 10**9, count)]
    made["sample"] = rng.integers(-(2**63), 2**63 - 1, count)
    made["good"] = rng.random(count) < 0.5
    made["small"] = rng.integers(0, 256, count)
    made["short"] = rng.integers(-(2**15), 2**15, count)
    made["count"] = rng.integers(-(2**31), 2**31, count)
    made["flux_r"] = rng.normal(size=count) * 1e30
    made["mag_r"] = np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count))
    return made


@pytest.mark.parametrize("sizes", [[5], [0], [], [1], [3, 1, 7, 0, 1001], [1] * 13])
def test_astropy_reads_what_was_written(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "catalogue.fits"
    pieces = [rows(size, k) for k, size in enumerate(sizes)]
    whole = np.concatenate([rows(0), *pieces])
    cards: dict[str, Any] = {"SEED": (5, "random seed"), "MODEL": "dcgan", "CKPTHASH": "ab" * 32}
    write_table(path, ROWS, iter(pieces), sum(sizes), cards, {"mag_r": "mag", "flux_r": "µJy"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert [(h.verify_checksum(), h.verify_datasum()) for h in hdus] == [(1, 1)] * 2
            header = hdus[1].header
            assert (header["SEED"], header["MODEL"], header["CKPTHASH"]) == (5, "dcgan", "ab" * 32)
            assert header.comments["SEED"] == "random seed"
            assert (header["TUNIT7"], header["TUNIT8"]) == ("?Jy", "mag")
            assert header["NAXIS2"] == len(whole)
    table = Table.read(path, unit_parse_strict="silent", mask_invalid=False)
    assert tuple(table.colnames) == ROWS.names
    for name in ROWS.names:
        column = np.asarray(table[name])
        assert column.dtype.kind == ROWS[name].kind
        assert column.astype(ROWS[name]).tobytes() == whole[name].tobytes(), name
    back = list(read_table(path, rows=4))
    assert all(len(piece) <= 4 and piece.dtype == ROWS for piece in back)
    assert np.concatenate([rows(0), *back]).tobytes() == whole.tobytes()
    assert verify(path) is None


def test_bytes_do_not_depend_on_the_pieces(tmp_path: Path) -> None:
    whole = rows(100)
    for name, sizes in (("a", [100]), ("b", [1, 2, 3, 94]), ("c", [50, 50])):
        edges = np.cumsum([0, *sizes])
        pieces = [whole[i:j] for i, j in pairwise(edges)]
        write_table(tmp_path / name, ROWS, pieces, 100, {"SEED": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_names_and_texts_that_are_not_ascii_or_long(tmp_path: Path) -> None:
    name = "g-r_requested of a long name, and what it is"
    dtype = np.dtype([("größe", "f4"), (name, "S3"), ("empty", "S0")])
    made = np.array([(1.5, b"abc", b""), (2.5, b"d", b"")], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = {"REQUEST": "x" * 200, "NOTE": ("für", "é" * 90)}
        write_table(tmp_path / "t.fits", dtype, [made], 2, facts)
    with fits.open(tmp_path / "t.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[1].columns.names == ["große".replace("ß", "?"), name, "empty"]
        assert (hdus[1].header["REQUEST"], hdus[1].header["NOTE"]) == ("x" * 200, "fur")
        assert hdus[1].data[name].tolist() == ["abc", "d"]
    (back,) = read_table(tmp_path / "t.fits")
    assert back[name].tolist() == [b"abc", b"d"]


def test_rows_that_do_not_agree_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    for count in (4, 6):
        with pytest.raises(ValueError, match=f"5 rows in place of {count}"):
            write_table(path, ROWS, [rows(5)], count)
    with pytest.raises(ValueError, match="in place of"):
        write_table(path, ROWS, [rows(5)[["file", "sample"]]], 5)
    for code in ("c8", "u4", "i1", "(2,)f4", "O", "U3", "f2"):
        with pytest.raises(ValueError, match="column a"):
            write_table(path, [("a", code)], [], 0)
    with pytest.raises(OutputError, match="make room"):
        write_table(tmp_path / "none" / "t.fits", ROWS, [], 0)
    assert list(tmp_path.iterdir()) == []


def test_files_that_hold_no_such_table(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    with pytest.raises(DataError, match="cannot be read as a table"):
        list(read_table(path))
    for data in (b"", b"no FITS" * 1000, b"SIMPLE" + b" " * 2874):
        path.write_bytes(data)
        with pytest.raises(DataError, match="no whole FITS table"):
            list(read_table(path))
    write_table(path, ROWS, [rows(500)], 500)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 5000])
    with pytest.raises(DataError, match="rows are missing"):
        list(read_table(path, rows=100))
    image = fits.ImageHDU(np.zeros((3, 3)))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="no plain table"):
        list(read_table(path))
    columns = [fits.Column("a", "3J", array=np.zeros((2, 3))), fits.Column("b", "C")]
    for column in columns:
        fits.BinTableHDU.from_columns([column]).writeto(path, overwrite=True)
        with pytest.raises(DataError, match="in a form that galgen never writes"):
            list(read_table(path))


def test_memory_is_that_of_a_piece(tmp_path: Path) -> None:
    piece = rows(2000)

    def pieces() -> Iterator[np.ndarray]:
        for _ in range(100):
            yield piece

    write_table(tmp_path / "t.fits", ROWS, [piece], 2000)
    tracemalloc.start()
    write_table(tmp_path / "t.fits", ROWS, pieces(), 200_000)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    assert sum(len(part) for part in read_table(tmp_path / "t.fits", rows=2000)) == 200_000
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(written, read) < 8 * piece.nbytes + 2**20 < (tmp_path / "t.fits").stat().st_size / 4


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
def test_fitsverify_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    write_table(path, ROWS, [rows(5)], 5, {"SEED": 1, "REQUEST": "x" * 200}, {"mag_r": "mag"})
    ended = subprocess.run(["fitsverify", path], capture_output=True, text=True, check=False)
    assert "0 warning(s) and 0 error(s)" in ended.stdout, ended.stdout + ended.stderr
