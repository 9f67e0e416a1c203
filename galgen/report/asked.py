"""What an evaluation says of conditions, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galgen.metrics.conditional import NO_CLASSES
from galgen.report.names import of_features, order, split

#: Above this part of the variance a measured number is said to follow the request.
_FOLLOWS = 0.8
#: Up to so many times what shuffled requests score, it is said not to.
_CHANCE = 5.0
#: Fewer galaxies than these lie near some straight line by chance.
_FEWEST = 10


def sentences(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that was asked for, of the content of evaluation.json."""
    found = by_class(result.get("classes") or {})
    conditions = result.get("conditions") or {}
    agreement = conditions.get("agreement")
    # Of a model without classes there is nothing to say.
    if agreement is not None and agreement.get("reason") != NO_CLASSES:
        found.append(agreed(agreement))
    found += [followed(name, entry) for name, entry in conditions.get("numbers", {}).items()]
    return found


def by_class(classes: Mapping[str, Any]) -> list[str]:
    """Where the leading Fréchet distance of each class stands."""
    named = order(dict.fromkeys(n for entry in classes.values() for n in entry["metrics"]))
    leading = next((name for name in named if split(name)[0] == "frechet"), None)
    if leading is None:
        return []
    scored = {name: entry["metrics"].get(leading) for name, entry in classes.items()}
    parts = [
        f"{name} {score['value']:.3g} (floor {score['floor']:.3g}{_z(score)}, n = {score['n']})"
        for name, score in scored.items()
        if score is not None and score["value"] is not None
    ]
    missing = [name for name, score in scored.items() if score is None or score["value"] is None]
    if missing:
        parts.append(f"too few galaxies of {', '.join(missing)}")
    lead = f"Fréchet distance ({of_features(split(leading)[1])}) by class"
    return [f"{lead}: {'; '.join(parts)}."] if parts else []


def _z(score: Mapping[str, Any]) -> str:
    return "" if score["z"] is None else f", z = {score['z']:+.1f}"


def agreed(score: Mapping[str, Any]) -> str:
    """Agreement with the class that was asked for, beside what real galaxies score."""
    if score["value"] is None:
        return f"Agreement with the class asked for was not computed: {score['reason']}."
    ceiling, (low, high) = score["ceiling"], score["interval"]
    numbers = (
        f"a network that learnt from real galaxies finds the class in {score['value']:.1%} of the "
        f"generated ones (mean over classes, {low:.1%} to {high:.1%}, n = {score['n']}) and in "
        f"{ceiling['value']:.1%} of real ones that it had not seen (n = {ceiling['n']}); guessing "
        f"gives {score['chance']:.1%}"
    )
    if low <= score["chance"]:
        what = "Galaxies are not of the class that was asked for"
    elif high < ceiling["interval"][0]:
        what = "Galaxies are of the class that was asked for less often than real ones show theirs"
    elif low > ceiling["interval"][1]:
        what = "Galaxies show the class that was asked for more plainly than real ones show theirs"
    else:
        what = "Galaxies are of the class that was asked for"
    judged = {k: v["value"] for k, v in score["classes"].items() if v["value"] is not None}
    least = min(judged, key=lambda name: judged[name])
    real = ceiling["classes"][least]["value"]
    told = f"{what}: {numbers}."
    if len(judged) > 1:
        told += f" Least: {least}, {judged[least]:.1%}"
        told += "." if real is None else f" (real {real:.1%})."
    if score["left_out"]:
        told += f" Not judged: {', '.join(score['left_out'])}."
    return told


def followed(name: str, entry: Mapping[str, Any]) -> str:
    """How one number follows what was asked for."""
    if "reason" in entry:
        return f"Whether {name} follows the request was not measured: {entry['reason']}."
    unit = f" {entry['unit']}" if entry["unit"] else ""
    if entry["bias"] is None:
        return f"{name} was measured on none of {entry['failures']} galaxies that it was asked of."
    numbers = f"bias {entry['bias']:+.3g}{unit}"
    if entry["scatter"] is not None:
        numbers += f", scatter {entry['scatter']:.3g}{unit}"
    numbers += f", n = {entry['n']}"
    if entry["failures"]:
        numbers += f" and {entry['failures']} not measured"
    r2 = entry["r2"]
    if r2 is None:
        return f"{name} was asked for too seldom or alike to see whether it is followed: {numbers}."
    line = f"R² {r2:.3f}, slope {entry['slope']:.2f}"
    numbers = f"{line}, with shuffled requests {entry['r2_shuffled']:.3f}; {numbers}"
    real = entry["real"]
    if real is not None and real["r2"] is not None:
        numbers += f"; real galaxies, catalogue against measured: R² {real['r2']:.3f}, bias "
        numbers += f"{real['bias']:+.3g}{unit}, scatter {real['scatter']:.3g}{unit}"
    if entry["n"] < _FEWEST:
        return f"Too few galaxies to see whether {name} follows the request: {numbers}."
    if r2 <= _CHANCE * entry["r2_shuffled"]:
        return f"{name} does not follow the request: {numbers}."
    if entry["slope"] <= 0:
        return f"{name} runs against the request: {numbers}."
    if r2 >= _FOLLOWS:
        return f"{name} follows the request: {numbers}."
    return f"{name} follows the request in part: {numbers}."
