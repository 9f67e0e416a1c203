"""README.md of a shared model: the page that people and model hubs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from galgen.export.facts import NOT_STATED
from galgen.report.names import QUESTIONS, order, title
from galgen.report.scores import number

#: Picture on the page.
OVERVIEW = "overview.png"
#: Licences that model hubs know by these names; any other is called ``other`` and by its own name.
_KNOWN = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "lgpl-3.0", "mpl-2.0",
    "unlicense", "other",
)  # fmt: skip


def page(card: Mapping[str, Any]) -> str:
    """Markdown with front matter, made from the card alone."""
    parts = [
        _front(card),
        f"# {card['name']}",
        f"![16 galaxies that it draws]({OVERVIEW})",
        _summary(card),
        "## Use",
        _use(card),
        "## Images",
        *_images(card["data"]),
        "## Training",
        _training(card),
        "## Scores",
        *_scores(card["scores"]),
        "## Licence",
        _licence(card["licence"]),
        "## How to cite",
        "\n".join(f"- {_line(entry)}" for entry in card["cite"]),
    ]
    return "\n\n".join(parts) + "\n"


def _front(card: Mapping[str, Any]) -> str:
    said = card["licence"]
    known = said.lower() if said.lower() in _KNOWN else "other"
    entries: dict[str, Any] = {"license": "unknown" if said == NOT_STATED else known}
    if entries["license"] == "other":
        entries["license_name"] = _line(said)
    entries |= {
        "library_name": "galgen",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["galgen", "galaxies", "astronomy", "gan", card["model"]],
    }
    return f"---\n{yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)}---"


def _summary(card: Mapping[str, Any]) -> str:
    data, training = card["data"], card["training"]
    where = f" of {data['source']}" if data["source"] else ""
    return (
        f"A generator of galaxy images in {_bands(data)} at {data['size']} px: the pair "
        f"`{card['model']}` of galgen, trained on {training['images']:,} images{where}. "
        "The picture shows samples 0 to 15 of seed 0. These galaxies do not exist."
    )


def _bands(data: Mapping[str, Any]) -> str:
    return ("the band " if len(data["bands"]) == 1 else "the bands ") + ", ".join(data["bands"])


def _use(card: Mapping[str, Any]) -> str:
    data, asked = card["data"], ""
    if data["classes"]:
        asked += f" --label {_quoted(next(iter(data['classes'])))}"
    if data["numbers"]:
        name, (low, high) = next(iter(data["numbers"].items()))
        if low is not None and high is not None:
            middle = (low + high) / 2
            asked += f" --where {_quoted(f'{name}={middle:.3g}')}"
    if _ends_in_psf(card):
        asked += " --psf 1.1"
    lines = [
        "With this folder downloaded as `model`:",
        "",
        "```sh",
        "galgen sample model -n 1000 --fits",
        *([f"galgen sample model -n 1000 --fits{asked}"] if asked else []),
        "```",
        "",
        "```python",
        "import galgen",
        "",
        'flux = galgen.load("model").sample(16, seed=0)',
        "```",
    ]
    if _ends_in_psf(card):
        lines += ["", "It ends in a PSF layer: `--psf` takes another PSF, its FWHM in arcsec."]
    if card["precision"] != "float32":
        lines += [
            "",
            "The weights are stored in float16, so its galaxies differ slightly from those of the "
            "checkpoint that it was made from.",
        ]
    return "\n".join(lines)


def _ends_in_psf(card: Mapping[str, Any]) -> bool:
    psf = (card.get("options") or {}).get("psf")
    return psf is not None and str(psf).strip().lower() != "none"


def _quoted(text: str) -> str:
    return (
        text if text.replace("=", "").replace(".", "").replace("_", "").isalnum() else f"'{text}'"
    )


def _images(data: Mapping[str, Any]) -> list[str]:
    if data["display"]:
        facts = ["Display pictures with values from 0 to 255: brightness is no flux."]
    else:
        facts = [f"Flux in {data['unit']}."]
    if data["pixel_scale"] is not None:
        facts.append(f"{data['pixel_scale']:g} arcsec per pixel.")
    parts = [" ".join(facts)]
    widths = data["psf_fwhm"] or [None] * len(data["bands"])
    if not data["display"]:
        bands = [
            (band, _or_unknown(zero), _or_unknown(width))
            for band, zero, width in zip(data["bands"], data["zero_points"], widths, strict=True)
        ]
        parts.append(_table(("band", "AB zero point", "PSF FWHM, arcsec"), bands))
    if data["classes"]:
        classes = [(name, f"{count:,}") for name, count in data["classes"].items()]
        parts.append(_table(("class", "galaxies trained on"), classes))
    if data["numbers"]:
        rows = [
            (n, _or_unknown(low), _or_unknown(high)) for n, (low, high) in data["numbers"].items()
        ]
        parts.append(_table(("can be asked for", "from", "to"), rows))
    return parts


def _training(card: Mapping[str, Any]) -> str:
    data, training = card["data"], card["training"]
    count = f"{data['galaxies']:,} galaxies" if data["galaxies"] else "galaxies"
    where = f" of `{data['source']}`" if data["source"] else ""
    held = f"; {data['held_out']:,} more were held out" if data["held_out"] else ""
    start = training["finetuned_from"]
    lines = [
        f"Trained with galgen {training['version']}, seed {training['seed']}, on {count}{where}"
        f"{held}. The critic saw {training['images']:,} images.",
        f"It went on from `{start}`." if start else "",
    ]
    return " ".join(line for line in lines if line)


def _scores(scores: Mapping[str, Any]) -> list[str]:
    metrics = scores.get("metrics")
    if not metrics:
        return [f"None: {_line(scores.get('reason') or 'not measured')}."]
    if scores.get("from") != "galgen evaluate":
        short = [(title(name), number(metrics[name]["value"])) for name in order(metrics)]
        return [
            "Measured while it trained, of few galaxies and without a noise floor: good for "
            "comparing snapshots of one run.",
            _table(("score", "value"), short),
        ]
    known = [name for name in order(metrics) if metrics[name].get("value") is not None]
    rows = [(title(name), *_row(metrics[name])) for name in known]
    real = scores["real"]
    # The rest of the sentences say one by one what the table says.
    answers = [s for s in scores["verdict"] if s.startswith(tuple(QUESTIONS.values()))]
    return [
        *(_line(sentence) for sentence in answers),
        f"`galgen evaluate`, against {real['n']:,} galaxies of {_line(real['name'])}. The floor is "
        "what real galaxies score against other real ones; z is the distance from it in its "
        "standard deviations, positive is worse.",
        _table(("score", "value", "floor", "z", "n"), rows),
    ]


def _row(score: Mapping[str, Any]) -> list[str]:
    numbers = [_or_unknown(score.get(key), number, "") for key in ("value", "floor", "z")]
    return [*numbers, f"{score.get('n', 0):,}"]


def _licence(said: str) -> str:
    if said == NOT_STATED:
        return "Not stated: ask who shares this model before you use it."
    return _line(said).removesuffix(".") + "."


def _or_unknown(value: Any, shown: Any = None, unknown: str = "not known") -> str:
    if value is None:
        return unknown
    return str(shown(value)) if shown is not None else f"{value:.6g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    """One line, and no HTML: names and credits are a stranger's."""
    return " ".join(str(text).split()).replace("<", "&lt;")
