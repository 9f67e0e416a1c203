"""Scores of a conditional model: each metric per class, and whether galaxies are what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from galgen.errors import DataError
from galgen.measure.quantities import quantity, why_not
from galgen.metrics.agreement import agreement, cross_fitted, too_few
from galgen.metrics.images import Images
from galgen.metrics.requested import follow
from galgen.metrics.scorecard import Score, null

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.bands import ImageSpec
    from galgen.measure.photometry import Columns
    from galgen.stretch import Stretch

#: Galaxies a side with which a class is scored.
FEWEST = 10
#: Why there is no agreement where only numbers were asked for.
NO_CLASSES = "no classes were asked for"


@dataclass(frozen=True)
class Pool:
    """Real galaxies that a classifier learns from.

    Attributes
    ----------
    read
        Gives their flux (N, C, H, W).
    labels
        Class numbers (N,), none of them -1.
    groups
        What must not be split, (N,).
    held
        (N,), True for what the generator was not trained on; None where nobody knows.
    """

    read: Callable[[], Tensor]
    labels: NDArray[np.int64]
    groups: Sequence[str]
    held: NDArray[Any] | None = None


@dataclass(frozen=True)
class Asked:
    """What generated galaxies were asked to be, and what is known of real ones.

    Attributes
    ----------
    classes
        Their names; empty for none.
    fake_labels, real_labels, held_labels
        Class numbers, -1 for none, of the images of the same names in a `Comparison`.
    numbers
        Names of the numbers.
    fake_values, real_values
        (M, K) and (N, K), NaN for none.
    no_values
        Why there are no real values, by number, for those that have none.
    pool
        Real galaxies with classes, or None.
    """

    classes: tuple[str, ...] = ()
    fake_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    real_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    held_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    numbers: tuple[str, ...] = ()
    fake_values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    real_values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    no_values: Mapping[str, str] = field(default_factory=dict)
    pool: Pool | None = None


@dataclass(frozen=True)
class Following:
    """A number as it was asked for and as it was measured, for the diagram.

    `real` and `real_measured` are the same of real galaxies, None where nothing is known.
    """

    fake: NDArray[np.float64]
    fake_measured: NDArray[np.float64]
    real: NDArray[np.float64] | None
    real_measured: NDArray[np.float64] | None
    unit: str


#: Scores of some of the generated, real and held-out galaxies, by row.
ScoreRows = Callable[
    ["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"], "dict[str, Score]"
]


def class_scores(
    asked: Asked,
    score_rows: ScoreRows,
    names: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Every metric of the score card for each class by itself, at the class's own n.

    Parameters
    ----------
    asked
        Classes of the galaxies.
    score_rows
        Scores of rows of the generated, the real and the held-out galaxies.
    names
        Of the metrics.
    progress
        Called with the classes that are done and all of them.

    Returns
    -------
    dict
        Class name to ``metrics`` (name to Score), ``n_generated`` and ``n_real``; the metrics are
        null for a class with fewer than `FEWEST` generated or twice as many real galaxies.
    """
    found = {}
    for number, name in enumerate(asked.classes):
        fake, real, held = (
            np.flatnonzero(labels == number)
            for labels in (asked.fake_labels, asked.real_labels, asked.held_labels)
        )
        if len(fake) < FEWEST or len(real) < 2 * FEWEST:
            reason = (
                f"{len(fake)} generated and {len(real)} real galaxies of this class are too few: "
                f"it takes {FEWEST} and {2 * FEWEST}"
            )
            scores = {metric: null(reason) for metric in names}
        else:
            scores = score_rows(fake, real, held)
        found[name] = {"metrics": scores, "n_generated": len(fake), "n_real": len(real)}
        if progress is not None:
            progress(number + 1, len(asked.classes))
    return found


def class_agreement(
    asked: Asked,
    fake: Images,
    spec: ImageSpec,
    stretch: Stretch,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Agreement of a classifier with the class asked for, with its ceiling on real galaxies.

    Parameters
    ----------
    asked
        Classes of the galaxies.
    fake
        The generated ones, in flux.
    spec, stretch
        Facts of the images; fluxes go through the stretch, pictures as they are.
    seed
        Of networks, parts and intervals.
    progress
        Called with the images shown and all that will be.

    Returns
    -------
    dict
        As `agreement`, with ``ceiling``, the same for real galaxies, ``how`` and ``left_out``,
        classes that cannot be judged. ``value`` is None with a ``reason`` where nothing can.
    """
    if not asked.classes:
        return _none(NO_CLASSES)
    if asked.pool is None:
        return _none("the real galaxies have no classes to learn from")
    left_out = too_few(asked.pool.labels, asked.classes)
    kept = [k for k, name in enumerate(asked.classes) if name not in left_out]
    names = [asked.classes[k] for k in kept]
    if len(kept) < 2:
        return {**_none("fewer than two classes have enough real galaxies"), "left_out": left_out}
    known = np.flatnonzero(np.isin(asked.pool.labels, kept))
    wanted = np.flatnonzero(np.isin(asked.fake_labels, kept))
    if not len(wanted):
        return {**_none("no generated galaxy was asked to be of a class"), "left_out": left_out}
    new = np.full(len(asked.classes), -1)
    new[kept] = np.arange(len(kept))

    def seen(flux: Tensor) -> Tensor:
        return flux if spec.display else stretch(flux)

    labels = new[asked.pool.labels[known]]
    held = asked.pool.held
    try:
        found = cross_fitted(
            seen(asked.pool.read()[known]),
            labels,
            names,
            Images(len(wanted), lambda k: seen(fake.read(wanted[k]))),
            groups=[asked.pool.groups[row] for row in known.tolist()],
            held=None if held is None else held[known],
            seed=seed,
            progress=progress,
        )
    except DataError as error:
        # A class whose galaxies are all in one group is missing from a part.
        return {**_none(str(error).rstrip(".")), "left_out": left_out}
    return {
        **agreement(new[asked.fake_labels[wanted]], found.fake, names, seed),
        "ceiling": agreement(labels[found.rows], found.real, names, seed),
        "how": found.how,
        "left_out": left_out,
    }


def _none(reason: str) -> dict[str, Any]:
    return {"value": None, "reason": reason}


def unit_of(name: str, spec: ImageSpec) -> str:
    """Unit of a measured number; empty for one without."""
    if name == "r_half":
        return "px" if spec.pixel_scale is None else "arcsec"
    return "" if name == "ellipticity" else "mag"


def number_scores(
    asked: Asked, spec: ImageSpec, fake: Columns, real: Columns, seed: int = 0
) -> tuple[dict[str, Any], dict[str, Following]]:
    """Each number that was asked for against what is measured.

    Parameters
    ----------
    asked
        The numbers.
    spec
        Facts of the images.
    fake, real
        Kron photometry of the generated and the real galaxies, see `measure`.
    seed
        Of the shuffles.

    Returns
    -------
    dict
        Name to `follow` with ``unit`` and ``real``, the same for real galaxies (catalogue
        against measured: what measuring itself does), or None and ``no_real``, why. A number
        that cannot be measured has ``r2`` None and a ``reason``.
    dict
        Name to `Following`, for those that can.
    """
    scores: dict[str, Any] = {}
    pairs: dict[str, Following] = {}
    for k, name in enumerate(asked.numbers):
        reason = why_not(name, spec)
        if reason is not None:
            scores[name] = {"r2": None, "reason": reason}
            continue
        unit = unit_of(name, spec)
        measured = quantity(fake, name, spec)
        wanted = asked.fake_values[:, k]
        entry = {"unit": unit, **follow(wanted, measured, seed), "real": None}
        known = known_measured = None
        if name in asked.no_values:
            entry["no_real"] = asked.no_values[name]
        else:
            known, known_measured = asked.real_values[:, k], quantity(real, name, spec)
            entry["real"] = follow(known, known_measured, seed)
        scores[name] = entry
        pairs[name] = Following(wanted, measured, known, known_measured, unit)
    return scores, pairs
