"""Axes, points, bars and lines of the report's diagrams, as SVG that styles of the page colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """A rectangle for data inside a drawing.

    Attributes
    ----------
    left, top, width, height
        In units of the drawing.
    x, y
        Limits of the data; y upwards.
    """

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, values: Any) -> Any:
        """Data to horizontal positions."""
        return self.left + (values - self.x[0]) / (self.x[1] - self.x[0]) * self.width

    def down(self, values: Any) -> Any:
        """Data to vertical positions."""
        return self.top + (self.y[1] - values) / (self.y[1] - self.y[0]) * self.height

    def axes(self, x_label: str = "", y_label: str = "", *, y_ticks: bool = True) -> str:
        """Lines at the bottom and the left with ticks, and their labels."""
        bottom, right = self.top + self.height, self.left + self.width
        parts = [f'<path class="axis" d="M{self.left:g} {bottom:g}H{right:g}"/>']
        for value, text in ticks(*self.x, most=max(3, int(self.width // 75))):
            at = self.across(value)
            parts.append(f'<path class="axis" d="M{at:.1f} {bottom:g}v5"/>')
            parts.append(
                f'<text x="{at:.1f}" y="{bottom + 19:g}" text-anchor="middle">{text}</text>'
            )
        if y_ticks:
            parts.append(f'<path class="axis" d="M{self.left:g} {self.top:g}V{bottom:g}"/>')
            for value, text in ticks(*self.y, most=max(3, int(self.height // 45))):
                at = self.down(value)
                parts.append(f'<path class="axis" d="M{self.left:g} {at:.1f}h-5"/>')
                at_text = f'x="{self.left - 9:g}" y="{at + 4.5:.1f}"'
                parts.append(f'<text {at_text} text-anchor="end">{text}</text>')
        if x_label:
            parts.append(
                f'<text class="label" x="{self.left + self.width / 2:g}" y="{bottom + 40:g}" '
                f'text-anchor="middle">{escape(x_label)}</text>'
            )
        if y_label:
            x, y = self.left - 48, self.top + self.height / 2
            parts.append(
                f'<text class="label" transform="translate({x:g} {y:g}) rotate(-90)" '
                f'text-anchor="middle">{escape(y_label)}</text>'
            )
        return "".join(parts)

    def line(self, x: Numbers, y: Numbers, kind: str) -> str:
        """A line through points, of the class `kind`."""
        return f'<path class="{kind}" d="{_path(self.across(x), self.down(y))}"/>'

    def band(self, x: Numbers, low: Numbers, high: Numbers, kind: str) -> str:
        """The area between two lines."""
        there = _path(self.across(x), self.down(high))
        back = _path(self.across(x[::-1]), self.down(low[::-1]))
        return f'<path class="{kind}" d="{there}L{back[1:]}Z"/>'

    def steps(self, edges: Numbers, heights: Numbers, kind: str) -> str:
        """The outline of a histogram down to the axis."""
        x = np.repeat(edges, 2)
        y = np.concatenate([[self.y[0]], np.repeat(heights, 2), [self.y[0]]])
        return self.line(x, y, kind)

    def points(self, x: Numbers, y: Numbers, rows: Iterable[int], radius: float = 3.5) -> str:
        """Dots (N,); a dot beyond the axes is drawn hollow on their rim. `rows` are told by data-k.

        Those that are not finite are left out.
        """
        drawn = []
        for a, b, row in zip(x, y, rows, strict=True):
            if not (math.isfinite(a) and math.isfinite(b)):
                continue
            inside = self.x[0] <= a <= self.x[1] and self.y[0] <= b <= self.y[1]
            left = self.across(min(max(a, self.x[0]), self.x[1]))
            top = self.down(min(max(b, self.y[0]), self.y[1]))
            rim = "" if inside else ' class="rim"'
            drawn.append(
                f'<circle data-k="{row}" cx="{left:.1f}" cy="{top:.1f}" r="{radius:g}"{rim}/>'
            )
        return "".join(drawn)


def group(kind: str, number: int, content: str) -> str:
    """Marks of one set: `kind` and the number of the set are its classes."""
    return f'<g class="{kind} s{number}" data-set="{number}">{content}</g>'


def drawing(width: float, height: float, content: str, label: str, kind: str = "") -> str:
    """An SVG; `label` tells those who cannot see it what it shows."""
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(label, True)}">{content}</svg>'
    )


def ticks(low: float, high: float, most: int = 6) -> list[tuple[float, str]]:
    """Round numbers within limits, as few as `most`, with their texts.

    >>> [text for _, text in ticks(0.02, 1.03, 5)]
    ['0.2', '0.4', '0.6', '0.8', '1.0']
    """
    span = high - low
    for exponent in range(math.floor(math.log10(span)) - 2, math.floor(math.log10(span)) + 2):
        for factor in (1.0, 2.0, 2.5, 5.0):
            step = factor * 10.0**exponent
            first = math.ceil(low / step - 1e-9)
            last = math.floor(high / step + 1e-9)
            if last - first + 1 <= most:
                places = max(0, -exponent + (1 if factor == 2.5 else 0))
                values = [k * step for k in range(first, last + 1)]
                return [(v, _text(v, places)) for v in values]
    return []


def _text(value: float, places: int) -> str:
    text = f"{value:.{places}f}" if places < 6 else f"{value:.3g}"
    zero = not text.strip("-0.")
    return text.lstrip("-") if zero else text.replace("-", "\N{MINUS SIGN}")


def limits(values: Sequence[Numbers], low: float = 0.5, rim: float = 0.05) -> tuple[float, float]:
    """Where most of several sets of numbers lie: percentiles `low` and 100 - `low`, and a rim."""
    every = np.concatenate([v[np.isfinite(v)] for v in values])
    if not every.size:
        return 0.0, 1.0
    start, end = (float(q) for q in np.percentile(every, (low, 100 - low)))
    more = rim * (end - start) or 0.5 * max(abs(start), 1.0)
    return start - more, end + more


def _path(x: Numbers, y: Numbers) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
