"""What conditions pass in a network, carried from a checkpoint to a run with other ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from galgen.conditions import Conditions
from galgen.nn.condition import ENTRANCE, GUESS, PROJECTION, Branch, Embedding, Entrance, Guess

if TYPE_CHECKING:
    from galgen.checkpoint import TrainedModel
    from galgen.models.base import AdversarialModule


def places(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """Place of each new band or class among the old ones, by name, then without regard to case."""
    if tuple(old) == tuple(new):
        return list(range(len(old)))
    exact = {band: row for row, band in enumerate(old)}
    folded = {band.lower(): row for row, band in enumerate(old)}
    return [exact.get(band, folded.get(band.lower())) for band in new]


def pick(weight: Tensor, axis: int, rows: Sequence[int | None]) -> Tensor:
    """Rearrange a parameter along its axis of bands or classes; new ones take the mean."""
    mean = weight.mean(dim=axis, keepdim=True)
    parts = [mean if row is None else weight.narrow(axis, row, 1) for row in rows]
    return torch.cat(parts, dim=axis)


def of_conditions(name: str) -> bool:
    """True for parameters that conditions and codes pass, at any depth of a network."""
    return not {ENTRANCE, PROJECTION, GUESS}.isdisjoint(name.split("."))


@torch.no_grad()
def conditioned(
    source: TrainedModel, model: AdversarialModule, which: str, weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """State of what conditions pass in a network, from `weights` of the checkpoint's.

    A class keeps its vector by name, and a new one takes the mean of the old classes. Numbers are
    taken over if they are the same ones. What the checkpoint was not conditional on adds nothing at
    first, so that the network does what it did; what reads it in the critic starts afresh.
    """
    old, new = (dict(getattr(m, which).named_modules()) for m in (source.module, model))
    before, now = source.module.conditions, model.conditions
    state: dict[str, Tensor] = {}
    for place, module in new.items():
        if isinstance(module, Guess):
            state |= _read_over(place, old.get(place), module, weights, (before, now))
        if isinstance(module, Entrance) and module.categories is not None:
            name = f"{place}.categories"
            if name not in weights or weights[name].shape != module.categories.shape:
                state[name] = torch.zeros_like(module.categories)
        if not isinstance(module, Embedding | Branch):
            continue
        mine = copy.deepcopy(module)
        mine.silence()
        theirs = copy.deepcopy(old.get(place))
        if isinstance(theirs, Embedding | Branch):
            theirs.load_state_dict(
                {name: weights[f"{place}.{name}"] for name in theirs.state_dict()}
            )
        if isinstance(mine, Branch):
            fitted = _branched(theirs, before, now) if isinstance(theirs, Branch) else {}
            if {n: v.shape for n, v in fitted.items()} == {
                n: v.shape for n, v in mine.state_dict().items()
            }:
                mine.load_state_dict(fitted)
        elif isinstance(theirs, Embedding) and theirs.features == mine.features:
            if before.classes and now.classes:
                rows = places(before.classes, now.classes)
                mine.classes.copy_(pick(theirs.classes, 0, rows))
            if before.numbers and before.names == now.names:
                for part in ("line", "bent"):
                    getattr(mine, part).copy_(getattr(theirs, part))
                mine.hidden.load_state_dict(theirs.hidden.state_dict())
        state |= {f"{place}.{name}": value for name, value in mine.state_dict().items()}
    return state


def _read_over(
    place: str,
    old: nn.Module | None,
    new: Guess,
    weights: Mapping[str, Tensor],
    conditions: tuple[Conditions, Conditions],
) -> dict[str, Tensor]:
    """State of what reads conditions and codes: classes by name, numbers if they are the same
    ones, codes by their place; the rest as it is in the new network.
    """
    before, now = conditions
    state = {name: value.clone() for name, value in new.state_dict().items()}
    if not isinstance(old, Guess):
        return {f"{place}.{name}": value for name, value in state.items()}
    mine, theirs = (torch.tensor([0, *g.parts]).cumsum(0).tolist() for g in (new, old))
    pairs: list[tuple[int, int]] = []
    if new.parts[0] and old.parts[0]:
        rows = places(before.classes, now.classes)
        pairs += [(k, row) for k, row in enumerate(rows) if row is not None]
    same = (False, before.names == now.names, True, new.parts[3] == old.parts[3])
    for part in (1, 2, 3):
        if same[part]:
            count = min(new.parts[part], old.parts[part])
            pairs += [(mine[part] + k, theirs[part] + k) for k in range(count)]
    for name in state:
        value = weights[f"{place}.{name}"]
        if value.shape[1:] == state[name].shape[1:]:
            for k, row in pairs:
                state[name][k] = value[row]
    return {f"{place}.{name}": value for name, value in state.items()}


def _branched(branch: Branch, before: Conditions, now: Conditions) -> dict[str, Tensor]:
    """State of a branch for other conditions; what is new counts for nothing at first, but for a
    new class, which takes the mean of the old ones.
    """
    name, axis = branch.first
    state = dict(branch.state_dict())
    weight, known = state[name], len(before.classes)
    gone = torch.zeros_like(weight.narrow(axis, 0, 1))
    parts = [gone] * now.width
    if known and now.classes:
        rows = places(before.classes, now.classes)
        old = weight.narrow(axis, 0, known)
        parts[: len(rows)] = pick(old, axis, rows).split(1, dim=axis)
    if before.numbers and before.names == now.names:
        parts[len(now.classes) :] = weight.narrow(axis, known, weight.shape[axis] - known).split(
            1, dim=axis
        )
    state[name] = torch.cat(parts, dim=axis)
    return state
