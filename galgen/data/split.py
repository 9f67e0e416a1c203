"""Hold galaxies out of training, whole groups at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galgen.data.classes import FEWEST
from galgen.errors import ConfigError


def split_by_group(
    groups: Sequence[str],
    fraction: float,
    seed: int,
    labels: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices for training and for the hold-out; no group is in both.

    Groups are taken in the order of a hash of (seed, group), so the split does not depend on
    the order of the galaxies, and a group that is held out stays so when others are added
    or taken away, except near the end of the quota.

    Parameters
    ----------
    groups
        One group per galaxy: its own name, or what overlapping cutouts share (a scene).
    fraction
        Of the galaxies to hold out, in [0, 1). At least one group is held out where
        `fraction` is positive and there are two, and at least one is left for training.
    seed
        Another seed holds out other galaxies.
    labels
        Class numbers (N,). A group is passed over that would leave a class with fewer than
        `galgen.data.classes.FEWEST` galaxies to train on (or with fewer than it has), so none is
        held out where each would.

    Raises
    ------
    ConfigError
        If `fraction` is out of range, or all of several galaxies belong to one group.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"the held-out fraction must lie in [0, 1), not {fraction}.")
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[str(group)] = sizes.get(str(group), 0) + 1
    everyone = np.arange(len(groups))
    if fraction == 0 or len(groups) < 2:
        return everyone, everyone[:0]
    if len(sizes) == 1:
        raise ConfigError(
            f"all {len(groups)} galaxies belong to the group {next(iter(sizes))!r}, so none can be "
            "held out: choose another data.group or set data.holdout=0."
        )
    holds = _classes_of(groups, labels)
    left = sum(holds.values(), np.zeros(0 if labels is None else int(labels.max()) + 1, np.int64))
    needed = np.minimum(left, FEWEST)
    quota = max(1.0, fraction * len(groups))
    held: set[str] = set()
    count = 0
    order = sorted(sizes, key=lambda name: _rank(name, seed))
    for group in order:
        # A group that overshoots by more than stopping short would is left to training.
        if count + sizes[group] - quota > quota - count or (left - holds[group] < needed).any():
            continue
        if len(held) + 1 == len(sizes) or count >= quota:
            break
        held.add(group)
        count += sizes[group]
        left = left - holds[group]
    spare = [group for group in order if not (left - holds[group] < needed).any()]
    if not held and spare:
        held.add(min(spare, key=sizes.__getitem__))
    mask = np.array([str(group) in held for group in groups])
    return everyone[~mask], everyone[mask]


def _classes_of(
    groups: Sequence[str], labels: NDArray[np.int64] | None
) -> dict[str, NDArray[np.int64]]:
    """How many galaxies of each class every group holds; nothing without labels."""
    numbers = 0 if labels is None else int(labels.max()) + 1
    found = {str(group): np.zeros(numbers, np.int64) for group in groups}
    for group, label in zip(groups, () if labels is None else labels, strict=labels is not None):
        found[str(group)][label] += 1
    return found


def _rank(group: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()
