"""Diagrams of the report, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from galgen.metrics.colour_magnitude import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from galgen.metrics.conditional import Following

REAL, FAKE = "#4c6a88", "#c8553d"
_MAX_POINTS = 2000


def new_figure(width: float, height: float) -> Figure:
    """A figure in inches that no global state knows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """Its PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def tidy(axes: Axes) -> None:
    """Two spines and small numbers."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def colour_magnitude_png(
    real: NDArray[Any], fake: NDArray[Any], box: Box, labels: Sequence[str]
) -> bytes:
    """Points (N, 2) of magnitude and colour, real and generated, with the box; PNG bytes.

    Bright galaxies are to the left. The axes span twice the box, which stray points beyond
    would squeeze to nothing; those are counted in the corner.
    """
    from matplotlib.patches import Rectangle

    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    spans = [2.0 * max(w, 1e-3) for w in box.half_width]
    limits = [(c - s, c + s) for c, s in zip(box.centre, spans, strict=True)]
    stray = []
    for points, name, colour in ((real, "real", REAL), (fake, "generated", FAKE)):
        good = points[np.isfinite(points).all(axis=1)]
        inside = np.logical_and.reduce(
            [(good[:, k] >= low) & (good[:, k] <= high) for k, (low, high) in enumerate(limits)]
        )
        stray.append(f"{name}: {len(good) - int(inside.sum())} beyond the axes, "
                     f"{len(points) - len(good)} not measured")  # fmt: skip
        shown = good[inside][:_MAX_POINTS]
        axes.scatter(shown[:, 0], shown[:, 1], s=16, c=colour, alpha=0.55, lw=0, label=name)
    corner = [c - w for c, w in zip(box.centre, box.half_width, strict=True)]
    width, height = (2 * w for w in box.half_width)
    frame = Rectangle((corner[0], corner[1]), width, height, fill=False, ec="#222", lw=1.2)
    axes.add_patch(frame)
    axes.set(xlim=limits[0], ylim=limits[1], xlabel=labels[0], ylabel=labels[1])
    axes.text(0.99, 0.01, "\n".join(stray), transform=axes.transAxes, ha="right", va="bottom",
              fontsize=8, color="#444")  # fmt: skip
    axes.legend(frameon=False, loc="upper left")
    tidy(axes)
    return to_png(figure)


def histograms_png(panels: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> bytes:
    """One panel per property: label -> (real values, generated values); PNG bytes.

    Both are normalised to 1 and binned alike, between the 1st and 99th percentile of the two
    together; not-a-number is left out.
    """
    figure = new_figure(3.2 * len(panels), 2.7)
    for k, (label, (real, fake)) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), k + 1)
        values = [v[np.isfinite(v)] for v in (real, fake)]
        both = np.concatenate(values)
        if both.size:
            low, high = np.percentile(both, (1, 99))
            edges = np.linspace(low, high if high > low else low + 1, 25)
            for v, name, colour in zip(values, ("real", "generated"), (REAL, FAKE), strict=True):
                weights = np.full(v.shape, 1 / max(1, v.size))
                axes.hist(v, edges.tolist(), weights=weights, histtype="step", lw=1.6, color=colour,
                          label=name)  # fmt: skip
        axes.set_xlabel(label, fontsize=10)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        tidy(axes)
        if k == 0:
            axes.legend(frameon=False, fontsize=8)
    return to_png(figure)


def following_png(panels: Mapping[str, Following]) -> bytes:
    """One panel per number: measured over asked for, generated and real galaxies; PNG bytes.

    The line is where the two are equal. The axes span the 1st to the 99th percentile of both
    together and a tenth more, so that a few outliers squeeze nothing.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(3.3 * columns, 3.2 * rows)
    for k, (name, pair) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, k + 1)
        both = []
        for asked, measured, label, colour in (
            (pair.real, pair.real_measured, "real", REAL),
            (pair.fake, pair.fake_measured, "generated", FAKE),
        ):
            if asked is None or measured is None:
                continue
            good = np.isfinite(asked) & np.isfinite(measured)
            both += [asked[good], measured[good]]
            x, y = asked[good][:_MAX_POINTS], measured[good][:_MAX_POINTS]
            axes.scatter(x, y, s=9, c=colour, alpha=0.4, lw=0, label=label)
        values = np.concatenate(both)
        if values.size:
            low, high = np.percentile(values, (1, 99))
            rim = 0.1 * (high - low) or 1.0
            ends = (float(low - rim), float(high + rim))
            axes.plot(ends, ends, c="#222", lw=1)
            axes.set(xlim=ends, ylim=ends)
        unit = f" ({pair.unit})" if pair.unit else ""
        axes.set_xlabel(f"{name} asked for{unit}", fontsize=10)
        axes.set_ylabel("measured", fontsize=10)
        tidy(axes)
        if k == 0:
            legend = axes.legend(frameon=False, fontsize=8, loc="upper left", markerscale=2)
            for handle in legend.legend_handles:
                if handle is not None:
                    handle.set_alpha(1)
    return to_png(figure)
