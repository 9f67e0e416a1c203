"""What the scores of a card are taken from: rows of real and generated galaxies, by metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.measure.photometry import COSMOLOGY
from galgen.metrics import colour_magnitude
from galgen.metrics.colour_magnitude import COLOUR_MAGNITUDE, DETECTED, points_of
from galgen.metrics.copies import COPIES, nearest_training
from galgen.metrics.coverage import coverage_family
from galgen.metrics.diversity import DIVERSITY
from galgen.metrics.extrapolation import extrapolation_family
from galgen.metrics.frechet import frechet_family
from galgen.metrics.images import Images
from galgen.metrics.kernel import kernel_family
from galgen.metrics.magnitudes import catalogue_magnitudes
from galgen.metrics.nearest import Nearest
from galgen.metrics.properties import property_scores
from galgen.metrics.property_rows import MORPHOLOGY, property_names, property_rows
from galgen.metrics.radio import RADIO
from galgen.metrics.repeats import REPEATS
from galgen.metrics.scorecard import Family, Score, null, scores
from galgen.metrics.spaces import fit_spaces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.measure.photometry import Columns
    from galgen.metrics.comparison import Bench, Comparison, Judgement

    #: Some or all of a set's galaxies.
    Rows = slice | NDArray[np.int64]

#: Called with what is being done, how many are done and how many there are.
Progress = Callable[[str, int, int], None]
#: Training galaxies that the spaces of the copy audit are fitted on, at most.
_FITTED = 1000
#: Extractors in whose features copies are not looked for, because they are slow.
_NO_SPACE = ("inception",)

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
    def of(cls, family: Family, real: NDArray[Any], fake: NDArray[Any], suffix: str = "") -> Entry:
        """Those of a family."""
        return cls(partial(scores, family), real, fake, suffix)

    def scores(self, seed: int, real: Rows = _ALL, fake: Rows = _ALL) -> dict[str, Score]:
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


def counting(what: str, images: Images, progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def count(members: int) -> None:
        nonlocal done
        done += members
        if progress is not None:
            progress(what, done, len(images))

    return count


def entries_of(sets: Comparison, bench: Bench, judged: Judgement, tell: Progress) -> list[Entry]:
    """All that is wanted and applies; of the rest `judged` says why not."""
    found = [*_distances(judged), *_photometry(sets, bench, judged)]
    found += [*_properties(sets, bench, judged), *_histograms(bench, judged)]
    return found + (_copies(sets, bench, judged, tell) if "copies" in bench.wanted else [])


def _distances(judged: Judgement) -> list[Entry]:
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
    _catalogues(sets, judged)
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


def _catalogues(sets: Comparison, judged: Judgement) -> None:
    """Measured magnitudes against those of tables beside the images, where there are any."""
    found = {
        "generated": catalogue_magnitudes(judged.fake.columns, sets.fake_catalogue, sets.spec),
        "real": catalogue_magnitudes(judged.real.columns, sets.real_catalogue, sets.spec),
    }
    known = {name: of for name, of in found.items() if of}
    if known:
        judged.details["catalogue_magnitudes"] = known


def _properties(sets: Comparison, bench: Bench, judged: Judgement) -> list[Entry]:
    """Distances of what was measured on the galaxies, property by property."""
    shaped, ringed = judged.real.shapes is not None, judged.real.spectra is not None
    names = property_names(sets.spec, shaped, ringed)
    kept = list(range(len(names)))
    if "photometry" not in bench.wanted:
        own = (*MORPHOLOGY, "bulge") if shaped else ()
        kept = [k for k in kept if names[k] in own or names[k].startswith("spectrum_")]
    if not kept:
        return []
    rows = []
    for found in (judged.real, judged.fake):
        shapes = None if found.shapes is None else _tensors(found.shapes)
        rings = None if found.spectra is None else torch.from_numpy(found.spectra)
        rows.append(property_rows(found.columns, sets.spec, shapes, rings)[:, kept])
    take = partial(property_scores, names=[names[k] for k in kept])
    return [Entry(take, rows[0], rows[1])]


def _tensors(columns: Columns) -> dict[str, Tensor]:
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def _histograms(bench: Bench, judged: Judgement) -> list[Entry]:
    """Histograms of radio images."""
    if "radio" not in bench.wanted or judged.real.counts is None or judged.fake.counts is None:
        return []
    return [Entry.of(RADIO, judged.real.counts, judged.fake.counts)]


def _copies(sets: Comparison, bench: Bench, judged: Judgement, tell: Progress) -> list[Entry]:
    """Whether generated galaxies lie nearer to training images than held-out ones do."""
    if not len(sets.train) or not len(sets.held):
        judged.scores["copies"] = null("there are no real images to split into two sets")
        return []
    extractors = [e for e in bench.instruments.extractors.values() if e.name not in _NO_SPACE]
    spaces = fit_spaces(sets.train.sample(_FITTED), extractors)
    count = counting("training galaxies", sets.train, tell)

    def there(images: Images) -> Iterator[Tensor]:
        return (block.to(bench.instruments.device) for block in images.blocks())

    def train() -> Iterator[Tensor]:
        for block in there(sets.train):
            yield block
            count(len(block))

    sides = {"held": there(sets.held), "fake": there(sets.fake)}
    try:
        found = nearest_training(spaces, sides, train())
    except ValueError as error:
        judged.scores["copies"] = null(f"{error}")
        return []
    held, fake = ({name: of[side] for name, of in found.items()} for side in ("held", "fake"))
    judged.copying = Copying(fake, held)
    judged.details["copies"] = {
        "train": len(sets.train),
        "held_out": len(sets.held),
        "distance": "nearest training image over the tenth nearest",
        "without_light": {
            name: {"generated": fake[name].left_out, "held_out": held[name].left_out}
            for name in found
        },
    }
    return [
        Entry(_copy_scores, held[name].distance[:, None], fake[name].distance[:, None],
              f"_{name}", of_held=True)
        for name in found
    ]  # fmt: skip


def _copy_scores(held: NDArray[Any], fake: NDArray[Any], *, seed: int) -> dict[str, Score]:
    """Of the images with light; the others have no distance."""
    one, two = (rows[np.isfinite(rows[:, 0])] for rows in (held, fake))
    dark = len(one) < len(held) or len(two) < len(fake)
    if dark and min(len(two), len(one) // 2) < 2:
        reason = (
            f"only {len(two)} of {len(fake)} generated and {len(one)} of {len(held)} held-out "
            "galaxies have light to compare"
        )
        return {name: null(reason) for name in COPIES.scales}
    return scores(COPIES, one, two, seed=seed)
