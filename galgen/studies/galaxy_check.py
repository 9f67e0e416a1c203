"""What the network of the features `galaxy` knows of galaxies that it has not been shown."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from galgen.metrics.galaxy_network import GalaxyNetwork
from galgen.randomness import generator
from galgen.studies.galaxy_pool import COPIES, TRUTH, Pool
from galgen.studies.galaxy_tasks import DISTORTIONS, Heads, make_batch

_CHUNK = 128
_ROUNDS = 4


@torch.no_grad()
def check(
    network: GalaxyNetwork, heads: Heads, sets: Sequence[Pool], seed: int = 0
) -> dict[str, object]:
    """Measure the tasks on held-out galaxies.

    Returns
    -------
    dict
        ``classes``: for each labelled set the fraction of right answers by class, mean over
        classes last; ``distortions``: R2 of differences read from differences of features;
        ``truth``: R2 of the simulator's numbers; ``turns``: for each set the mean squared
        distance between turned views of one galaxy over that between different galaxies.
    """
    views, distortions = [], []
    found: dict[str, object] = {}
    classes: dict[str, dict[str, float]] = {}
    turns: dict[str, float] = {}
    truths: list[tuple[Tensor, Tensor]] = []
    for number, pool in enumerate(sets):
        rows = torch.nonzero(pool.held).flatten()
        if len(rows) < 2:
            continue
        copies = torch.stack([_features(network, pool.views[rows, k]) for k in range(COPIES)])
        turns[pool.name] = _turning(copies if pool.even else copies[1:])
        if pool.labels is not None:
            guess = heads.classes[number](copies[0]).argmax(1)
            classes[pool.name] = _by_class(guess, pool.labels[rows], pool.classes)
        if pool.truth is not None:
            truths.append((heads.truth(copies[0]), pool.truth[rows]))
        source = torch.full((len(rows),), number)
        for round_number in range(_ROUNDS):
            g = generator(seed, "galaxy check", number, round_number)
            batch = make_batch(sets, source, rows, g)
            first, third = (_features(network, batch.views[k]) for k in (0, 2))
            views.append(heads.difference(third - first))
            distortions.append(batch.distortions[1] - batch.distortions[0])
    found["classes"] = classes
    found["turns"] = turns
    if views:
        wanted = torch.cat(distortions)
        found["distortions"] = _explained(torch.cat(views), wanted, DISTORTIONS)
    if truths:
        guessed, true = (torch.cat(parts) for parts in zip(*truths, strict=True))
        found["truth"] = _explained(guessed, true, TRUTH)
    return found


def _features(network: GalaxyNetwork, planes: Tensor) -> Tensor:
    planes = planes.float() / 255 if planes.dtype == torch.uint8 else planes
    return torch.cat([network(part.contiguous()) for part in planes.split(_CHUNK)])


def _turning(copies: Tensor) -> float:
    """Spread over the turns of a galaxy, as a fraction of the spread over galaxies and turns."""
    within = copies.var(0).mean()
    total = copies.flatten(0, 1).var(0).mean()
    return round(float(within / total), 4)


def _by_class(guess: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, float]:
    right = {
        name: float((guess[labels == k] == k).float().mean())
        for k, name in enumerate(names)
        if bool((labels == k).any())
    }
    right["mean"] = sum(right.values()) / max(1, len(right))
    return {name: round(value, 3) for name, value in right.items()}


def _explained(found: Tensor, wanted: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Fraction of the variance that is explained, by name."""
    explained = {}
    for column, name in enumerate(names):
        known = ~wanted[:, column].isnan()
        if int(known.sum()) > 1:
            x, y = found[known, column], wanted[known, column]
            explained[name] = round(float(1 - (x - y).square().mean() / y.var()), 3)
    return explained
