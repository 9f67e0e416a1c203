"""The result of the freezing study as a table and a plot."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.io.atomic import replacing
from galgen.report.diagrams import FAKE, REAL, new_figure, tidy, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

#: Where distances differ by more than this factor, their axis is logarithmic.
_WIDE = 20.0


@dataclass(frozen=True)
class Row:
    """One run of the study and its scores.

    Attributes
    ----------
    freeze
        Frozen layers or blocks; None for the control from scratch.
    seed
        Of the run.
    frozen
        Names of the frozen layers.
    best_at
        Images at which the best checkpoint was saved.
    n
        Galaxies a side of the scores.
    frechet, frechet_floor, frechet_spread, frechet_low, frechet_high, frechet_z
        Fréchet distance on physics features: value, floor, standard deviation of the floor over
        the splits, 95 % interval and z. None where it does not apply, as below.
    inside, inside_floor, inside_z
        Fraction of generated and of held-apart real galaxies in the colour-magnitude box.
    ratio, ratio_spread, ratio_low, ratio_high
        `inside` over `inside_floor`, the spread of the floor and the interval in that unit.
    coverage, coverage_floor, coverage_z
        Coverage of real galaxies.
    copies, copies_floor, copies_z
        Copy test C_T in aligned pixels; below -3 is copying.
    run
        Its folder.
    """

    freeze: int | None
    seed: int
    frozen: str
    best_at: int
    n: int
    frechet: float | None
    frechet_floor: float | None
    frechet_spread: float | None
    frechet_low: float | None
    frechet_high: float | None
    frechet_z: float | None
    inside: float | None
    inside_floor: float | None
    inside_z: float | None
    ratio: float | None
    ratio_spread: float | None
    ratio_low: float | None
    ratio_high: float | None
    coverage: float | None
    coverage_floor: float | None
    coverage_z: float | None
    copies: float | None
    copies_floor: float | None
    copies_z: float | None
    run: str

    @property
    def name(self) -> str:
        """``freeze 2`` or ``from scratch``."""
        return "from scratch" if self.freeze is None else f"freeze {self.freeze}"


def row_of(
    result: Mapping[str, Any], freeze: int | None, seed: int, frozen: Sequence[str], run: Path
) -> Row:
    """The row of a run from its evaluation.json."""
    metrics = result["metrics"]
    distance, box = metrics["frechet_physics"], metrics["colour_magnitude"]
    # Where copies cannot be looked for, one entry says why.
    coverage = metrics["coverage_physics"]
    copies = metrics["copies" if "copies" in metrics else "copies_aligned"]
    low, high = distance["interval"] or (None, None)
    floor = box["floor"]
    unit = [
        _over(v, floor) for v in (box["value"], _spread(box), *(box["interval"] or (None, None)))
    ]
    return Row(
        freeze=freeze,
        seed=seed,
        frozen=", ".join(frozen),
        best_at=result["generated"]["images"],
        n=distance["n"],
        frechet=distance["value"],
        frechet_floor=distance["floor"],
        frechet_spread=_spread(distance),
        frechet_low=low,
        frechet_high=high,
        frechet_z=distance["z"],
        inside=box["value"],
        inside_floor=floor,
        inside_z=box["z"],
        ratio=unit[0],
        ratio_spread=unit[1],
        ratio_low=unit[2],
        ratio_high=unit[3],
        coverage=coverage["value"],
        coverage_floor=coverage["floor"],
        coverage_z=coverage["z"],
        copies=copies["value"],
        copies_floor=copies["floor"],
        copies_z=copies["z"],
        run=str(run),
    )


def _spread(score: Mapping[str, Any]) -> float | None:
    """Standard deviation of the floor over the splits, which z is in units of."""
    if not score["z"]:
        return None
    return abs((score["value"] - score["floor"]) / score["z"])


def _over(value: float | None, floor: float | None) -> float | None:
    return value / floor if value is not None and floor else None


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Every field of every row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


HEADINGS = ("", "seed", "best at", "Fréchet", "floor", "z", "colour-magnitude ratio",
            "inside", "floor", "z", "coverage", "floor", "copies", "z")  # fmt: skip


def cells(row: Row) -> list[str]:
    """What a person reads, in the order of `HEADINGS`."""
    return [
        row.name,
        str(row.seed),
        f"{row.best_at:,}",
        _number(row.frechet),
        _number(row.frechet_floor),
        _signed(row.frechet_z),
        _number(row.ratio),
        _number(row.inside),
        _number(row.inside_floor),
        _signed(row.inside_z),
        _number(row.coverage),
        _number(row.coverage_floor),
        _number(row.copies),
        _signed(row.copies_z),
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"


def write_markdown(rows: Sequence[Row], path: Path, note: str) -> None:
    """The table of `cells`, with a note and what is frozen."""
    lines = [" | ".join(HEADINGS), " | ".join("---" for _ in HEADINGS)]
    lines += [" | ".join(cells(row)) for row in rows]
    text = "\n".join(f"| {line} |" for line in lines)
    frozen = {row.name: row.frozen for row in rows if row.frozen}
    listed = "".join(f"- {name}: {layers}\n" for name, layers in frozen.items())
    sides = ", ".join(str(n) for n in sorted({row.n for row in rows}))
    with replacing(path) as temporary:
        temporary.write_text(
            f"{text}\n\n{note} Galaxies a side: {sides}.\n\n{listed}", encoding="utf-8"
        )


def rich_table(rows: Sequence[Row]) -> Table:
    """The same for a terminal, less what fits on none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    headings = ("", "seed", "best at", "Fréchet", "z", "ratio", "z", "coverage", "copies")
    chosen = (0, 1, 2, 3, 5, 6, 9, 10, 12)
    floors = {_number(row.frechet_floor) for row in rows if row.frechet_floor is not None}
    note = f"floor of the distance: {', '.join(floors)}"
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False, caption=note)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        line = cells(row)
        table.add_row(*(line[place] for place in chosen))
    return table


def draw(rows: Sequence[Row], path: Path, unit: str) -> None:
    """Distance and colour-magnitude ratio over the depth, floors as bands, as PNG.

    Points are runs with their 95 % intervals, the line is the mean over seeds, and the control
    stands apart on the right.
    """
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    _panel(left, rows, "frechet", unit)
    _band(left, [(row.frechet_floor, row.frechet_spread) for row in rows])
    left.set_ylabel("Fréchet distance")
    values = [v for row in rows for v in (row.frechet, row.frechet_floor) if v]
    if values and max(values) > _WIDE * min(values):
        left.set_yscale("log")
    _panel(right, rows, "ratio", unit)
    _band(right, [(1.0, row.ratio_spread) for row in rows])
    right.set_ylabel("colour-magnitude ratio to real galaxies")
    left.legend(frameon=False, fontsize=8, loc="best")
    with replacing(path) as temporary:
        temporary.write_bytes(to_png(figure))


def _panel(axes: Axes, rows: Sequence[Row], name: str, unit: str) -> None:
    depths = sorted({row.freeze for row in rows if row.freeze is not None})
    apart = (depths[-1] if depths else 0) + 1.5
    seeds = sorted({row.seed for row in rows})
    means: dict[int, list[float]] = {}
    labelled: set[str] = set()
    for row in rows:
        value = getattr(row, name)
        if value is None:
            continue
        control = row.freeze is None
        x = (apart if row.freeze is None else row.freeze) + 0.12 * (
            seeds.index(row.seed) - (len(seeds) - 1) / 2
        )
        low, high = (_bound(row, f"{name}_{end}", value) for end in ("low", "high"))
        label = "from scratch" if control else "fine-tuned"
        axes.errorbar(
            x, value, yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            fmt="s" if control else "o", ms=6 if control else 5, lw=1, capsize=2,
            color="#444444" if control else FAKE, mfc="white" if control else FAKE,
            label=None if label in labelled else label,
        )  # fmt: skip
        labelled.add(label)
        if row.freeze is not None:
            means.setdefault(row.freeze, []).append(value)
    middle = [float(np.mean(means[depth])) for depth in sorted(means)]
    axes.plot(sorted(means), middle, color=FAKE, lw=1, alpha=0.6)
    axes.axvline(apart - 0.75, color="#cccccc", lw=0.8)
    axes.set_xticks([*depths, apart], [*(str(depth) for depth in depths), "scratch"])
    axes.set_xlabel(f"frozen generator {unit}s")
    tidy(axes)


def _bound(row: Row, name: str, value: float) -> float:
    bound = getattr(row, name)
    return value if bound is None else float(bound)


def _band(axes: Axes, floors: Sequence[tuple[float | None, float | None]]) -> None:
    """The floor and one standard deviation of it, which all runs share."""
    known = [(floor, spread or 0.0) for floor, spread in floors if floor is not None]
    if not known:
        return
    floor = float(np.mean([floor for floor, _ in known]))
    spread = max(spread for _, spread in known)
    low = max(floor - spread, math.ulp(0.0))
    axes.axhspan(low, floor + spread, color=REAL, alpha=0.2, lw=0)
    axes.axhline(floor, color=REAL, lw=1, label="floor: real galaxies, ± 1 sigma")
