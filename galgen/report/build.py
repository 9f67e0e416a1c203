"""From a judgement to the pictures and diagrams of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.bands import ImageSpec
from galgen.measure.bandorder import colour_pair, reference_band
from galgen.measure.photometry import COSMOLOGY
from galgen.report import figures, pairs, versus
from galgen.report.encode import uri_within
from galgen.report.figures import Figure
from galgen.report.galaxies import Album, album, labels, properties, spread
from galgen.report.html import Report, Sheet
from galgen.report.pictures import composite, mosaic, tile_scale
from galgen.report.strips import GREY, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.metrics.comparison import Comparison, Judgement
    from galgen.metrics.images import Images
    from galgen.report.pictures import Pictures
    from galgen.stretch import Stretch

#: Characters of the page for thumbnails, grids, sheets of classes and pairs, in all.
_THUMBNAILS, _GRIDS, _CLASSES, _PAIRS = 1_700_000, 1_100_000, 500_000, 600_000
_PIXELS = 48 * 64 * 64

#: A generator's sets and what was found.
Side = tuple["Comparison", "Judgement"]


def build(
    sets: Comparison, judged: Judgement, result: Mapping[str, Any], other: Side | None = None
) -> Report:
    """Everything that `render` puts on the page; with `other`, of two generators.

    The grids show the first generated galaxies and real ones spread evenly over the set, as many
    as keep the file small.
    """
    sides = [(sets, judged)] + ([other] if other is not None else [])
    names = versus.names(result) if other is not None else ("generated",)
    albums = _albums(sides, names)
    band = sets.spec.bands[reference_band(sets.spec.bands)]
    shown = properties(albums, band)
    axes = axis_labels(sets.spec, judged.absolute)
    named = labels(shown, band, axes[1])
    spectra = [judged.real.spectra, *(found.fake.spectra for _, found in sides)]
    copies = [
        (s, j.copying, a)
        for (s, j), a in zip(sides, albums[1:], strict=True)
        if j.copying is not None
    ]
    titles = [a.title for a in albums]
    return Report(
        result=result,
        albums=albums,
        labels=named,
        grids=_grids(sides, titles),
        sheets=_class_sheets(sides, names),
        colours=_colours(sides, albums, axes),
        properties=_properties(sides, albums, named, result),
        asked=_asked(sides, albums),
        spectra=_spectra(titles, spectra),
        spaces=pairs.spaces(copies, sets.stretch, _PAIRS) if copies else (),
    )


def axis_labels(spec: ImageSpec, absolute: bool) -> tuple[str, str]:
    """Labels of the colour-magnitude diagram."""
    band = spec.bands[reference_band(spec.bands)]
    known = spec.photometric and spec.zero_points[reference_band(spec.bands)] is not None
    if absolute:
        label = f"absolute {band} magnitude"
    else:
        label = f"{band} magnitude ({'AB' if known else 'instrumental'})"
    pair = colour_pair(spec.bands)
    colour = "" if pair is None else " \N{MINUS SIGN} ".join(spec.bands[c] for c in pair)
    return label, colour


def _albums(sides: Sequence[Side], names: Sequence[str]) -> list[Album]:
    sets, judged = sides[0]
    most = _THUMBNAILS // (len(sides) + 1)
    made = [album("real", sets.real, judged.real, sets.spec, sets.stretch, most)]
    for (own, found), name in zip(sides, names, strict=True):
        made.append(album(name, own.fake, found.fake, sets.spec, sets.stretch, most))
    return made


def _grids(sides: Sequence[Side], titles: Sequence[str]) -> list[Sheet]:
    sets = sides[0][0]
    fewest = min(len(sets.real), *(len(own.fake) for own, _ in sides))
    shown = min(int(np.clip(_PIXELS // sets.spec.size**2, 8, 48)), fewest)
    across = grid_columns(sets.spec.size)
    shown = shown // across * across or shown
    sheets = []
    for k, (images, title) in enumerate(
        zip([sets.real, *(own.fake for own, _ in sides)], titles, strict=True)
    ):
        rows = spread(len(images), shown) if k == 0 else np.arange(shown)
        sheet = mosaic(_draw(sets, images, rows, sets.stretch), across, scale=1)
        sheets.append(_sheet(sheet, title, _GRIDS // len(titles), tile_scale(sets.spec.size)))
    return sheets


def grid_columns(size: int) -> int:
    """Galaxies per row of the page's grids, by side length in pixels."""
    return 8 if size <= 64 else 4


def _sheet(picture: Pictures, caption: str, most: int, scale: int = 1) -> Sheet:
    """Stored at its own size and enlarged by the browser, which keeps the file small."""
    return Sheet(uri_within(picture, most), picture.shape[1] * scale, caption)


def _draw(
    sets: Comparison, images: Images, rows: Sequence[int] | NDArray[np.int64], stretch: Stretch
) -> Pictures:
    return composite(images.read(rows), sets.spec, stretch)


def _colours(
    sides: Sequence[Side], albums: Sequence[Album], axes: tuple[str, str]
) -> Figure | None:
    judged = sides[0][1]
    points = [judged.real_points, *(found.fake_points for _, found in sides)]
    known = [p for p in points if p is not None]
    if judged.box is None or len(known) < len(points):
        return None
    caption = (
        "The box is median ± 1.75 sigma of the real set (sigma: half the 15.87 % to 84.13 % "
        "range). For an uncorrelated Gaussian pair 84.6 % lie inside, not 100 %. "
        "Galaxies without a detection count as outside."
    )
    if judged.absolute:
        caption += f" Absolute magnitudes: {COSMOLOGY}, no K-correction."
    return figures.colour_magnitude(albums, known, judged.box, axes, caption)


def _properties(
    sides: Sequence[Side],
    albums: Sequence[Album],
    named: Mapping[str, str],
    result: Mapping[str, Any],
) -> list[Figure]:
    """A histogram for each; of magnitudes the absolute one, where there is one."""
    found = []
    titles = [a.title for a in albums]
    for name, label in named.items():
        apparent = name == "magnitude" and "absolute_magnitude" in named
        if apparent or name.startswith("mag_"):
            continue
        values = [np.asarray(a.survey.columns[name], dtype=np.float64) for a in albums]
        if not any(np.isfinite(v).any() for v in values):
            continue
        notes = [figures.property_note(side["metrics"], name) for side in _results(result)]
        if len(notes) > 1:
            notes = [
                f"{a.title}: {note}" for a, note in zip(albums[1:], notes, strict=True) if note
            ]
        note = "; ".join(n for n in notes if n)
        found.append(figures.histogram(label, values, albums, titles, note))
    return found


def _results(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [result, *([result["against"]] if "against" in result else [])]


def _asked(sides: Sequence[Side], albums: Sequence[Album]) -> list[Figure]:
    """Numbers asked for and measured, of each generator by itself."""
    return [
        figures.following(
            name, pair, albums, k + 1, albums[k + 1].title if k or len(sides) > 1 else ""
        )
        for k, (_, found) in enumerate(sides)
        for name, pair in found.following.items()
    ]


def _spectra(titles: Sequence[str], rows: Sequence[Any]) -> Figure | None:
    known = [r for r in rows if r is not None and len(r)]
    return figures.spectra(titles, known) if len(known) == len(rows) else None


def _class_sheets(sides: Sequence[Side], names: Sequence[str]) -> list[Sheet]:
    """Real and generated galaxies, a class a row."""
    sets = sides[0][0]
    wanted = []
    if sets.asked is not None:
        wanted.append((sets.real, sets.asked.real_labels, sets.asked.classes, "real"))
    for (own, _), name in zip(sides, names, strict=True):
        if own.asked is not None:
            caption = f"{name}, by the class asked for"
            wanted.append((own.fake, own.asked.fake_labels, own.asked.classes, caption))
    size, across, sheets = sets.spec.size, grid_columns(sets.spec.size), []
    for images, classes_of, classes, caption in wanted:
        rows = {name: np.flatnonzero(classes_of == k)[:across] for k, name in enumerate(classes)}
        rows = {name: members for name, members in rows.items() if len(members)}
        if not rows:
            continue
        pictures = np.full((len(rows), across, size, size, 3), GREY, dtype=np.uint8)
        for place, members in enumerate(rows.values()):
            pictures[place, : len(members)] = _draw(sets, images, members, sets.stretch)
        sheet = table(pictures, tuple(rows), scale=tile_scale(size))
        sheets.append(_sheet(sheet, caption, _CLASSES // len(wanted)))
    return sheets
