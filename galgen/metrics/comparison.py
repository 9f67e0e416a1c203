"""A generated set against a real one: every metric, with what the report shows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.photometry import COSMOLOGY, measure
from galgen.metrics.colour_magnitude import Box, fit_box, points_of, why_not
from galgen.metrics.conditional import (
    Asked,
    Following,
    class_agreement,
    class_scores,
    number_scores,
)
from galgen.metrics.features import FeatureExtractor, PhysicsFeatures
from galgen.metrics.nearest import Nearest, nearest
from galgen.metrics.scorecard import (
    Score,
    colour_magnitude_score,
    coverage_scores,
    frechet_score,
    nearest_score,
    null,
)
from galgen.stretch import Stretch

if TYPE_CHECKING:
    from galgen.measure.photometry import Columns

#: Called with what is being done, how many are done and how many there are.
Progress = Callable[[str, int, int], None]
_CHUNK = 128


@dataclass
class Comparison:
    """The two sets, in common bands, size and unit.

    Attributes
    ----------
    spec
        Facts of all images below.
    fake, real
        Flux (M, C, H, W) and (N, C, H, W).
    stretch
        To network space: the model's, else one fitted on the real set.
    train
        Yields the flux of all training images, block by block, in the order of `train_names`.
    held
        Flux of real galaxies that are not among them, named by `held_names`.
    fake_redshift, real_redshift
        (M,) and (N,), or None.
    asked
        What the galaxies were asked to be, or None.
    """

    spec: ImageSpec
    fake: Tensor
    real: Tensor
    stretch: Stretch
    train: Callable[[], Iterator[Tensor]]
    train_names: Sequence[str]
    held: Tensor
    held_names: Sequence[str]
    fake_redshift: NDArray[np.float64] | None = None
    real_redshift: NDArray[np.float64] | None = None
    asked: Asked | None = None


@dataclass
class Judgement:
    """Scores, and the measurements behind them.

    Attributes
    ----------
    scores
        Metric name to `Score`.
    details
        Numbers beside the scores, JSON types.
    notes
        What limits the scores, a sentence each.
    fake_columns, real_columns
        Photometry, see `measure`.
    fake_points, real_points
        (magnitude, colour) rows, None without a colour.
    absolute
        Whether those magnitudes are absolute.
    box
        The colour-magnitude box of the whole real set, or None.
    fake_nearest, held_nearest
        Nearest training images, or None.
    fake_features, real_features
        (M, F) and (N, F).
    classes
        Class name to its scores, see `class_scores`; empty without classes.
    conditions
        ``agreement`` and ``numbers``, JSON types; empty where nothing was asked.
    following
        Number to what was asked for and what was measured.
    """

    fake_columns: Columns
    real_columns: Columns
    scores: dict[str, Score] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fake_points: NDArray[np.float64] | None = None
    real_points: NDArray[np.float64] | None = None
    absolute: bool = False
    box: Box | None = None
    fake_nearest: Nearest | None = None
    held_nearest: Nearest | None = None
    fake_features: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0)))
    real_features: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0)))
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    following: dict[str, Following] = field(default_factory=dict)


def judge(
    sets: Comparison,
    *,
    seed: int = 0,
    extractor: FeatureExtractor | None = None,
    photometry: Literal["kron", "aperture"] = "kron",
    classifier: bool = True,
    progress: Progress | None = None,
) -> Judgement:
    """Score `sets` by every metric that applies.

    Parameters
    ----------
    seed
        Of splits and resamplings.
    extractor
        For the Frechet distance, precision, recall, density and coverage; by default
        `PhysicsFeatures` of the real set.
    photometry
        Method of `measure`.
    classifier
        Train a classifier on the real galaxies, where classes were asked for.
    progress
        Called with (what, done, all).
    """
    tell: Progress = progress or (lambda what, done, total: None)
    total = len(sets.fake) + len(sets.real)
    columns = []
    for flux, redshift, before in (
        (sets.fake, sets.fake_redshift, 0),
        (sets.real, sets.real_redshift, len(sets.fake)),
    ):
        parts = []
        for start in range(0, len(flux), _CHUNK):
            z = None if redshift is None else redshift[start : start + _CHUNK]
            chunk = flux[start : start + _CHUNK]
            parts.append(measure(chunk, sets.spec, method=photometry, redshift=z))
            tell("photometry", before + min(len(flux), start + _CHUNK), total)
        columns.append({k: np.concatenate([p[k] for p in parts]) for k in parts[0]})
    judged = Judgement(columns[0], columns[1])
    extractor = extractor or PhysicsFeatures.fit(sets.real, sets.spec)
    judged.fake_features, judged.real_features = (
        _features(flux, extractor) for flux in (sets.fake, sets.real)
    )
    judged.details["features"] = {"extractor": extractor.name, "n_features": extractor.n_features}
    _distances(judged, judged.scores, slice(None), slice(None), seed)
    n = judged.scores[f"frechet_{extractor.name}"]["n"]
    if 0 < n <= extractor.n_features:
        judged.notes.append(
            f"{n} images do not determine the covariance of {extractor.n_features} features: the "
            "Fréchet distance is usable only against its floor."
        )
    _colour_magnitude(sets, judged, seed)
    _copies(sets, judged, seed, tell)
    if sets.asked is not None:
        _conditions(sets, sets.asked, judged, seed, classifier, tell)
    return judged


def _features(flux: Tensor, extractor: FeatureExtractor) -> NDArray[Any]:
    parts = [extractor(flux[k : k + _CHUNK]) for k in range(0, len(flux), _CHUNK)]
    return np.asarray(torch.cat(parts).cpu())


#: Some or all of a set's galaxies.
_Rows = slice | NDArray[np.int64]


def _distances(
    judged: Judgement, scores: dict[str, Score], fake: _Rows, real: _Rows, seed: int
) -> None:
    """What is computed from features."""
    one, two = judged.real_features[real], judged.fake_features[fake]
    name = judged.details["features"]["extractor"]
    scores[f"frechet_{name}"] = frechet_score(one, two, seed)
    for metric, found in coverage_scores(one, two, seed).items():
        scores[f"{metric}_{name}"] = found


def _conditions(
    sets: Comparison, asked: Asked, judged: Judgement, seed: int, classifier: bool, tell: Progress
) -> None:
    """Scores of each class, agreement with the class asked for, and numbers."""

    def of_rows(
        fake: NDArray[np.int64], real: NDArray[np.int64], held: NDArray[np.int64]
    ) -> dict[str, Score]:
        scores: dict[str, Score] = {}
        _distances(judged, scores, fake, real, seed)
        scores["colour_magnitude"] = judged.scores["colour_magnitude"]
        if judged.fake_points is not None and judged.real_points is not None:
            points = judged.real_points[real], judged.fake_points[fake]
            scores["colour_magnitude"] = colour_magnitude_score(*points, seed)
        scores["nearest_training"] = judged.scores["nearest_training"]
        if judged.fake_nearest is not None and judged.held_nearest is not None:
            distances = judged.held_nearest.distance, judged.fake_nearest.distance
            pair = distances[0].numpy()[held], distances[1].numpy()[fake]
            scores["nearest_training"] = nearest_score(*pair, seed=seed)
        return scores

    if asked.pool is not None:
        judged.classes = class_scores(asked, of_rows, list(judged.scores))
    if classifier or not asked.classes:
        agreement = class_agreement(
            asked,
            sets.fake,
            sets.spec,
            sets.stretch,
            seed=seed,
            progress=lambda done, total: tell("classifier", done, total),
        )
    else:
        agreement = {"value": None, "reason": "evaluate.classifier is false"}
    columns = judged.fake_columns, judged.real_columns
    numbers, judged.following = number_scores(asked, sets.spec, *columns, seed)
    judged.conditions = {"agreement": agreement, "numbers": numbers}


def _colour_magnitude(sets: Comparison, judged: Judgement, seed: int) -> None:
    details: dict[str, Any] = {
        "detected": {
            "generated": float(judged.fake_columns["detected"].mean()),
            "real": float(judged.real_columns["detected"].mean()),
        }
    }
    judged.details["colour_magnitude"] = details
    reason = why_not(sets.spec)
    if reason is not None:
        judged.scores["colour_magnitude"] = null(reason)
        return
    judged.absolute = sets.fake_redshift is not None and sets.real_redshift is not None
    judged.fake_points, judged.real_points = (
        points_of(c, judged.absolute) for c in (judged.fake_columns, judged.real_columns)
    )
    score = colour_magnitude_score(judged.real_points, judged.fake_points, seed)
    judged.scores["colour_magnitude"] = score
    details["magnitude"] = "absolute" if judged.absolute else "apparent"
    details["cosmology"] = COSMOLOGY if judged.absolute else None
    if score["value"] is None or score["floor"] is None:
        return
    judged.box = fit_box(judged.real_points)
    details |= {
        "fraction": score["value"],
        "real_fraction": score["floor"],
        "ratio": score["value"] / score["floor"] if score["floor"] > 0 else None,
        "box": {"centre": list(judged.box.centre), "half_width": list(judged.box.half_width),
                "sigma": "half the 15.87 % to 84.13 % range", "width": 1.75},
    }  # fmt: skip


def _copies(sets: Comparison, judged: Judgement, seed: int, tell: Progress) -> None:
    if not len(sets.train_names) or not len(sets.held):
        judged.scores["nearest_training"] = null("there are no real images to split into two sets")
        return
    queries = sets.stretch(torch.cat([sets.fake, sets.held]))
    done = 0

    def references() -> Iterator[Tensor]:
        nonlocal done
        for block in sets.train():
            yield sets.stretch(block)
            done += len(block)
            tell("nearest images", done, len(sets.train_names))

    found = nearest(queries, references())
    m = len(sets.fake)
    judged.fake_nearest, judged.held_nearest = (
        Nearest(found.index[part], found.distance[part], found.orientation[part])
        for part in (slice(None, m), slice(m, None))
    )
    distances = judged.held_nearest.distance.numpy(), judged.fake_nearest.distance.numpy()
    judged.scores["nearest_training"] = nearest_score(*distances, seed=seed)
    judged.details["nearest_training"] = {
        "train": len(sets.train_names),
        "held_out": len(sets.held),
        "smallest": {"generated": float(distances[1].min()), "held_out": float(distances[0].min())},
        "space": f"mean squared difference after the {sets.stretch.kind} stretch, "
        "over 8 quarter turns and flips",
    }
