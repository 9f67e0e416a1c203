"""A generated set against a real one: every metric, with what the report shows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.measure.photometry import COSMOLOGY, Method
from galgen.metrics import colour_magnitude, radio
from galgen.metrics.colour_magnitude import COLOUR_MAGNITUDE, DETECTED, Box, fit_box, points_of
from galgen.metrics.conditional import (
    Asked,
    Following,
    class_agreement,
    class_scores,
    number_scores,
)
from galgen.metrics.coverage import coverage_family
from galgen.metrics.diversity import DIVERSITY
from galgen.metrics.extractors import ExtractorOptions, make_extractor
from galgen.metrics.extrapolation import extrapolation_family
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.frechet import frechet_family
from galgen.metrics.images import Images
from galgen.metrics.kernel import kernel_family
from galgen.metrics.nearest import Nearest
from galgen.metrics.properties import property_scores
from galgen.metrics.property_rows import property_names, property_rows
from galgen.metrics.radio import RADIO
from galgen.metrics.repeats import REPEATS
from galgen.metrics.scorecard import Family, Score, null, scores
from galgen.metrics.spectrum import spectrum_rows
from galgen.metrics.survey import Instruments, Survey, survey
from galgen.metrics.wanted import Wanted, parse_metrics
from galgen.stretch import Stretch

if TYPE_CHECKING:
    pass

#: Called with what is being done, how many are done and how many there are.
Progress = Callable[[str, int, int], None]
#: Real galaxies that extractors take their units from, at most.
_SAMPLE = 2000


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


#: Some or all of a set's galaxies.
_Rows = slice | NDArray[np.int64]
_ALL = slice(None)


@dataclass(frozen=True)
class Entry:
    """Scores with the rows that they are taken from, so that they can be taken of some galaxies.

    Attributes
    ----------
    take
        ``take(real, fake, seed=...)`` of rows (N, F) and (M, F) gives name to score.
    real, fake
        (N, F) and (M, F).
    suffix
        Ends their names, as the extractor's does.
    of_held
        The real rows are those of the held-out galaxies.
    """

    take: Callable[..., dict[str, Score]]
    real: NDArray[Any]
    fake: NDArray[Any]
    suffix: str = ""
    of_held: bool = False

    @classmethod
    def of(
        cls, family: Family, real: NDArray[Any], fake: NDArray[Any], suffix: str = ""
    ) -> Entry:
        """Those of a family."""
        return cls(partial(scores, family), real, fake, suffix)

    def scores(self, seed: int, real: _Rows = _ALL, fake: _Rows = _ALL) -> dict[str, Score]:
        """Name to score."""
        found = self.take(self.real[real], self.fake[fake], seed=seed)
        return {f"{name}{self.suffix}": score for name, score in found.items()}


@dataclass(frozen=True)
class Copying:
    """Nearest training images, by the space that they are near in.

    Attributes
    ----------
    fake, held
        Space to the nearest training image of each generated and each held-out galaxy.
    """

    fake: dict[str, Nearest]
    held: dict[str, Nearest]


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
    inception: str | None = None,
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
    inception
        File with the weights of the Inception network.
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
    sample = sets.real.read(np.arange(len(sets.real))[:_SAMPLE])
    options = ExtractorOptions(None if inception is None else Path(inception))
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
    )
    found = survey(
        sets.real, instruments, sets.real_redshift, _counting("real galaxies", sets.real, progress)
    )
    return Bench(wanted, instruments, found)


def _shapes(wanted: Wanted, progress: Progress | None) -> Any:
    if "statmorph" in wanted:
        from galgen.measure.reference import measure_statmorph

        return measure_statmorph
    if "morphology" in wanted:
        from galgen.measure.morphology import measure_morphology

        return measure_morphology
    return None


def _counting(what: str, images: Images, progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def count(members: int) -> None:
        nonlocal done
        done += members
        if progress is not None:
            progress(what, done, len(images))

    return count


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
    counting = _counting("generated galaxies", sets.fake, progress)
    fake = survey(sets.fake, bench.instruments, sets.fake_redshift, counting)
    judged = Judgement(fake, bench.real)
    entries = [*_feature_entries(judged), *_photometry(sets, bench, judged)]
    entries += [*_properties(sets, bench, judged), *_histograms(sets, bench, judged)]
    for done, entry in enumerate(entries):
        tell("scores", done, len(entries))
        judged.scores |= entry.scores(seed)
    tell("scores", len(entries), len(entries))
    _box(judged)
    _limits(bench, judged)
    if sets.asked is not None and "conditions" in bench.wanted:
        _conditions(sets, sets.asked, judged, entries, seed, classifier, tell)
    return judged


def _feature_entries(judged: Judgement) -> list[Entry]:
    """Distances in the features of each extractor."""
    entries = []
    for name, real in judged.real.features.items():
        fake, suffix = judged.fake.features[name], f"_{name}"
        scaled = name != "inception"  # the published FID and KID are not in units of any spread
        judged.details.setdefault("features", {})[name] = {"n_features": real.shape[1]}
        families = [
            make(scaled)
            for make in (frechet_family, extrapolation_family, kernel_family, coverage_family)
        ]
        families += [DIVERSITY, REPEATS]
        entries += [Entry.of(family, real, fake, suffix) for family in families]
    return entries


def _photometry(sets: Comparison, bench: Bench, judged: Judgement) -> list[Entry]:
    if "photometry" not in bench.wanted:
        return []
    found = [survey.columns["detected"].astype(float) for survey in (judged.real, judged.fake)]
    details: dict[str, Any] = {
        "detected": {"generated": float(found[1].mean()), "real": float(found[0].mean())}
    }
    judged.details["colour_magnitude"] = details
    entries = [Entry.of(DETECTED, found[0][:, None], found[1][:, None])]
    reason = colour_magnitude.why_not(sets.spec)
    if reason is not None:
        judged.scores["colour_magnitude"] = null(reason)
        return entries
    judged.absolute = sets.fake_redshift is not None and sets.real_redshift is not None
    judged.fake_points, judged.real_points = (
        points_of(survey.columns, judged.absolute) for survey in (judged.fake, judged.real)
    )
    details["magnitude"] = "absolute" if judged.absolute else "apparent"
    details["cosmology"] = COSMOLOGY if judged.absolute else None
    return [*entries, Entry.of(COLOUR_MAGNITUDE, judged.real_points, judged.fake_points)]


def _properties(sets: Comparison, bench: Bench, judged: Judgement) -> list[Entry]:
    """Distances of what was measured on the galaxies, property by property."""
    if "photometry" not in bench.wanted:
        return []
    names = property_names(
        sets.spec, judged.real.shapes is not None, judged.real.spectra is not None
    )
    rows = []
    for found in (judged.real, judged.fake):
        shapes = found.shapes and {k: torch.from_numpy(v) for k, v in found.shapes.items()}
        rings = None if found.spectra is None else torch.from_numpy(found.spectra)
        rows.append(property_rows(found.columns, sets.spec, shapes, rings))
    return [Entry(partial(property_scores, names=names), rows[0], rows[1])]


def _histograms(sets: Comparison, bench: Bench, judged: Judgement) -> list[Entry]:
    """Histograms of radio images."""
    if "radio" not in bench.wanted or judged.real.counts is None or judged.fake.counts is None:
        return []
    return [Entry.of(RADIO, judged.real.counts, judged.fake.counts)]


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
    columns = judged.fake.columns, judged.real.columns
    numbers, judged.following = number_scores(asked, sets.spec, *columns, seed)
    judged.conditions = {"agreement": agreement, "numbers": numbers}
