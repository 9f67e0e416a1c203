"""What the card of a shared model says beyond what sampling needs: data, training, scores, credit.

Every number comes from the checkpoint or from the run's own files; what is not known is null, with
the reason.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galgen.export.private import data_name, model_name, texts

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel

#: What ``licence`` says where nobody said which.
NOT_STATED = "not stated"
#: How to credit the sets that galgen brings along.
CREDITS: dict[str, str | None] = {
    "hubble": "Hubble eXtreme Deep Field: NASA, ESA, G. Illingworth et al. 2012, STScI-2012-37 "
    "(public domain)",
    # Simulated: nobody else to credit.
    "sersic": None,
}
#: Columns of metrics.csv that say how good the galaxies are, by how they begin.
_SCORES = ("frechet", "coverage", "diversity", "colour_magnitude", "rmae")


def data(model: TrainedModel) -> dict[str, Any]:
    """What the model was trained on."""
    spec, seen = model.spec, model.module.trained_on
    source = (model.config.get("data") or {}).get("source")
    conditions = model.module.conditions
    return {
        "source": None if source is None else data_name(str(source)),
        "galaxies": seen.get("count"),
        "names_digest": seen.get("names"),
        "held_out": len(model.holdout),
        "bands": list(spec.bands),
        "size": spec.size,
        "unit": spec.unit,
        "zero_points": list(spec.zero_points),
        "pixel_scale": spec.pixel_scale,
        "psf_fwhm": None if spec.psf_fwhm is None else list(spec.psf_fwhm),
        "display": spec.display,
        "classes": dict(zip(conditions.classes, conditions.counts, strict=False)),
        "numbers": {n.name: [n.low, n.high] for n in conditions.numbers},
    }


def training(model: TrainedModel) -> dict[str, Any]:
    """How long and with which seed and version."""
    start = (model.config.get("finetune") or {}).get("checkpoint")
    return {
        "model": model.name,
        "images": model.images,
        "seed": model.config.get("seed", model.card.get("seed")),
        "version": model.card.get("version"),
        "finetuned_from": None if start is None else model_name(str(start)),
    }


def scores(model: TrainedModel) -> dict[str, Any]:
    """Of this very snapshot: from the run's evaluation, else from what its training measured.

    A folder that was exported keeps those of its card.
    """
    if model.path.is_dir():
        kept = model.card.get("scores")
        reason = "the folder that it was exported from states none"
        return dict(kept) if isinstance(kept, dict) else _none(reason)
    run = model.path.parent.parent
    judged = _evaluation(run / "evaluation.json", model)
    if "metrics" in judged and judged["metrics"] is None:
        measured = _measured(run / "metrics.csv", model.images)
        if measured:
            return {"from": "training", "metrics": measured}
    return judged


def _none(reason: str) -> dict[str, Any]:
    return {"metrics": None, "reason": reason}


def _evaluation(path: Path, model: TrainedModel) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        metrics, real = dict(result["metrics"]), dict(result["real"])
        judged = result["generated"]["digest"]
    except FileNotFoundError:
        return _none("it was not evaluated: galgen evaluate does")
    except (OSError, ValueError, KeyError, TypeError):
        return _none(f"its {path.name} cannot be read")
    if judged != model.digest:
        return _none("what was evaluated is another snapshot of its run: galgen evaluate it anew")
    found: dict[str, Any] = texts(
        {
            "from": "galgen evaluate",
            "metrics": metrics,
            "real": {"name": str(real.get("name")), "n": real.get("n")},
            "generated": result["generated"].get("n"),
            "verdict": [str(sentence) for sentence in result.get("verdict") or ()],
            "version": result.get("version"),
        }
    )
    return found


def _measured(path: Path, images: int) -> dict[str, Any]:
    """Columns of the row that was written at these images."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("images") == str(images)]
    except OSError:
        return {}
    found = {}
    for name, value in (rows[-1] if rows else {}).items():
        number = _number(value)
        if number is not None and (name or "").startswith(_SCORES):
            found[name] = {"value": number}
    return found


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def cite(model: TrainedModel, asked: str | None, source: str | None) -> list[str]:
    """How to cite: the data, galgen, and the papers of the pair."""
    kept = model.card.get("cite") if model.path.is_dir() else None
    if asked is None and isinstance(kept, list) and kept:
        return [str(line) for line in kept]
    unknown = (
        f"the makers of {source}: which credit they ask for is {NOT_STATED}" if source else None
    )
    credit = asked or CREDITS.get(source or "", unknown)
    own = f"galgen {model.card.get('version')}, and the paper of its pair {model.name}"
    return [*([credit] if credit else []), own]


def unsaid(card: Mapping[str, Any]) -> list[str]:
    """What a person should say before the model is shared: the options for it, with reasons."""
    lines = []
    if card["licence"] == NOT_STATED:
        lines.append(
            "licence: not stated, so nobody knows what the model may be used for (--licence "
            "CC-BY-4.0, say)"
        )
    if any(NOT_STATED in line for line in card["cite"]):
        lines.append(f"credit: that of {card['data']['source']} is not known (--cite TEXT)")
    return lines


def licence(card: Mapping[str, Any], asked: str | None) -> str:
    """What was said now or on an earlier export."""
    kept = card.get("licence")
    return asked or (kept if isinstance(kept, str) and kept else NOT_STATED)
