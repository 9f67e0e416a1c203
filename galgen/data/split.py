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
    everyone = np.arange(len(groups))
    if fraction == 0 or len(groups) < 2:
        return everyone, everyone[:0]
    number: dict[str, int] = {}
    group_of = np.array([number.setdefault(str(group), len(number)) for group in groups])
    names = list(number)
    if len(names) == 1:
        raise ConfigError(
            f"all {len(groups)} galaxies belong to the group {names[0]!r}, so none can be "
            "held out: choose another data.group or set data.holdout=0."
        )
    sizes = np.bincount(group_of).tolist()
    spared = _Classes(group_of, labels)
    quota = max(1.0, fraction * len(groups))
    held: list[int] = []
    count = 0
    order = sorted(range(len(names)), key=[_rank(name, seed) for name in names].__getitem__)
    for group in order:
        if len(held) + 1 == len(names) or count >= quota:
            break
        # A group that overshoots by more than stopping short would is left to training.
        if count + sizes[group] - quota > quota - count or not spared.allows(group):
            continue
        held.append(group)
        count += sizes[group]
        spared.take(group)
    spare = [] if held else [group for group in order if spared.allows(group)]
    if spare:
        held.append(min(spare, key=sizes.__getitem__))
    mask = np.isin(group_of, held)
    return everyone[~mask], everyone[mask]


class _Classes:
    """Galaxies of each class that are left to train on, and how many each class needs."""

    def __init__(self, group_of: NDArray[np.int64], labels: NDArray[np.int64] | None) -> None:
        self.labels = labels
        if labels is None:
            return
        self.left = np.bincount(labels)
        self.needed = np.minimum(self.left, FEWEST)
        self.members = np.argsort(group_of, kind="stable")
        self.ends = np.cumsum(np.bincount(group_of))

    def _of(self, group: int) -> NDArray[np.int64]:
        """Galaxies of each class in a group."""
        assert self.labels is not None
        first = self.ends[group - 1] if group else 0
        rows = self.members[first : self.ends[group]]
        return np.bincount(self.labels[rows], minlength=len(self.left))

    def allows(self, group: int) -> bool:
        """Whether every class keeps what it needs without this group."""
        return self.labels is None or not (self.left - self._of(group) < self.needed).any()

    def take(self, group: int) -> None:
        """Hold this group out."""
        if self.labels is not None:
            self.left = self.left - self._of(group)


def _rank(group: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()
