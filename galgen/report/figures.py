"""Diagrams whose points are galaxies (colours, properties, requests), and power spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.metrics.colour_magnitude import Box
from galgen.report import svg
from galgen.report.galaxies import Album
from galgen.report.reading import signed
from galgen.report.svg import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.metrics.conditional import Following

#: Dots of a strip, a set; more would cover each other.
_STRIP = 150
_BINS = 28
#: Golden ratio: neighbours in a strip get different heights.
_JITTER = 0.61803398875


@dataclass(frozen=True)
class Figure:
    """A drawing with its title and what to know about it.

    Attributes
    ----------
    title
        Above it.
    drawing
        SVG.
    caption
        Below it.
    galaxies
        Whether its points can be looked at.
    """

    title: str
    drawing: str
    caption: str = ""
    galaxies: bool = True


def colour_magnitude(
    albums: Sequence[Album],
    points: Sequence[NDArray[np.float64]],
    box: Box,
    labels: tuple[str, str],
    caption: str,
) -> Figure:
    """The colour-magnitude diagram of sets, `points` (N, 2) of each.

    Bright galaxies are to the left. The axes span most of the sets and the box, and at most three
    times the box; dots of galaxies beyond lie on the rim.
    """
    ends = []
    for k in (0, 1):
        low, high = svg.limits([p[:, k] for p in points])
        half = max(box.half_width[k], 1e-3)
        ends.append((
            max(min(low, box.centre[k] - 1.15 * half), box.centre[k] - 3 * half),
            min(max(high, box.centre[k] + 1.15 * half), box.centre[k] + 3 * half),
        ))  # fmt: skip
    frame = Frame(70, 14, 560, 350, *ends)
    corners = [(c - w, c + w) for c, w in zip(box.centre, box.half_width, strict=True)]
    x = np.array([corners[0][k] for k in (0, 1, 1, 0, 0)])
    y = np.array([corners[1][k] for k in (0, 0, 1, 1, 0)])
    dots = [
        svg.group("points", k, frame.points(p[a.rows, 0], p[a.rows, 1], range(len(a.rows)), 4))
        for k, (a, p) in enumerate(zip(albums, points, strict=True))
    ]
    missing = [int((~np.isfinite(p).all(axis=1)).sum()) for p in points]
    told = [
        f"{a.title}: {len(a.rows)} of {len(p)} shown" + (f", {lost} not measured" if lost else "")
        for a, p, lost in zip(albums, points, missing, strict=True)
    ]
    content = frame.axes(*labels) + frame.line(x, y, "box") + "".join(dots)
    return Figure(
        "Colour and magnitude",
        svg.drawing(650, 420, content, "Colour-magnitude diagram", "large"),
        f"{caption} Hollow dots lie beyond the axes. {'; '.join(told)}.",
    )


def histogram(
    label: str,
    values: Sequence[NDArray[Any]],
    shown: Sequence[Album | None],
    names: Sequence[str],
    note: str = "",
) -> Figure:
    """Histograms of one number in several sets, with a strip of galaxies of each below.

    Each is normalised to 1 and all are binned alike, between the 0.5th and 99.5th
    percentiles of all. A set without an album (None) has no strip.
    """
    ends = svg.limits(values, rim=0.02)
    fewest = min(int(np.isfinite(v).sum()) for v in values)
    edges = np.linspace(*ends, int(np.clip(2 * fewest**0.5, 8, _BINS)) + 1)
    shares = []
    for v in values:
        good = v[np.isfinite(v)]
        shares.append(np.histogram(good, edges)[0] / max(1, good.size))
    top = max((float(share.max()) for share in shares), default=0.0) or 1.0
    frame = Frame(12, 6, 296, 92, ends, (0.0, 1.05 * top))
    strips = [k for k, a in enumerate(shown) if a is not None]
    bars = [
        svg.group("bars", k, frame.steps(edges, share, "bar")) for k, share in enumerate(shares)
    ]
    content = "".join(bars)
    height = 98.0
    for k in strips:
        a = shown[k]
        assert a is not None
        rows = np.arange(len(a.rows))[:: -(-len(a.rows) // _STRIP)]
        strip = Frame(12, height + 5, 296, 14, ends, (0.0, 1.0))
        levels = (rows * _JITTER) % 1
        content += svg.group("points", k, strip.points(values[k][a.rows[rows]], levels, rows, 2.6))
        height += 22
    axis = Frame(12, height - 4, 296, 6, ends, (0.0, 1.0))
    content += axis.axes(y_ticks=False)
    lost = [int((~np.isfinite(v)).sum()) for v in values]
    tail = ""
    if any(lost):
        parts = [f"{n} {name}" for n, name in zip(lost, names, strict=True) if n]
        tail = f"not measured: {', '.join(parts)}"
    caption = "; ".join(part for part in (note, tail) if part)
    return Figure(label, svg.drawing(320, height + 26, content, f"Histogram of {label}"), caption)


def following(
    name: str, pair: Following, albums: Sequence[Album], number: int = 1, whose: str = ""
) -> Figure:
    """One number as it was asked for and as it was measured; the line is where they are equal.

    `number` is the generated set's place among the albums, `whose` its name where there are two.
    """
    sets = ((0, pair.real, pair.real_measured), (number, pair.fake, pair.fake_measured))
    known = [(k, x, y) for k, x, y in sets if x is not None and y is not None]
    finite = [v[np.isfinite(x) & np.isfinite(y)] for _, x, y in known for v in (x, y)]
    ends = svg.limits(finite, 1.0, 0.1)
    frame = Frame(62, 10, 250, 230, ends, ends)
    content = frame.axes("asked for", "measured") + frame.line(
        np.array(ends), np.array(ends), "box"
    )
    for k, x, y in known:
        rows = albums[k].rows
        content += svg.group("points", k, frame.points(x[rows], y[rows], range(len(rows)), 3))
    unit = f" ({pair.unit})" if pair.unit else ""
    side = f", {whose}" if whose else ""
    return Figure(
        f"{name}{unit}{side}", svg.drawing(324, 290, content, f"{name}, asked for and measured")
    )


def spectra(names: Sequence[str], rows: Sequence[NDArray[Any]]) -> Figure:
    """Median and 16 to 84 % of log10 power (N, rings) by ring, and the median's difference."""
    bands = [np.nanpercentile(r, (16, 50, 84), axis=0) for r in rows]
    rings = np.arange(bands[0].shape[1], dtype=np.float64)
    x_ends = (float(rings[0]), float(max(rings[-1], 1.0)))
    low, high = svg.limits([b.ravel() for b in bands], 0, 0.04)
    upper = Frame(70, 12, 560, 230, x_ends, (low, high))
    away = [b - bands[0][1] for b in bands]
    most = max(0.05, 1.1 * max(float(np.abs(a[1]).max()) for a in away))
    most = max(most, 1.05 * float(np.abs(away[0]).max())) if most < 1 else most
    lower = Frame(70, 262, 560, 110, x_ends, (-most, most))
    content = upper.axes("", "log10 amplitude") + lower.axes(
        "cycles across the image", "difference (dex)"
    )
    for k, (band, gap) in enumerate(zip(bands, away, strict=True)):
        content += svg.group(
            "lines",
            k,
            upper.band(rings, band[0], band[2], "area")
            + upper.line(rings, band[1], "curve")
            + (_clipped(lower, rings, gap) if k == 0 else "")
            + lower.line(rings, gap[1], "curve"),
        )
    told = ", ".join(names)
    return Figure(
        "Power spectra",
        svg.drawing(650, 428, content, f"Power spectra: {told}", "large"),
        "Amplitude of the Fourier transform in rings, mean over the bands (at 0 the mean of the "
        "image). Median over galaxies, and the band that holds 16 to 84 % of them; below, how far "
        "medians lie from that of real galaxies, whose own band is drawn again.",
        galaxies=False,
    )


def _clipped(frame: Frame, x: NDArray[Any], band: NDArray[Any]) -> str:
    low, high = (np.clip(edge, *frame.y) for edge in (band[0], band[2]))
    return frame.band(x, low, high, "area")


def property_note(metrics: Mapping[str, Any], name: str) -> str:
    """The distance of one measured property, in a few words; empty where it has none."""
    key = "magnitude" if name == "absolute_magnitude" else name
    for found in (f"wasserstein_{name}", f"wasserstein_{key}"):
        score = metrics.get(found)
        if score is not None and score["value"] is not None:
            z = "" if score["z"] is None else f", z {signed(score['z'])}"
            return f"distance {score['value']:.2g}, floor {score['floor']:.2g}{z}"
    return ""
