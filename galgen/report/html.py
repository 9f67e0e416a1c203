"""The report: one HTML file with everything inside, readable without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from galgen.report import copying, pairs, versus
from galgen.report.asked import sentences
from galgen.report.conditional import section
from galgen.report.figures import Figure
from galgen.report.galaxies import Album, data
from galgen.report.names import QUESTIONS, capital, in_space
from galgen.report.scores import table
from galgen.report.verdict import WORDS, details, questions

#: Nothing may be loaded: what is not in the file is not there.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class Sheet:
    """A picture with what it shows and the width in pixels that it is drawn at."""

    uri: str
    width: int
    caption: str


@dataclass
class Report:
    """What the page shows beside the numbers.

    Attributes
    ----------
    result
        Content of evaluation.json.
    albums
        Galaxies behind the points: real, generated, and those of a second generator.
    labels
        Measured property to its label.
    grids
        Real and generated galaxies under one stretch.
    sheets
        The same with a class a row.
    colours
        The colour-magnitude diagram.
    properties
        A histogram for each measured property.
    asked
        What was asked for and measured.
    spectra
        Power spectra.
    spaces
        Nearest training images.
    """

    result: Mapping[str, Any]
    albums: Sequence[Album]
    labels: Mapping[str, str] = field(default_factory=dict)
    grids: Sequence[Sheet] = ()
    sheets: Sequence[Sheet] = ()
    colours: Figure | None = None
    properties: Sequence[Figure] = ()
    asked: Sequence[Figure] = ()
    spectra: Figure | None = None
    spaces: Sequence[pairs.Space] = ()


def render(report: Report) -> str:
    """The page, without a reference to anything outside it."""
    result = report.result
    sections = [(name, title, body) for name, title, body in _sections(report) if body]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in sections)
    parts = [_head(result), _answers(result), f"<nav>{links}</nav>"]
    parts += [
        f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>'
        for name, title, body in sections
    ]
    parts += [_footer(result), *_interactive(report)]
    title = escape(f"{result['generated']['name']} against {result['real']['name']}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<title>{title}</title><link rel="icon" href="data:,"><style>{asset("report.css")}</style>'
        f"</head>\n<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


@cache
def asset(name: str) -> str:
    """A file that is shipped beside this one."""
    return (files("galgen.report") / "assets" / name).read_text(encoding="utf-8")


def _sections(report: Report) -> Iterable[tuple[str, str, str]]:
    """Name, title and content; those without content are left out."""
    result, legend = report.result, _legend(report.albums)
    notes = "".join(f"<p class=note>{escape(text)}</p>" for text in result["notes"])
    yield "scores", "Scores", table(result) + notes
    if report.grids:
        note = "<p class=note>All images of this page are under one fixed stretch.</p>"
        yield "galaxies", "Real and generated", _sheets(report.grids) + note
    colours = [report.colours] if report.colours is not None else []
    yield "colours", "Colour and magnitude", _figures(colours, legend, how=_HOW)
    yield "properties", "Measured properties", _figures(report.properties, legend, how=_HOW)
    spectrum = [report.spectra] if report.spectra is not None else []
    yield "spectra", "Power spectra", _figures(spectrum, legend)
    yield "copies", "Nearest training images", _copies(report, legend)
    asked = _conditions(result) + _figures(report.asked, legend, how=_ASKED)
    yield "asked", "What was asked for", asked
    yield "classes", "A class a row", _sheets(report.sheets, "tall") if report.sheets else ""


_HOW = (
    "Each dot is a galaxy: point at it to see it, click to keep it open, click a name above to "
    "hide its set. By keyboard: arrows, Enter and Escape."
)
_ASKED = (
    "The line is where what was measured is what was asked for; of real galaxies, what their "
    "catalogue says and what is measured on them."
)
_RELATIVE = (
    "Distance to the nearest training image over that to the tenth nearest: a copy is much nearer "
    "to one than to the next. Here 'real' are galaxies that were not trained on."
)
_PAIRS = (
    "Left the galaxy, right the training image nearest to it, turned as it fits; the pairs that "
    "lie closest, with their relative distance. A generator that copies has pairs that are the "
    "same galaxy; real galaxies that were not trained on show how alike two can be by chance."
)


def _conditions(result: Mapping[str, Any]) -> str:
    """Classes and numbers of one generator, or of two with their names above."""
    sides = [("", result)]
    if "against" in result:
        sides = list(zip(versus.names(result), (result, result["against"]), strict=True))
    parts = []
    for name, side in sides:
        told = [f"<p>{escape(text)}</p>" for text in sentences(side)]
        body = "".join([*told, *section(side)])
        parts.append(f"<h3>{escape(name)}</h3>{body}" if name and body else body)
    return "".join(parts)


def _head(result: Mapping[str, Any]) -> str:
    generated, real = result["generated"], result["real"]
    names, counts = escape(generated["name"]), f"{generated['n']:,} generated"
    if "against" in result:
        one, two = versus.names(result)
        names = f"{escape(one)} <small>and</small> {escape(two)}"
        counts = f"Twice {counts}"
    lead = (
        f"{counts} and {real['n']:,} real galaxies of {result['size']} px in "
        f"{', '.join(result['bands'])}."
    )
    against = "".join(f"<p class=against>{escape(s)}</p>" for s in versus.sentences(result))
    return (
        f"<header><h1>{names} <small>against</small> {escape(real['name'])}</h1>"
        f"<p class=lead>{escape(lead)}</p>{against}</header>"
    )


def _answers(result: Mapping[str, Any]) -> str:
    sides = [(result, "")]
    if "against" in result:
        one, two = versus.names(result)
        sides = [(result, one), (result["against"], two)]
    rows = []
    for side, name in sides:
        said = details(side)
        cards = []
        for key, answer in questions(side).items():
            more = "".join(f"<li>{escape(text)}</li>" for text in said[key])
            more = f"<details><summary>Details</summary><ul>{more}</ul></details>" if more else ""
            cards.append(
                f'<article class="{answer["answer"]}"><h2>{QUESTIONS[key]}</h2>'
                f"<span class=word>{WORDS[answer['answer']]}</span>"
                f"<p>{escape(answer['sentence'])}</p>{more}</article>"
            )
        title = f"<h3>{escape(name)}</h3>" if name else ""
        rows.append(f"{title}<div class=answers>{''.join(cards)}</div>")
    return "".join(rows)


def _legend(albums: Sequence[Album]) -> str:
    buttons = [
        f'<button type=button class="s{k}" data-set="{k}" aria-pressed="true">'
        f"{escape(a.title)}</button>"
        for k, a in enumerate(albums)
    ]
    return f"<div class=legend>{''.join(buttons)}</div>"


def _figures(figures: Sequence[Figure], legend: str, how: str = "") -> str:
    if not figures:
        return ""
    large = [f for f in figures if 'class="large"' in f.drawing]
    small = [f for f in figures if f not in large]
    body = "".join(_figure(f, large=True) for f in large)
    if small:
        body += f"<div class=panels>{''.join(map(_figure, small))}</div>"
    kind = "note how" if how is _HOW else "note"
    note = f'<p class="{kind}">{escape(how)}</p>' if how else ""
    return f"{legend}{body}{note}"


def _figure(figure: Figure, large: bool = False) -> str:
    kind = "plot" + (" galaxies" if figure.galaxies else "") + (" large" if large else "")
    title = "" if large else f"<h3>{escape(figure.title)}</h3>"
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    return f'<figure class="{kind}">{title}{figure.drawing}{caption}</figure>'


def _sheets(sheets: Sequence[Sheet], kind: str = "") -> str:
    figures = [
        f'<figure style="max-width:{sheet.width}px"><img class=pixels '
        f'alt="{escape(sheet.caption, True)}" src="{sheet.uri}">'
        f"<figcaption>{escape(sheet.caption)}</figcaption></figure>"
        for sheet in sheets
    ]
    return f'<div class="sheets {kind}">{"".join(figures)}</div>'


def _copies(report: Report, legend: str) -> str:
    if not report.spaces:
        return ""
    panels = _figures([space.distances for space in report.spaces], legend, how=_RELATIVE)
    parts = [panels, f"<p class=note>{escape(_PAIRS)}</p>"]
    told = copying.by_space(report.result["metrics"])
    for space in report.spaces:
        parts.append(f"<h3>{escape(capital(in_space(space.name)))}</h3>")
        if space.name in told:
            parts.append(f"<p class=note>{escape(told[space.name])}</p>")
        parts += [pairs.section(row) for row in space.rows]
    return "".join(parts)


def _interactive(report: Report) -> list[str]:
    """What shows galaxies: thumbnails, numbers and the script."""
    if not report.albums:
        return []
    numbers = data(report.albums, report.labels)
    return [
        *(f'<img id="sheet-{k}" alt="" hidden src="{a.sheet}">'
          for k, a in enumerate(report.albums)),
        '<div id="tip" role="status" aria-live="polite" hidden></div>',
        '<aside id="panel" aria-label="A galaxy" hidden></aside>',
        f'<script type="application/json" id="numbers">{numbers}</script>',
        f"<script>{asset('report.js')}</script>",
    ]  # fmt: skip


def _footer(result: Mapping[str, Any]) -> str:
    sides = [result["generated"]]
    if "against" in result:
        sides.append(result["against"]["generated"])
    facts = []
    for side in sides:
        facts.append(f"Generated: {side['source']}")
        if side.get("digest"):
            seen = f"{side['images']:,} images seen"
            facts.append(f"checkpoint sha256 {side['digest'][:12]}, {seen}")
    facts += [
        f"Real: {result['real']['source']}",
        f"seed {result['seed']}",
        f"galgen {result['version']}",
    ]
    return f"<footer class=note>{escape(' · '.join(facts))}</footer>"
