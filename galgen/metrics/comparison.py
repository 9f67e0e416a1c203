"""A generated set against a real one: every metric, with what the report shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.measure.photometry import Method
from galgen.metrics import radio
from galgen.metrics.colour_magnitude import Box, fit_box
from galgen.metrics.conditional import (
    Asked,
    Following,
    class_agreement,
    class_scores,
    number_scores,
)
from galgen.metrics.entries import Copying, Entry, Progress, counting, entries_of
from galgen.metrics.extractors import ExtractorOptions, make_extractor
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.images import BLOCK, Images
from galgen.metrics.scorecard import Score
from galgen.metrics.spectrum import spectrum_rows
from galgen.metrics.survey import Instruments, Survey, survey
from galgen.metrics.wanted import Wanted, parse_metrics
from galgen.stretch import Stretch

#: Real galaxies that extractors take their units from, at most.
_SAMPLE = 2000
#: Images in memory at a time where blocks are dear.
_LARGE = 1024


@dataclass
class Comparison:
    """The two sets, in common bands, size and unit.

    Attributes
    ----------
    spec
        Facts of all images below.
    fake, real
        Generated galaxies, and the real ones that they are compared with.
    stretch
        To network space: the model's, else one fitted on the real set.
    train
        All training galaxies.
    held
        Real galaxies that are not among them.
    fake_redshift, real_redshift
        (M,) and (N,), or None.
    asked
        What the galaxies were asked to be, or None.
    fake_catalogue, real_catalogue
        Columns (M,) and (N,) of tables beside the images, such as ``mag_r``.
    """

    spec: ImageSpec
    fake: Images
    real: Images
    stretch: Stretch
    train: Images
    held: Images
    fake_redshift: NDArray[np.float64] | None = None
    real_redshift: NDArray[np.float64] | None = None
    asked: Asked | None = None
    fake_catalogue: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    real_catalogue: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass
class Judgement:
    """Scores, and the measurements behind them.

    Attributes
    ----------
    fake, real
        What was measured on each galaxy.
    scores
        Metric name to `Score`.
    details
        Numbers beside the scores, JSON types.
    notes
        What limits the scores, a sentence each.
    fake_points, real_points
        (magnitude, colour) rows, None without a colour.
    absolute
        Whether those magnitudes are absolute.
    box
        The colour-magnitude box of the whole real set, or None.
    copying
        Nearest training images, or None.
    classes
        Class name to its scores, see `class_scores`; empty without classes.
    conditions
        ``agreement`` and ``numbers``, JSON types; empty where nothing was asked.
    following
        Number to what was asked for and what was measured.
    """

    fake: Survey
    real: Survey
    scores: dict[str, Score] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fake_points: NDArray[np.float64] | None = None
    real_points: NDArray[np.float64] | None = None
    absolute: bool = False
    box: Box | None = None
    copying: Copying | None = None
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    following: dict[str, Following] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What judges: instruments in units of the real set, and the real set measured with them.

    Two generators that are compared share one.
    """

    wanted: Wanted
    instruments: Instruments
    real: Survey


def set_up(
    sets: Comparison,
    wanted: Wanted | None = None,
    *,
    extractors: Mapping[str, FeatureExtractor] | None = None,
    photometry: Method = "kron",
    options: ExtractorOptions | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Bench:
    """Choose the instruments and measure the real set.

    Parameters
    ----------
    sets
        Of which the real galaxies are measured.
    wanted
        Metrics; by default those of `parse_metrics`.
    extractors
        Further ones, by name.
    photometry
        Method of `measure`.
    options
        What some extractors need.
    device
        Where networks and shapes are computed.
    progress
        Called with (what, done, all).

    Raises
    ------
    ConfigError, DataError
        If an extractor cannot be made.
    """
    wanted = wanted or parse_metrics()
    sample = sets.real.sample(_SAMPLE)
    made = {}
    for name in wanted.extractors:
        extractor = make_extractor(name, sample, sets.spec, options)
        made[extractor.name] = extractor
    made |= dict(extractors or {})
    instruments = Instruments(
        sets.spec,
        photometry,
        made,
        _shapes(wanted, progress),
        partial(spectrum_rows, spec=sets.spec) if "spectrum" in wanted else None,
        radio.image_counts if "radio" in wanted and radio.why_not(sets.spec) is None else None,
        torch.device(device),
        # statmorph starts processes for each block.
        _LARGE if "statmorph" in wanted else BLOCK,
    )
    found = survey(
        sets.real, instruments, sets.real_redshift, counting("real galaxies", sets.real, progress)
    )
    return Bench(wanted, instruments, found)


def _shapes(wanted: Wanted, progress: Progress | None) -> Any:
    if "statmorph" in wanted:
        from galgen.measure.reference import statmorph_morphology

        if progress is None:
            return statmorph_morphology
        return partial(statmorph_morphology, progress=partial(progress, "statmorph, this block"))
    if "morphology" in wanted:
        from galgen.measure.morphology import measure_morphology

        return measure_morphology
    return None


def judge(
    sets: Comparison,
    bench: Bench | None = None,
    *,
    seed: int = 0,
    classifier: bool = True,
    progress: Progress | None = None,
) -> Judgement:
    """Score `sets` by every metric that is wanted and applies.

    Parameters
    ----------
    sets
        What is compared.
    bench
        Of `set_up`; one with the default metrics where there is none.
    seed
        Of splits and resamplings.
    classifier
        Train a classifier on the real galaxies, where classes were asked for.
    progress
        Called with (what, done, all).
    """
    tell: Progress = progress or (lambda what, done, total: None)
    bench = bench or set_up(sets, progress=progress)
    count = counting("generated galaxies", sets.fake, progress)
    fake = survey(sets.fake, bench.instruments, sets.fake_redshift, count)
    judged = Judgement(fake, bench.real)
    entries = entries_of(sets, bench, judged, tell)
    for done, entry in enumerate(entries):
        tell("scores", done, len(entries))
        judged.scores |= entry.scores(seed)
    tell("scores", len(entries), len(entries))
    _box(judged)
    _limits(bench, judged)
    if sets.asked is not None and "conditions" in bench.wanted:
        _conditions(sets, sets.asked, judged, entries, seed, classifier, tell)
    return judged


def _box(judged: Judgement) -> None:
    """The box for the diagram, and what it holds."""
    score = judged.scores.get("colour_magnitude")
    if score is None or score["value"] is None or score["floor"] is None:
        return
    assert judged.real_points is not None
    judged.box = fit_box(judged.real_points)
    judged.details["colour_magnitude"] |= {
        "fraction": score["value"],
        "real_fraction": score["floor"],
        "ratio": score["value"] / score["floor"] if score["floor"] > 0 else None,
        "box": {"centre": list(judged.box.centre), "half_width": list(judged.box.half_width),
                "sigma": "half the 15.87 % to 84.13 % range", "width": 1.75},
    }  # fmt: skip


def _limits(bench: Bench, judged: Judgement) -> None:
    """Sentences on what the numbers of galaxies do not carry."""
    for name, features in judged.real.features.items():
        n = judged.scores[f"frechet_{name}"]["n"]
        if 0 < n <= features.shape[1]:
            judged.notes.append(
                f"{n} images do not determine the covariance of {features.shape[1]} features: the "
                f"Fréchet distance in {name} features is usable only against its floor."
            )


def _conditions(
    sets: Comparison,
    asked: Asked,
    judged: Judgement,
    entries: Sequence[Entry],
    seed: int,
    classifier: bool,
    tell: Progress,
) -> None:
    """Scores of each class, agreement with the class asked for, and numbers."""

    def of_rows(
        fake: NDArray[np.int64], real: NDArray[np.int64], held: NDArray[np.int64]
    ) -> dict[str, Score]:
        found = dict(judged.scores)  # what does not apply to all applies to none
        for entry in entries:
            found |= entry.scores(seed, held if entry.of_held else real, fake)
        return found

    if asked.pool is not None:
        names = list(judged.scores)
        judged.classes = class_scores(asked, of_rows, names, partial(tell, "scores of classes"))
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
    columns = judged.fake.columns, judged.real.columns
    numbers, judged.following = number_scores(asked, sets.spec, *columns, seed)
    judged.conditions = {"agreement": agreement, "numbers": numbers}
