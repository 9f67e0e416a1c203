"""Whether generated galaxies are of the class that was asked for, in the eyes of a network
trained on real ones, and how often that network is right about real galaxies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from galgen.metrics.classifier import SHOWN, train_classifier
from galgen.metrics.images import BLOCK, Images
from galgen.randomness import key

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Networks that each leave out a part of the real set.
FOLDS = 3
#: Held-out galaxies of every class with which one network is enough ...
ENOUGH_HELD = 30
#: ... and the fewest real ones of a class with which its galaxies are judged at all.
FEWEST = 2 * FOLDS
_DRAWS = 4000


@dataclass(frozen=True)
class Verdicts:
    """What networks call galaxies that they were not trained on.

    Attributes
    ----------
    fake
        Class numbers of the generated galaxies (M,).
    real
        The same of real ones.
    rows
        Which real ones these are.
    how
        What judged them, a sentence.
    """

    fake: NDArray[np.int64]
    real: NDArray[np.int64]
    rows: NDArray[np.int64]
    how: str


def agreement(
    requested: NDArray[Any], predicted: NDArray[Any], classes: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """How often the predicted class is the one that was asked for.

    Parameters
    ----------
    requested, predicted
        Class numbers (N,); a galaxy of which no class was asked for (-1) does not count.
    classes
        Their names.
    seed
        Of the interval.

    Returns
    -------
    dict
        ``value``: mean over the classes of each one's fraction, so that common classes count no
        more than rare ones; ``interval``: its 95 %; ``n``; ``chance``: 1/K, what a network that
        guesses scores; ``classes``: name to value, interval and n; ``confusion``: galaxies by
        class asked for (rows) and predicted (columns). None where there is no galaxy.

    Notes
    -----
    The intervals are Jeffreys' (Brown, Cai & DasGupta 2001, Stat. Sci. 16, 101): unlike a
    bootstrap they do not shrink to nothing where all of a few galaxies agree. That of the mean is
    drawn from those of the classes.
    """
    size = len(classes)
    asked, said = np.asarray(requested), np.asarray(predicted)
    asked, said = asked[asked >= 0], said[asked >= 0]
    confusion = np.bincount(asked * size + said, minlength=size * size).reshape(size, size)
    totals, right = confusion.sum(axis=1), np.diag(confusion)
    rng = np.random.default_rng(key(seed, "agreement"))
    draws = rng.beta(right[:, None] + 0.5, (totals - right)[:, None] + 0.5, (size, _DRAWS))
    by_class = {
        name: _fraction(int(k), int(n), row)
        for name, k, n, row in zip(classes, right, totals, draws, strict=True)
    }
    there = totals > 0
    value = float((right[there] / totals[there]).mean()) if there.any() else None
    return {
        "value": value,
        "interval": None if value is None else _interval(draws[there].mean(axis=0)),
        "n": int(totals.sum()),
        "chance": 1 / size,
        "classes": by_class,
        "confusion": confusion.tolist(),
    }


def _fraction(right: int, total: int, draws: NDArray[np.float64]) -> dict[str, Any]:
    if total == 0:
        return {"value": None, "interval": None, "n": 0}
    low, high = _interval(draws)
    # Jeffreys' ends where all or none agree, as Brown et al. set them.
    interval = [0.0 if right == 0 else low, 1.0 if right == total else high]
    return {"value": right / total, "interval": interval, "n": total}


def _interval(draws: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in np.quantile(draws, (0.025, 0.975))]


def too_few(labels: NDArray[Any], classes: Sequence[str]) -> dict[str, str]:
    """Classes that cannot be judged, and why: they have too few real galaxies."""
    counts = np.bincount(np.asarray(labels)[np.asarray(labels) >= 0], minlength=len(classes))
    return {
        name: f"{count} real galaxies of it are too few to learn it from: it takes {FEWEST}"
        for name, count in zip(classes, counts.tolist(), strict=True)
        if count < FEWEST
    }


def cross_fitted(
    real: Tensor,
    labels: NDArray[Any],
    classes: Sequence[str],
    fake: Images,
    *,
    groups: Sequence[str] | None = None,
    held: NDArray[np.bool_] | None = None,
    seed: int = 0,
    shown: int = SHOWN,
    progress: Callable[[int, int], None] | None = None,
) -> Verdicts:
    """Classes of generated galaxies, and of real ones that the same networks did not learn from.

    Where enough galaxies of each class were held out of the generator's training, one network
    learns from the others and judges these and the generated ones. Else the real set is split
    in `FOLDS` parts by group; each network leaves one out and judges it, and every third of the
    generated galaxies, so that real and generated ones have the same judges.

    Parameters
    ----------
    real
        Images (N, C, H, W), see `train_classifier`.
    labels
        Class numbers (N,) of the real ones, at least `FEWEST` of each.
    classes
        Their names.
    fake
        The generated ones, in the same space; read in blocks.
    groups
        What must not be split, (N,); every galaxy alone by default.
    held
        (N,), True for what the generator was not trained on.
    seed, shown
        As `train_classifier`.
    progress
        Called with the images shown so far and those of all networks.

    Raises
    ------
    DataError
        As `train_classifier`.
    """
    labels = np.asarray(labels, dtype=np.int64)
    groups = [str(k) for k in range(len(labels))] if groups is None else list(groups)
    fold = _folds(labels, groups, seed)
    judged_by = np.arange(len(fake)) % FOLDS
    how = (
        f"{FOLDS} networks, each of which learnt from {FOLDS - 1} of {FOLDS} parts of the real set "
        "and judged the rest, and a part of the generated galaxies"
    )
    if held is not None and not held.all():
        counts = np.bincount(labels[held], minlength=len(classes))
        learnt = np.bincount(labels[~held], minlength=len(classes))
        if counts.min() >= ENOUGH_HELD and learnt.min() >= FEWEST:
            fold, judged_by = np.where(held, 0, 1), np.zeros(len(fake), dtype=np.int64)
            how = (
                "one network, which learnt from the galaxies that the generator was trained on and "
                "judged those held out, and the generated ones"
            )
    networks = int(judged_by.max(initial=0)) + 1
    said = np.full(len(labels), -1, dtype=np.int64)
    verdict = np.zeros(len(fake), dtype=np.int64)
    done = 0

    def count(members: int) -> None:
        nonlocal done
        done += members
        if progress is not None:
            progress(min(done, networks * shown), networks * shown)

    for number in range(networks):
        rest, learn = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        network = train_classifier(
            real[learn], labels[learn], classes, seed=seed + number, shown=shown, progress=count
        )
        said[rest] = network.predict(real[rest]).argmax(1).numpy()
        mine = np.flatnonzero(judged_by == number)
        for rows in np.split(mine, range(BLOCK, len(mine), BLOCK)):
            verdict[rows] = network.predict(fake.read(rows)).argmax(1).numpy()
    rows = np.flatnonzero(said >= 0)
    return Verdicts(verdict, said[rows], rows, how)


def _folds(labels: NDArray[np.int64], groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Part (N,) of each galaxy: whole groups, as many galaxies of each class in each as can be."""
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    names = sorted(members)
    order = np.random.default_rng(key(seed, "agreement folds")).permutation(len(names))
    fold = np.empty(len(labels), dtype=np.int64)
    filled = np.zeros((FOLDS, int(labels.max(initial=0)) + 1), dtype=np.int64)
    # Large groups first, so that small ones can even them out.
    for name in sorted((names[k] for k in order), key=lambda name: -len(members[name])):
        rows = members[name]
        kinds = labels[rows]
        part = int(filled[:, kinds].sum(axis=1).argmin())
        fold[rows] = part
        filled[part] += np.bincount(kinds, minlength=filled.shape[1])
    return fold
