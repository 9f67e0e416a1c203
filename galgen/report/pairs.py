"""Nearest training images, space by space: distances, and the pairs that lie closest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.metrics import nearest
from galgen.metrics.images import Images
from galgen.report.encode import uri_within
from galgen.report.figures import Figure, histogram
from galgen.report.galaxies import Album
from galgen.report.names import capital, in_space
from galgen.report.pictures import composite

if TYPE_CHECKING:
    from galgen.metrics.comparison import Comparison
    from galgen.metrics.entries import Copying
    from galgen.report.pictures import Pictures
    from galgen.stretch import Stretch

#: Pairs of each set in each space.
_PAIRS = 8
#: Side that larger galaxies are shrunk to, before they are turned.
_SIDE = 64
_GAP = 2


@dataclass(frozen=True)
class Row:
    """The closest pairs of one set: address of a picture and caption of each."""

    title: str
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Space:
    """What is shown of one space."""

    name: str
    distances: Figure
    rows: Sequence[Row]


def spaces(
    sides: Sequence[tuple[Comparison, Copying, Album]], stretch: Stretch, most: int
) -> list[Space]:
    """Every space of the first generator's audit; `most` characters for all pictures.

    `sides` are one or two generators, with the albums of their generated galaxies.
    """
    sets, copying, _ = sides[0]
    pictures = len(copying.fake) * (len(sides) + 1) * _PAIRS
    each = most // max(1, pictures)
    found = []
    for name, held in copying.held.items():
        there = [(s, c, a) for s, c, a in sides if name in c.fake]
        rows = [Row(a.title, _closest(s, s.fake, c.fake[name], stretch, each)) for s, c, a in there]
        rows.append(Row("real, not trained on", _closest(sets, sets.held, held, stretch, each)))
        values = [held.distance, *(c.fake[name].distance for _, c, _ in there)]
        figure = histogram(
            capital(in_space(name)),
            values,
            [None, *(a for _, _, a in there)],
            ["held out", *(a.title for _, _, a in there)],
        )
        found.append(Space(name, figure, rows))
    return found


def _closest(
    sets: Comparison, images: Images, found: nearest.Nearest, stretch: Stretch, most: int
) -> list[tuple[str, str]]:
    """The pairs that lie closest, each with the training image turned as it fits."""
    order = np.argsort(found.distance)[: int(np.isfinite(found.distance).sum())][:_PAIRS].tolist()
    if not order:
        return []
    others = found.index[order]
    queries, matches = (_small(flux) for flux in (images.read(order), sets.train.read(others)))
    both = zip(matches, queries, strict=True)
    matches = torch.stack([nearest.turn_to_match(match, query) for match, query in both])
    left, right = (composite(flux, sets.spec, stretch) for flux in (queries, matches))
    drawn = []
    for k, row in enumerate(order):
        name = images.name(row) if images.names else f"galaxy {row}"
        caption = f"{name} | {sets.train.name(int(others[k]))}: {found.distance[row]:.2f}"
        drawn.append((uri_within(_beside(left[k], right[k]), most), caption))
    return drawn


def _small(flux: Tensor) -> Tensor:
    return flux if flux.shape[-1] <= _SIDE else F.adaptive_avg_pool2d(torch.nan_to_num(flux), _SIDE)


def _beside(left: Pictures, right: Pictures) -> Pictures:
    gap = np.full((left.shape[0], _GAP, 3), 128, dtype=np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def section(row: Row) -> str:
    """HTML of a row of pairs."""
    if not row.pairs:
        return ""
    figures = [
        f'<figure><img class=pixels alt="{escape(caption, True)}" src="{uri}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for uri, caption in row.pairs
    ]
    return f"<h4>{escape(row.title)}</h4><div class=pairs>{''.join(figures)}</div>"
