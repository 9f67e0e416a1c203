"""What a score card says, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galgen.report.asked import sentences

#: Above so many standard deviations of the real-real splits a difference is called one.
_CLEAR = 3.0
#: With fewer real galaxies than this a side, only the grossest difference shows.
_FEW = 10

TITLES = {
    "frechet_physics": "Fréchet distance, physics features",
    "precision_physics": "Precision: generated galaxies among real ones",
    "recall_physics": "Recall: real galaxies among generated ones",
    "density_physics": "Density: how many real galaxies a generated one is among",
    "coverage_physics": "Coverage: real galaxies with a generated one near",
    "colour_magnitude": "In the colour-magnitude box",
    "nearest_training": "Distance to the nearest training image, relative to held-out galaxies",
}
BETTER = {
    "frechet_physics": "lower is better",
    "precision_physics": "higher is better",
    "recall_physics": "higher is better",
    "density_physics": "higher is better",
    "coverage_physics": "higher is better",
    "colour_magnitude": "higher is better",
    "nearest_training": "no lower than the floor",
}


def verdict(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that an evaluation (the content of evaluation.json) looked at."""
    metrics = result["metrics"]
    found = [
        sentence(metrics[name])
        for name, sentence in (
            ("frechet_physics", _frechet),
            ("precision_physics", _precision),
            ("recall_physics", _recall),
            ("coverage_physics", _coverage),
            ("colour_magnitude", _colour_magnitude),
            ("nearest_training", _nearest),
        )
        if name in metrics
    ]
    return found + sentences(result)


def _frechet(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"The Fréchet distance was not computed: {score['reason']}."
    numbers = (
        f"Fréchet distance {score['value']:.3g}, where two samples of {score['n']} real galaxies "
        f"differ by {score['floor']:.3g}{_z(score)}"
    )
    if _clear(score):
        return f"The generated set can be told from the real one: {numbers}."
    if score["n"] < _FEW:
        return f"Too few real galaxies to tell the sets apart: {numbers}."
    return f"The generated set differs no more than a second real sample would: {numbers}."


def _precision(score: Mapping[str, Any]) -> str:
    return _fraction(
        score,
        "Precision",
        "lie among real galaxies, where {floor:.1%} of a second real sample do",
        "Some generated galaxies are like no real one",
        "Generated galaxies are like real ones",
    )


def _recall(score: Mapping[str, Any]) -> str:
    return _fraction(
        score,
        "Recall",
        "of real galaxies lie among generated ones, where {floor:.1%} lie among a second real "
        "sample",
        "Generated galaxies vary less than real ones",
        "Generated galaxies vary as real ones do",
    )


def _coverage(score: Mapping[str, Any]) -> str:
    return _fraction(
        score,
        "Coverage",
        "of real galaxies have a generated one near, where {floor:.1%} have one of a second real "
        "sample",
        "Some real galaxies have no generated one like them",
        "Real galaxies have generated ones like them",
    )


def _fraction(score: Mapping[str, Any], name: str, what: str, worse: str, equal: str) -> str:
    if score["value"] is None:
        return f"{name} was not computed: {score['reason']}."
    numbers = f"{score['value']:.1%} {what.format(floor=score['floor'])}{_z(score)}"
    if _clear(score):
        return f"{worse}: {numbers}."
    if score["n"] < _FEW:
        return f"Too few real galaxies to judge {name.lower()}: {numbers}."
    return f"{equal}: {numbers}."


def _colour_magnitude(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"The colour-magnitude check does not apply: {score['reason']}."
    numbers = (
        f"{score['value']:.1%} lie in the colour-magnitude box, where {score['floor']:.1%} of real "
        f"galaxies that did not define it do{_z(score)}"
    )
    if _clear(score):
        return f"Magnitudes and colours are off: {numbers}."
    if score["z"] is not None and score["z"] < -_CLEAR:
        return f"Magnitudes and colours vary less than real ones do: {numbers}."
    if score["n"] < _FEW:
        return f"Too few real galaxies ({score['n']} a side) to judge magnitudes: {numbers}."
    return f"Magnitudes and colours look right: {numbers}."


def _nearest(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"The copy check was not made: {score['reason']}."
    numbers = (
        f"their median distance to the nearest training image is {score['value']:.2f} times that "
        f"of real galaxies not trained on, for which chance allows {score['floor']:.2f}{_z(score)}"
    )
    if _clear(score):
        return (
            "Generated galaxies lie nearer to training images than real ones do: copies, or images "
            f"smoother than real ones; look at the pairs: {numbers}."
        )
    if score["n"] < _FEW:
        return f"Too few galaxies were held out ({score['n']} a side) to tell copies: {numbers}."
    return f"No sign of copying: {numbers}."


def _clear(score: Mapping[str, Any]) -> bool:
    z = score["z"]
    return bool(z > _CLEAR) if z is not None else score["value"] != score["floor"]


def _z(score: Mapping[str, Any]) -> str:
    return "" if score["z"] is None else f" (z = {score['z']:+.1f})"
