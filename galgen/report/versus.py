"""Two generators against the same real galaxies: which one is nearer to them, score by score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from galgen.report.names import QUESTIONS, better, order, question

#: Width of a 95 % interval in standard deviations.
_WIDTH = 3.92
#: A difference of so many of its standard deviations is called one.
_CLEAR = 2.0


def nearer(first: Mapping[str, Any], second: Mapping[str, Any], name: str = "") -> int | None:
    """0 where the first of two scores is nearer to the real galaxies, 1 where the second is.

    None where their intervals do not tell: where they are no further apart than twice the root
    of the sum of their squared standard deviations, a 95 % interval being 3.92 of these wide.
    Distances are nearer where they are lower, fractions and copy tests where they are nearer to
    their own floor, which is what real galaxies score.
    """
    scores = (first, second)
    if any(score["value"] is None or score["interval"] is None for score in scores):
        return None
    one, two = (_distance(score, name) for score in scores)
    spread = math.hypot(*(_deviation(score) for score in scores))
    if abs(one - two) <= _CLEAR * spread or one == two:
        return None
    return 0 if one < two else 1


def _distance(score: Mapping[str, Any], name: str) -> float:
    if better(name).startswith("lower") and not name.startswith(("nearer_", "repeats_")):
        return float(score["value"])
    return abs(float(score["value"]) - float(score["floor"]))


def _deviation(score: Mapping[str, Any]) -> float:
    low, high = score["interval"]
    return float(high - low) / _WIDTH


def winners(result: Mapping[str, Any]) -> dict[str, int | None]:
    """Score to `nearer`, for those that both generators have; empty without a second one."""
    if "against" not in result:
        return {}
    first, second = result["metrics"], result["against"]["metrics"]
    return {
        name: nearer(first[name], second[name], name) for name in order(first) if name in second
    }


def names(result: Mapping[str, Any]) -> tuple[str, str]:
    """What to call the generators; by their folders' names, with a letter where these agree."""
    one, two = result["generated"]["name"], result["against"]["generated"]["name"]
    return (one, two) if one != two else (f"{one} (A)", f"{two} (B)")


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Who is nearer to the real galaxies, in one sentence; none without a second generator."""
    found = winners(result)
    if not found:
        return []
    one, two = names(result)
    wins = [[name for name, who in found.items() if who == side] for side in (0, 1)]
    open_ = len(found) - len(wins[0]) - len(wins[1])
    if not wins[0] and not wins[1]:
        return [f"{one} and {two} are equally near to the real galaxies, as far as "
                f"{len(found)} scores tell."]  # fmt: skip
    (first, most), (second, fewer) = sorted(
        zip((one, two), wins, strict=True), key=lambda pair: len(pair[1]), reverse=True
    )
    if len(most) == len(fewer):
        return [
            f"Neither of {one} and {two} is nearer to the real galaxies: each is in {len(most)} of "
            f"{len(found)} scores; {open_} do not tell them apart."
        ]
    less = f"in {len(fewer)}{_where(fewer)}" if fewer else "in none"
    return [
        f"{first} is nearer to the real galaxies in {len(most)} of {len(found)} scores"
        f"{_where(most)}, {second} {less}; {open_} do not tell them apart."
    ]


def _where(wins: list[str]) -> str:
    counts = {q: sum(question(name) == q for name in wins) for q in QUESTIONS}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    return f" ({', '.join(parts)})" if parts else ""
