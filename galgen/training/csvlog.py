"""``metrics.csv``: a row per logged number of images, kept exact across a resume."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from galgen.errors import OutputError
from galgen.io.atomic import replacing

CLOCK = "images"


class CsvLog(Logger):
    """Appends to a CSV file; Lightning's own logger deletes the file when it reopens it.

    Parameters
    ----------
    path
        The file; rows that it holds already are kept.
    resumed_at
        Rows after so many images are dropped: the run that wrote them was cut off after the
        checkpoint that training goes on from. So is a line that it was killed in.

    Attributes
    ----------
    trouble
        Why a row could not be written, a full disk say; None while all is well. The file then
        holds the rows before it, and the run ends with the present step.
    """

    def __init__(self, path: Path, resumed_at: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = [CLOCK]
        self.trouble: OutputError | None = None
        # Rows to begin the file with; once it is written only its last row stays in memory.
        self._begin: list[dict[str, str]] | None = []
        if path.exists() and resumed_at is not None:
            rows = self._read()
            self._begin = [row for row in rows if _count(row.get(CLOCK)) <= resumed_at]
        self._row: dict[str, str] = {}
        # Where in the file the last row starts, and where it ends.
        self._start = self._end = 0

    def _read(self) -> list[dict[str, str]]:
        """Whole rows of the file, whose columns are taken over."""
        text = self.path.read_text(encoding="utf-8")
        reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        self.columns = list(reader.fieldnames or [CLOCK])
        return [{name: row.get(name) or "" for name in self.columns} for row in reader]

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """The run folder's name."""
        return self.path.parent.name

    def history(self, column: str) -> list[tuple[int, float]]:
        """Images and value of every row so far that has the column."""
        rows = self._read() if self._begin is None else self._begin
        return [(_count(row[CLOCK]), float(row[column])) for row in rows if row.get(column)]

    def last(self, column: str) -> float:
        """The last value of a column, 0 where there is none."""
        values = self.history(column)
        return values[-1][1] if values else 0.0

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add values at `step` images; values at the same step share a row."""
        images = str(step or 0)
        values = {k: _text(v) for k, v in metrics.items() if k not in (CLOCK, "epoch")}
        if not values:
            return
        try:
            if self._begin is None and self.path.stat().st_size != self._end:
                # A person has had it open in an editor.
                self._begin = self._read()
            fresh = [k for k in values if k not in self.columns]
            if fresh and self._begin is None:
                self._begin = self._read()
            self.columns += fresh
            if self._begin is not None:
                self._rewrite({CLOCK: images} | values)
            elif self._row[CLOCK] == images:
                self._write(self._row | values, self._start)
            else:
                self._write({CLOCK: images} | values, self._end)
        except OutputError as error:
            self.trouble = self.trouble or error
        except OSError as error:
            self.trouble = self.trouble or self._unwritten(error)

    def _write(self, row: dict[str, str], start: int) -> None:
        """A row at the end of the file, or in the last one's place."""
        text = self._lines([row]).encode()
        try:
            with self.path.open("r+b") as file:
                file.seek(start)
                file.write(text)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, start)
            raise self._unwritten(error) from None
        self._row, self._start, self._end = row, start, start + len(text)

    def _unwritten(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.path} cannot be written ({error.strerror or error}): {self._way_out()}"
        )

    def _way_out(self) -> str:
        return f"free some space, then go on with galgen train {self.path.parent} --resume."

    def _lines(self, rows: list[dict[str, str]], header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _rewrite(self, row: dict[str, str]) -> None:
        """The whole file, with one row more."""
        rows = self._begin or []
        if rows and rows[-1][CLOCK] == row[CLOCK]:
            row = rows.pop() | row
        text = self._lines([*rows, row], header=True).encode()
        with replacing(self.path, durable=True, way_out=self._way_out()) as temporary:
            temporary.write_bytes(text)
        self._row, self._end, self._begin = row, len(text), None
        self._start = self._end - len(self._lines([row]).encode())


def _text(value: float) -> str:
    number = float(value)
    return "" if math.isnan(number) else f"{number:.8g}"


def _count(text: str | None) -> int:
    """Images of a row; beyond all where a person's hand has made it no number."""
    try:
        return int(text or 0)
    except ValueError:
        return sys.maxsize
