"""How scores are read: which stand out from their floor, and their numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from galgen.report.names import about, inline

#: Above so many standard deviations of the real-real splits a difference is called one.
CLEAR = 3.0
#: With fewer real galaxies than this a side, only the grossest difference shows.
FEW = 10
#: With as many a side as this, no difference seen is worth saying.
ENOUGH = 50
#: Better is neither high nor low: a population narrower than the real one lies in the box, too.
_BOTH_WAYS = frozenset({"colour_magnitude", "detected"})

#: Name to score, as in evaluation.json.
Scores = Mapping[str, Mapping[str, Any]]


def off(name: str, score: Mapping[str, Any]) -> bool:
    """Whether a score stands out from its floor, to the worse."""
    z = score["z"]
    if z is not None:
        return bool(z > CLEAR or (name in _BOTH_WAYS and z < -CLEAR))
    # Nothing varies over the splits of the real set, so resampling has to tell.
    interval = score["interval"]
    if interval is None:
        return bool(score["value"] != score["floor"])
    return not interval[0] <= score["floor"] <= interval[1]


def answered(metrics: Scores) -> Scores:
    """Scores that have a value."""
    return {name: score for name, score in metrics.items() if score["value"] is not None}


def reason_of(metrics: Scores) -> str:
    """Why there is no value, where a score says so: with a colon before, without a full stop."""
    reason = next((score.get("reason") for score in metrics.values()), None)
    return f": {reason}" if reason else ""


def numbers(name: str, score: Mapping[str, Any]) -> str:
    """A score with what it is compared with."""
    beside = f"floor {score['floor']:.3g}{z_text(score, ', ', '')}, n = {score['n']}"
    what = next((text for text in ("mean distance", "distance") if text in about(name).lower()), "")
    at = f" at a {what} of" if what else ""
    return f"{inline(name)}{at} {score['value']:.3g} ({beside})"


def z_text(score: Mapping[str, Any], before: str = " (", after: str = ")") -> str:
    """Its z in brackets, nothing where it has none."""
    return "" if score["z"] is None else f"{before}z = {score['z']:+.1f}{after}"


def signed(z: float) -> str:
    """A z with its sign, for tables and captions."""
    text = f"{z:+.1f}" if abs(z) < 100 else f"{z:+.0f}"
    return "0.0" if text[1:] == "0.0" else text.replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A fraction as text."""
    return f"{value:.1%}"


def listed(parts: Iterable[str]) -> str:
    """With commas and a last and.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
