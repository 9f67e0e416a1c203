"""The report's table of scores, by question, with two generators side by side where there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from galgen.metrics.scorecard import FEWEST_SPLITS, MANY, SPLITS
from galgen.report import versus
from galgen.report.names import QUESTIONS, about, better, order, question, title
from galgen.report.reading import CLEAR, off, signed

_FLOOR = (
    "The floor is what real galaxies score against other real galaxies at the same number n, the "
    f"mean over {SPLITS} random splits ({FEWEST_SPLITS} of more than {MANY:,} images); z is the "
    "distance from it in standard deviations of those splits. Positive is worse, and beyond 3 "
    "(marked) hardly chance. Small numbers: the 95 % interval."
)
_NEARER = (
    "Nearer to the real galaxies is said only where the intervals tell: where the scores differ by "
    "more than twice the root of the sum of their squared standard deviations. Copy tests and "
    "fractions are nearer where they are nearer to their floor."
)

Score = Mapping[str, Any]


def table(result: Mapping[str, Any]) -> str:
    """HTML of all scores with what explains them, of the content of evaluation.json."""
    metrics = result["metrics"]
    other = result["against"]["metrics"] if "against" in result else None
    won = versus.winners(result)
    names = versus.names(result) if other is not None else ("value", "")
    if other is None:
        head = ["score", "value", "floor", "z", "n"]
    else:
        head = ["score", names[0], "z", names[1], "z", "floor", "nearer", "n"]
    rows, last = [], ""
    for name in order(metrics):
        if question(name) != last:
            last = question(name)
            rows.append(
                f"<tr class=question><th colspan={len(head)} scope=rowgroup>"
                f"{QUESTIONS[last]}</th></tr>"
            )
        if other is None:
            rows.append(_row(name, metrics[name], len(head)))
        else:
            second = other.get(name, {"value": None, "reason": "not computed"})
            rows.append(_both(name, (metrics[name], second), won.get(name), names, len(head)))
    top = "".join(f"<th scope=col>{escape(text)}</th>" for text in head)
    note = _FLOOR if other is None else f"{_FLOOR} {_NEARER}"
    return (
        f"<div class=wide><table class=scores><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div><p class=note>{escape(note)}</p>"
    )


def _row(name: str, score: Score, columns: int) -> str:
    if score["value"] is None:
        return _null(name, score["reason"], columns)
    cells = f"<td>{_value(score)}</td><td>{number(score['floor'])}</td>{_z(name, score)}"
    cells += f"<td>{score['n']}</td>"
    return f"<tr>{_label(name)}{cells}</tr>"


def _both(
    name: str, scores: tuple[Score, Score], won: int | None, names: Sequence[str], columns: int
) -> str:
    known = [score for score in scores if score["value"] is not None]
    if not known:
        return _null(name, scores[0]["reason"], columns)
    cells = []
    for side, score in enumerate(scores):
        if score["value"] is None:
            cells.append(f"<td class=null colspan=2>{escape(score['reason'])}</td>")
            continue
        mark = ' class="better"' if won == side else ""
        cells.append(f"<td{mark}>{_value(score)}</td>{_z(name, score)}")
    nearer = "" if won is None else f'<span class="kind s{won + 1}">{escape(names[won])}</span>'
    # Copy tests have as many galaxies as each generator left out of its training.
    n = " and ".join(dict.fromkeys(str(score["n"]) for score in known))
    cells.append(f"<td>{number(known[0]['floor'])}</td><td>{nearer}</td><td>{n}</td>")
    return f"<tr>{_label(name)}{''.join(cells)}</tr>"


def _null(name: str, reason: str, columns: int) -> str:
    return f"<tr>{_label(name)}<td class=null colspan={columns - 1}>{escape(reason)}</td></tr>"


def _label(name: str) -> str:
    what = f"<span>{escape(about(name))}; </span>" if about(name) else ""
    return f"<td>{escape(title(name))}<small>{what}{escape(better(name))}</small></td>"


def _value(score: Score) -> str:
    if score["interval"] is None:
        return number(score["value"])
    low, high = score["interval"]
    return f"{number(score['value'])}<small>{number(low)} to {number(high)}</small>"


def _z(name: str, score: Score) -> str:
    """A number, and a bar that grows with its logarithm, full at 100."""
    z = score["z"]
    worse = off(name, score)
    if z is None:
        return '<td class="z worse">off</td>' if worse else "<td class=z></td>"
    kind = " worse" if worse else " closer" if z < -CLEAR else ""
    part = min(100.0, 50 * math.log10(1 + abs(z)))
    return f'<td class="z{kind}">{signed(z)}<i><b style="width:{part:.0f}%"></b></i></td>'


def number(value: float) -> str:
    """Three digits; without a row of zeros."""
    if 0 < abs(value) < 1e-3:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits}e{int(exponent)}".replace("-", "\N{MINUS SIGN}")
    text = f"{value:#.3g}".rstrip(".") if abs(value) < 1e4 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")
