"""The report: one HTML file with everything inside, readable without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from galgen.report.conditional import section
from galgen.report.pictures import mosaic, png_bytes, tile_scale
from galgen.report.verdict import BETTER, TITLES, verdict

if TYPE_CHECKING:
    from galgen.report.pictures import Pictures

_JPEG_ABOVE = 600_000

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1c2127;
       background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.lead { color: #4a5560; margin-top: 0; } ul.verdict li { margin: .4rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .7rem; border-bottom: 1px solid #dde2e7; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: #4a5560; }
td small, figcaption, .note { color: #5b6670; font-size: .85rem; }
td.null { text-align: left; color: #5b6670; }
img { max-width: 100%; height: auto; display: block; }
img.pixels { image-rendering: pixelated; image-rendering: crisp-edges; }
.sheets { display: flex; flex-wrap: wrap; gap: 1rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
figure { margin: 0; overflow-wrap: anywhere; } .sheets figure { flex: 1 1 26rem; }
"""


@dataclass
class Pair:
    """A picture and its nearest training image, each (H, W, 3), and how far they are."""

    picture: Pictures
    nearest: Pictures
    caption: str


@dataclass
class Report:
    """What the page shows beside the numbers.

    Attributes
    ----------
    result
        Content of evaluation.json.
    real, fake
        Pictures (N, H, W, 3) under one fixed stretch.
    diagrams
        (title, PNG bytes, caption).
    pairs, comparison
        The nearest pairs of generated and of held-out galaxies.
    sheets
        Sheets with a class a row, and their captions.
    """

    result: Mapping[str, Any]
    real: Pictures
    fake: Pictures
    diagrams: Sequence[tuple[str, bytes, str]] = ()
    pairs: Sequence[Pair] = field(default_factory=list)
    comparison: Sequence[Pair] = field(default_factory=list)
    sheets: Sequence[tuple[Pictures, str]] = ()


def render(report: Report) -> str:
    """The page, without a reference to anything outside it."""
    result = report.result
    generated, real = result["generated"], result["real"]
    title = f"{generated['name']} against {real['name']}"
    lead = (
        f"{generated['n']} generated and {real['n']} real galaxies of {result['size']} px "
        f"in {', '.join(result['bands'])}."
    )
    parts = [
        f"<h1>{escape(title)}</h1><p class=lead>{escape(lead)}</p>",
        "<ul class=verdict>", *(f"<li>{escape(s)}</li>" for s in verdict(result)), "</ul>",
        "<h2>Scores</h2>", _table(result["metrics"]), _explanation(result),
        *section(result),
        "<h2>Real and generated</h2>", _grids(report),
    ]  # fmt: skip
    if report.sheets:
        figures = [
            f"<figure>{_pixels(sheet, 1, text)}<figcaption>{escape(text)}</figcaption></figure>"
            for sheet, text in report.sheets
        ]
        parts.append(f"<h2>A class a row</h2><div class=sheets>{''.join(figures)}</div>")
    for heading, png, caption in report.diagrams:
        image = f'<img alt="{escape(heading, True)}" src="{_uri(png, "png")}">'
        parts.append(f"<h2>{escape(heading)}</h2>{image}<p class=note>{escape(caption)}</p>")
    parts += _pair_section("Nearest training images", report.pairs, _PAIRS)
    parts += _pair_section("The same for real galaxies not trained on", report.comparison, "")
    parts.append(_footer(result))
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


_PAIRS = (
    "Left a generated galaxy, right the training image nearest to it, turned and flipped as it "
    "fits best; the pairs that lie closest. The number is the mean squared difference in "
    "stretched pixels."
)


def _table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, score in metrics.items():
        label = (
            f"<td>{escape(TITLES.get(name, name))}<br><small>{BETTER.get(name, '')}</small></td>"
        )
        if score["value"] is None:
            rows.append(f"<tr>{label}<td class=null colspan=5>{escape(score['reason'])}</td></tr>")
            continue
        low, high = score["interval"]
        z = "" if score["z"] is None else f"{score['z']:+.1f}"
        cells = (_number(score["value"]), _number(score["floor"]),
                 f"{_number(low)} to {_number(high)}", z, str(score["n"]))  # fmt: skip
        rows.append(f"<tr>{label}{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    head = "".join(f"<th>{h}</th>" for h in ("metric", "value", "floor", "95 % interval", "z", "n"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _number(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _explanation(result: Mapping[str, Any]) -> str:
    text = (
        "The floor is what real galaxies score against other real galaxies at the same number n, "
        "the mean over 20 random splits; z is the distance from it in standard deviations of "
        "those splits, and positive is worse."
    )
    return "".join(f"<p class=note>{escape(s)}</p>" for s in (text, *result["notes"]))


def grid_columns(size: int) -> int:
    """Galaxies per row of the page's grids, by side length in pixels."""
    return 8 if size <= 64 else 4


def _grids(report: Report) -> str:
    figures = []
    for pictures, name in ((report.real, "real"), (report.fake, "generated")):
        sheet = mosaic(pictures, grid_columns(pictures.shape[2]), scale=1)
        image = _pixels(sheet, tile_scale(pictures.shape[2]), name)
        figures.append(f"<figure>{image}<figcaption>{name}</figcaption></figure>")
    note = "All images under one fixed stretch."
    return f"<div class=sheets>{''.join(figures)}</div><p class=note>{note}</p>"


def _pair_section(title: str, pairs: Sequence[Pair], note: str) -> list[str]:
    if not pairs:
        return []
    figures = []
    for pair in pairs:
        both = [pair.picture[None], pair.nearest[None]]
        sheet = mosaic(_join(both), 2, scale=1)
        image = _pixels(sheet, tile_scale(pair.picture.shape[1]), pair.caption)
        figures.append(f"<figure>{image}<figcaption>{escape(pair.caption)}</figcaption></figure>")
    head = f"<h2>{escape(title)}</h2>" + (f"<p class=note>{escape(note)}</p>" if note else "")
    return [f"{head}<div class=pairs>{''.join(figures)}</div>"]


def _join(pictures: Sequence[Pictures]) -> Pictures:
    import numpy as np

    return np.concatenate(pictures)


def _pixels(sheet: Pictures, scale: int, alt: str) -> str:
    """Stored at its own size and enlarged by the browser, which keeps the file small."""
    content, kind = png_bytes(sheet), "png"
    if len(content) > _JPEG_ABOVE:
        content, kind = _jpeg(sheet), "jpeg"
    width = sheet.shape[1] * scale
    return f'<img class=pixels width={width} alt="{escape(alt, True)}" src="{_uri(content, kind)}">'


def _jpeg(sheet: Pictures) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _footer(result: Mapping[str, Any]) -> str:
    generated, real = result["generated"], result["real"]
    facts = [
        f"Generated: {generated['source']}",
        *([f"checkpoint sha256 {generated['digest'][:12]}, {generated['images']} images seen"]
          if generated.get("digest") else []),
        f"Real: {real['source']}",
        f"seed {result['seed']}",
        f"galgen {result['version']}",
    ]  # fmt: skip
    return f"<p class=note>{escape(' · '.join(facts))}</p>"
