"""The report's section on conditions: classes side by side, confusion, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from galgen.report.names import order, title
from galgen.report.reading import off, signed
from galgen.report.scores import number

_CONFUSION = (
    "Rows are the class that galaxies were asked to be, columns what the network calls them, in "
    "per cent of the row; in brackets the same for real galaxies that it had not seen, which is "
    "what the network itself gets wrong."
)
_CLASSES = (
    "Value, floor and z as in the table above, of the galaxies of a class by themselves, each at "
    "the class's own n. In the last row n of the first metric."
)
_NUMBERS = (
    "Bias is the median of measured minus requested, scatter 1.4826 times the median absolute "
    "deviation. R² is the square of the correlation, and stands beside that of shuffled requests, "
    "which a generator scores that does not listen. Real: what the catalogue says of real "
    "galaxies against what is measured on them, as no generator can do better."
)


def section(result: Mapping[str, Any]) -> list[str]:
    """HTML of what an evaluation (the content of evaluation.json) found about conditions."""
    parts: list[str] = []
    if result.get("classes"):
        parts += ["<h4>Classes</h4>", _classes(result["classes"]), _note(_CLASSES)]
    conditions = result.get("conditions") or {}
    agreement = conditions.get("agreement")
    if agreement is not None and agreement["value"] is not None:
        parts += ["<h4>Class asked for and class found</h4>", _agreement(agreement)]
        parts += [_note(_CONFUSION), _note(_how(agreement))]
    if conditions.get("numbers"):
        parts += ["<h4>Numbers asked for and measured</h4>", _numbers(conditions["numbers"])]
        parts.append(_note(_NUMBERS))
    return parts


def _how(agreement: Mapping[str, Any]) -> str:
    text = f"Judged by {agreement['how']}."
    for name, reason in agreement["left_out"].items():
        text += f" {name} is left out: {reason}."
    return text


def _note(text: str) -> str:
    return f"<p class=note>{escape(text)}</p>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already; heads are text."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    return (
        f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _small(text: str) -> str:
    return f"<br><small>{escape(text)}</small>"


def _classes(classes: Mapping[str, Any]) -> str:
    metrics = order(dict.fromkeys(n for entry in classes.values() for n in entry["metrics"]))
    rows = []
    for metric in metrics:
        cells = [escape(title(metric))]
        for entry in classes.values():
            score = entry["metrics"][metric]
            if score["value"] is None:
                cells.append(f"<small>{escape(score['reason'])}</small>")
                continue
            z = "" if score["z"] is None else f", z {signed(score['z'])}"
            kind = ' class="worse"' if off(metric, score) else ""
            beside = f"<small{kind}>floor {number(score['floor'])}{z}</small>"
            cells.append(f"{number(score['value'])}{beside}")
        rows.append(cells)
    counts = ["n"]
    for entry in classes.values():
        first = next(iter(entry["metrics"].values()), {"n": 0})
        beside = f"{entry['n_generated']} generated, {entry['n_real']} real"
        counts.append(f"{first['n']}{_small(beside)}")
    return _table(["metric", *classes], [*rows, counts])


def _agreement(agreement: Mapping[str, Any]) -> str:
    ceiling = agreement["ceiling"]
    names = list(agreement["classes"])
    rows = []
    for k, name in enumerate(names):
        entry, real = agreement["classes"][name], ceiling["classes"][name]
        cells = [escape(name) + _small(f"n = {entry['n']}")]
        for column in range(len(names)):
            made, true = (
                _share(source["confusion"][k][column], source["classes"][name]["n"])
                for source in (agreement, ceiling)
            )
            shown = f"<b>{made}</b>" if column == k else made
            cells.append(f"{shown} <small>({true})</small>")
        interval = "" if entry["interval"] is None else _range(entry["interval"])
        cells.append(f"{_percent(entry['value'])} <small>({_percent(real['value'])})</small>"
                     f"{_small(interval)}")  # fmt: skip
        rows.append(cells)
    mean = f"<b>{_percent(agreement['value'])}</b> <small>({_percent(ceiling['value'])})</small>"
    mean += _small(_range(agreement["interval"]))
    last = ["mean over classes", *[""] * len(names), mean]
    return _table(["asked for", *names, "agree"], [*rows, last])


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.0f}" if total else "–"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _range(interval: Sequence[float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def _numbers(numbers: Mapping[str, Any]) -> str:
    rows = []
    for name, entry in numbers.items():
        if "reason" in entry:
            rows.append([escape(name), f"<small>{escape(entry['reason'])}</small>", *[""] * 6])
            continue
        unit = f" ({entry['unit']})" if entry["unit"] else ""
        rows.append([f"{escape(name)}{escape(unit)}", *_measures(entry)])
        real = entry["real"]
        if real is None:
            reason = escape(entry.get("no_real", ""))
            rows.append(["<small>real</small>", f"<small>{reason}</small>", *[""] * 6])
        else:
            rows.append(["<small>real</small>", *_measures(real)])
    head = ["number", "bias", "scatter", "std", "R²", "shuffled", "slope", "n (not measured)"]
    return _table(head, rows)


def _measures(entry: Mapping[str, Any]) -> list[str]:
    forms = {"bias": "+.3g", "scatter": ".3g", "std": ".3g", "r2": ".3f", "r2_shuffled": ".3f",
             "slope": ".2f"}  # fmt: skip
    cells = ["–" if entry[k] is None else format(entry[k], form) for k, form in forms.items()]
    return [*cells, f"{entry['n']} ({entry['failures']})"]
