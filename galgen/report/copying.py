"""What the copy audit says, in words: is it new?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galgen.metrics.copies import COPYING
from galgen.report.names import in_space
from galgen.report.reading import ENOUGH, FEW, Scores, listed, off, percent, reason_of

#: Below it in one space of several there is no doubt.
_SURE = -4.0
#: With fewer galaxies that were held out even whole copies would pass.
_FEWEST = FEW


def spaces(metrics: Scores) -> list[str]:
    """Spaces in which copies were looked for and could be."""
    names = [name for name in metrics if name.startswith("copies_")]
    return [n.removeprefix("copies_") for n in names if metrics[n]["value"] is not None]


def answer_new(metrics: Scores) -> tuple[str, str]:
    """Answer and sentence.

    A generator copies where its galaxies lie nearer to training images than held-out ones do, or
    too many of them very near: in two spaces or more, or in one beyond chance. A single space of
    several that is just beyond its limit answers nothing.
    """
    known = spaces(metrics)
    if not known:
        return "unclear", f"Whether it copies was not measured{reason_of(metrics)}."
    caught = [space for space in known if _caught(metrics, space)]
    n = min(metrics[f"copies_{space}"]["n"] for space in known)
    worst = min(caught or known, key=lambda space: metrics[f"copies_{space}"]["value"])
    told = _told(metrics, worst)
    if n < _FEWEST:
        return "unclear", f"{n} held-out galaxies are too few to tell copies: {told}."
    sure = any(metrics[f"copies_{space}"]["value"] < _SURE for space in known)
    if sure or len(caught) > 1 or len(caught) == len(known):
        return "no", (
            "Generated galaxies lie nearer to training images than real ones do, as copies do; "
            f"look at the pairs: {told}."
        )
    if caught:
        return "unclear", (
            f"Generated galaxies lie near to training images in one of {len(known)} comparisons; "
            f"look at the pairs: {told}."
        )
    if n < ENOUGH:
        return (
            "unclear",
            f"No copies are seen, but {n} galaxies a side would show only many: {told}.",
        )
    return "yes", f"No sign of copying in {_spaces(known)}: {told}."


def new_details(metrics: Scores) -> list[str]:
    """A sentence a space, where there are several."""
    found = list(by_space(metrics).values())
    return found if len(found) > 1 else []


def by_space(metrics: Scores) -> dict[str, str]:
    """Space to what was found in it."""
    found = {}
    for space in spaces(metrics):
        what = "no sign of copies"
        if _caught(metrics, space):
            what = "nearer than new galaxies lie"
        elif metrics[f"copies_{space}"]["value"] > -COPYING:
            what = "farther than real galaxies lie, which may hide copies"
        told = _told(metrics, space)
        found[space] = f"{told[:1].upper()}{told[1:]}: {what}."
    return found


def _spaces(known: list[str]) -> str:
    return listed(in_space(space) for space in known)


def _caught(metrics: Scores, space: str) -> bool:
    nearer = metrics.get(f"nearer_{space}")
    many = nearer is not None and nearer["value"] is not None and off("", nearer)
    return metrics[f"copies_{space}"]["value"] < COPYING or many


def _told(metrics: Scores, space: str) -> str:
    score = metrics[f"copies_{space}"]
    told = f"in {in_space(space)} C_T = {score['value']:+.1f} (below {COPYING:.0f} is copying)"
    nearer: Mapping[str, Any] | None = metrics.get(f"nearer_{space}")
    if nearer is not None and nearer["value"] is not None:
        told += f", {percent(nearer['value'])} lie nearer to one than 99 % of held-out galaxies do"
    return f"{told}, n = {score['n']}"
