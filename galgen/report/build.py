"""From a judgement to the pictures and diagrams of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.bandorder import colour_pair, reference_band
from galgen.metrics.comparison import Comparison, Judgement
from galgen.metrics.nearest import Nearest, orient
from galgen.report.diagrams import colour_magnitude_png, following_png, histograms_png
from galgen.report.html import Pair, Report, grid_columns
from galgen.report.pictures import composite, tile_scale
from galgen.report.strips import table

if TYPE_CHECKING:
    from galgen.report.pictures import Pictures

_PIXELS = 48 * 64 * 64
_PAIRS = 12


def build(sets: Comparison, judged: Judgement, result: Mapping[str, Any]) -> Report:
    """Everything that `render` puts on the page.

    The grids show the first generated galaxies and real ones spread evenly over the set,
    as many as keep the file small.
    """
    most = int(np.clip(_PIXELS // sets.spec.size**2, 8, 48))
    shown = min(most, len(sets.fake), len(sets.real))
    columns = grid_columns(sets.spec.size)
    shown = shown // columns * columns or shown
    step = max(1, len(sets.real) // shown)
    return Report(
        result=result,
        real=_draw(sets, sets.real[::step][:shown]),
        fake=_draw(sets, sets.fake[:shown]),
        diagrams=_diagrams(sets, judged),
        pairs=_pairs(sets, sets.fake, judged.fake_nearest, "galaxy", None),
        comparison=_pairs(sets, sets.held, judged.held_nearest, "galaxy", sets.held_names),
        sheets=_class_sheets(sets),
    )


def _draw(sets: Comparison, flux: Tensor) -> Pictures:
    return composite(flux, sets.spec, sets.stretch)


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


def _diagrams(sets: Comparison, judged: Judgement) -> list[tuple[str, bytes, str]]:
    labels = axis_labels(sets.spec, judged.absolute)
    diagrams = []
    if judged.box is not None and judged.real_points is not None:
        assert judged.fake_points is not None
        png = colour_magnitude_png(judged.real_points, judged.fake_points, judged.box, labels)
        caption = (
            "The box is median ± 1.75 sigma of the real set (sigma: half the 15.87 % to 84.13 % "
            "range). For an uncorrelated Gaussian pair 84.6 % lie inside, not 100 %. "
            "Galaxies without a detection count as outside."
        )
        if judged.absolute:
            caption += " Absolute magnitudes: Planck18, no K-correction."
        diagrams.append(("Colour-magnitude diagram", png, caption))
    pairs = (judged.real_columns, judged.fake_columns)
    names = {"magnitude": labels[0], "r_half": "half-light radius (px)", "ellipticity": "1 − b/a"}
    panels = {label: (pairs[0][name], pairs[1][name]) for name, label in names.items()}
    if judged.fake_nearest is not None and judged.held_nearest is not None:
        distances = (judged.held_nearest.distance, judged.fake_nearest.distance)
        logs = [np.log10(np.maximum(d.numpy(), 1e-12)) for d in distances]
        panels["log distance to training set"] = (logs[0], logs[1])
    detected = judged.details["colour_magnitude"]["detected"]
    caption = (
        f"Central source of each image, normalised to 1: detected in {detected['generated']:.1%} "
        f"of the generated and {detected['real']:.1%} of the real images. In the last panel "
        "'real' are galaxies not trained on."
    )
    diagrams.append(("Measured properties", histograms_png(panels), caption))
    if judged.following:
        caption = "The line is where what was measured is what was asked for."
        if any(pair.real is not None for pair in judged.following.values()):
            caption += " Of real galaxies: what their catalogue says, and what is measured on them."
        png = following_png(judged.following)
        diagrams.append(("Numbers asked for and measured, galaxy by galaxy", png, caption))
    return diagrams


def _class_sheets(sets: Comparison) -> list[tuple[Pictures, str]]:
    """Real and generated galaxies, a class a row."""
    if sets.asked is None or not sets.asked.classes:
        return []
    asked, columns = sets.asked, grid_columns(sets.spec.size)
    sheets = []
    for flux, labels, caption in (
        (sets.real, asked.real_labels, "real"),
        (sets.fake, asked.fake_labels, "generated, by the class asked for"),
    ):
        rows = {name: np.flatnonzero(labels == k)[:columns] for k, name in enumerate(asked.classes)}
        rows = {name: members for name, members in rows.items() if len(members)}
        if not rows:
            continue
        size = sets.spec.size
        pictures = np.full((len(rows), columns, size, size, 3), 40, dtype=np.uint8)
        for place, members in enumerate(rows.values()):
            pictures[place, : len(members)] = _draw(sets, flux[members])
        sheets.append((table(pictures, tuple(rows), scale=tile_scale(size)), caption))
    return sheets


def _pairs(
    sets: Comparison,
    queries: Tensor,
    found: Nearest | None,
    what: str,
    names: Sequence[str] | None,
) -> list[Pair]:
    """The pairs that lie closest, with the training image turned as it fits best."""
    if found is None:
        return []
    closest = found.distance.argsort()[:_PAIRS].tolist()
    wanted = _take(sets, [int(found.index[k]) for k in closest])
    turned = [
        orient(image, int(found.orientation[k])) for image, k in zip(wanted, closest, strict=True)
    ]
    pictures = _draw(sets, queries[closest])
    others = _draw(sets, torch.stack(turned))
    captions = [
        f"{what} {k if names is None else names[k]} and {sets.train_names[int(found.index[k])]}: "
        f"{float(found.distance[k]):.3g}"
        for k in closest
    ]
    return [Pair(*parts) for parts in zip(pictures, others, captions, strict=True)]


def _take(sets: Comparison, rows: Sequence[int]) -> list[Tensor]:
    """Training images by row, in one pass over the blocks."""
    found: dict[int, Tensor] = {}
    start = 0
    for block in sets.train():
        for row in rows:
            if start <= row < start + len(block):
                found[row] = block[row - start]
        start += len(block)
        if len(found) == len(set(rows)):
            break
    return [found[row] for row in rows]
