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
        self.rows: list[dict[str, str]] = []
        if path.exists() and resumed_at is not None:
            self._take(path.read_text(encoding="utf-8"), resumed_at)
        self.trouble: OutputError | None = None
        self._written = -1

    def _take(self, text: str, resumed_at: int) -> None:
        whole = text[: text.rfind("\n") + 1]
        reader = csv.DictReader(io.StringIO(whole, newline=""))
        self.columns = list(reader.fieldnames or [CLOCK])
        kept = [row for row in reader if _count(row.get(CLOCK)) <= resumed_at]
        self.rows = [{name: row.get(name) or "" for name in self.columns} for row in kept]

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """The run folder's name."""
        return self.path.parent.name

    def last(self, column: str) -> float:
        """The last value of a column, 0 where there is none."""
        values = [row[column] for row in self.rows if row.get(column)]
        return float(values[-1]) if values else 0.0

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
        fresh = [k for k in values if k not in self.columns]
        self.columns += fresh
        merge = bool(self.rows) and self.rows[-1][CLOCK] == images
        if merge:
            self.rows[-1] |= values
        else:
            self.rows.append({CLOCK: images, **values})
        try:
            if fresh or merge or self._written < 0:
                self._rewrite()
            else:
                self._append()
        except OutputError as error:
            self.trouble = self.trouble or error
        self._written = len(self.rows)

    def _append(self) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._lines(self.rows[-1:]))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)
            raise OutputError(
                f"{self.path} cannot be written ({error.strerror or error}): {self._way_out()}"
            ) from None

    def _way_out(self) -> str:
        return f"free some space, then go on with galgen train {self.path.parent} --resume."

    def _lines(self, rows: list[dict[str, str]], header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _rewrite(self) -> None:
        with replacing(self.path, durable=True, way_out=self._way_out()) as temporary:
            temporary.write_text(self._lines(self.rows, header=True), encoding="utf-8")


def _text(value: float) -> str:
    number = float(value)
    return "" if math.isnan(number) else f"{number:.8g}"


def _count(text: str | None) -> int:
    """Images of a row; beyond all where a person's hand has made it no number."""
    try:
        return int(text or 0)
    except ValueError:
        return sys.maxsize
