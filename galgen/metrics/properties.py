r"""Do the galaxies have the right brightness, colours, sizes and shapes? Property by property.

The distances of Holzschuh et al. (2022), in groups that are averaged: *morphology* (H1), *spectrum*
(H2), *bulge* (bulge statistic, and the colours of early and late types apart, H3) and
*wasserstein*, the mean over the groups that a set has (H4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.errors import ConfigError
from galgen.measure.photometry import Method
from galgen.metrics.property_rows import MORPHOLOGY, measure_rows, property_names
from galgen.metrics.scorecard import (
    BetweenRows,
    Family,
    Scale,
    Score,
    null,
    pooled_family,
    scores,
)
from galgen.metrics.setmetric import SetMetric, gathered
from galgen.metrics.spectrum import n_rings, ring_names, spectrum_rows
from galgen.metrics.wasserstein import Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Half a turn: an ellipse looks the same again.
_PERIODS = {"orientation": math.pi}
#: A type of galaxy with fewer in a sample is no sample: its colour is left out.
_TYPE = 20
_TYPES = ("colour_early", "colour_late")
#: Standard deviations from the median beyond which a value counts as this far: one ratio of small
#: numbers, as smoothness may be, would otherwise rule both the distance and its unit.
_FAR = 10.0


def properties_family(names: Sequence[str], groups: Sequence[str] | None = None) -> Family:
    r"""Wasserstein distance of each property, and the means of the groups.

    Parameters
    ----------
    names
        Columns of the rows, see `property_names`. ``orientation`` in radians lies on a circle of
        half a turn. Columns ``spectrum_<k>`` are rings and have no score of their own.
    groups
        Which of ``morphology``, ``spectrum`` and ``bulge``; by default those that `names` have.

    Returns
    -------
    Family
        ``wasserstein_<property>``: :math:`W_1` in units of the real galaxies' standard deviation,
        for the orientation in units of that of random angles, :math:`\pi/\sqrt{12}`.
        ``wasserstein_colour_early`` and ``wasserstein_colour_late``: of the colours of galaxies
        with a bulge statistic F >= 0 and F < 0, where each sample holds some 20 of the type.
        ``morphology``: mean over `MORPHOLOGY`, where all of it is there. ``spectrum``: mean over
        the rings, in dex. ``bulge``: mean of ``wasserstein_bulge`` and the colours by type, with
        two bands or more. ``wasserstein``: mean of these groups.

        What a galaxy lacks (not-a-number) is left out. A value further than 10 standard deviations
        (half the middle 68 %) from the real galaxies' median counts as that far. A distance is
        not-a-number where fewer than two galaxies of a sample have the property or all real ones
        have the same, and so are the means that it is part of; `property_scores` says why. Where
        there is no distance at all, that is a ValueError.

    Raises
    ------
    ConfigError
        For a group that does not exist.
    """
    plan = _plan(tuple(names), groups)
    scales = {name: Scale(lowest=0.0) for name in plan.scores}
    return pooled_family(scales, partial(_between, plan))


def property_scores(
    real: NDArray[Any],
    fake: NDArray[Any],
    names: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Score]:
    """Scores of `properties_family`; those that do not exist say which property is missing."""
    found = scores(properties_family(names, groups), real, fake, seed=seed)
    reasons = _Pool(_plan(tuple(names), groups), real, fake).reasons
    for name, score in found.items():
        if score["value"] is None and name in reasons and min(len(fake), len(real) // 2) >= 2:
            found[name] = null(reasons[name])
    return found


@dataclass(frozen=True)
class _Plan:
    """What is computed from rows of named columns.

    Attributes
    ----------
    names
        Columns of the rows.
    columns
        Those that are compared, with the colours by type and the rings.
    single
        Of these, the ones with a score of their own.
    groups
        Group to its columns.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    single: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores."""
        means = (*self.groups, "wasserstein") if self.groups else ()
        return (*(f"wasserstein_{name}" for name in self.single), *means)


def _plan(names: tuple[str, ...], groups: Sequence[str] | None) -> _Plan:
    rings = tuple(name for name in names if name.startswith("spectrum_"))
    members: dict[str, tuple[str, ...]] = {
        "morphology": MORPHOLOGY if set(MORPHOLOGY) <= set(names) else (),
        "spectrum": rings,
        "bulge": ("bulge", *_TYPES) if {"bulge", "colour"} <= set(names) else (),
    }
    for group in groups or ():
        if group not in members:
            raise ConfigError(f"there is no group {group!r}: take {', '.join(members)}.")
    wanted = {g: members[g] for g in (members if groups is None else groups) if members[g]}
    single = tuple(name for name in names if name not in rings)
    single += _TYPES if "bulge" in wanted else ()
    return _Plan(names, single + (rings if "spectrum" in wanted else ()), single, wanted)


class _Pool:
    """Real and generated rows, and why some distances between them do not exist.

    Attributes
    ----------
    reasons
        Score to a sentence without its full stop.
    """

    def __init__(self, plan: _Plan, real: NDArray[Any], fake: NDArray[Any]) -> None:
        self.plan = plan
        one, two = (self._values(rows) for rows in (real, fake))
        periods = np.array([_PERIODS.get(name, 0.0) for name in plan.columns])
        for k, name in enumerate(plan.columns):
            if name not in _PERIODS and not name.startswith("spectrum_"):
                low, high = _bounds(one[:, k])
                one[:, k], two[:, k] = (np.clip(x[:, k], low, high) for x in (one, two))
        unit = np.array([_spread(column) for column in one.T])
        unit = np.where(periods > 0, periods / math.sqrt(12), unit)
        unit[[name.startswith("spectrum_") for name in plan.columns]] = 1.0
        # Types that are rare in either set come and go between samples.
        n = min(len(two), len(one) // 2)
        self.absent = {
            name
            for k, name in enumerate(plan.columns)
            if name in _TYPES
            and min(n * _measured(x[:, k]) / max(1, len(x)) for x in (one, two)) < _TYPE
        }
        missing: dict[str, str] = {}
        for k, name in enumerate(plan.columns):
            if not unit[k] > 0:
                missing[name] = f"the {name} of all real galaxies is the same"
                if _measured(one[:, k]) >= 2:
                    # As smoothness is where galaxies are but a few pixels wide: no unit, no mean.
                    self.absent.add(name)
            for which, x in (("generated", two), ("real", one)):
                if _measured(x[:, k]) < 2:
                    missing[name] = (
                        f"only {_measured(x[:, k])} of {len(x)} {which} galaxies have a "
                        f"measured {name}"
                    )
            if name in self.absent and name in _TYPES:
                kind = name.removeprefix("colour_")
                missing[name] = f"too few galaxies are of {kind} type"
        self.reasons = {f"wasserstein_{name}": why for name, why in missing.items()}
        for group, columns in plan.groups.items():
            left = [name for name in columns if name not in self.absent]
            why = [missing[name] for name in left or columns if name in missing]
            self.reasons |= dict.fromkeys((group, "wasserstein"), why[0]) if why else {}
        self.nothing = len(missing) == len(plan.columns)
        self.unit = np.where([name in missing for name in plan.columns], np.nan, unit)
        self.columns = Columns(np.concatenate([one, two]), periods)

    def _values(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Columns that are compared; colours by type are not-a-number for the other type."""
        table = dict(zip(self.plan.names, np.asarray(rows, dtype=np.float64).T, strict=True))
        if _TYPES[0] in self.plan.columns:
            colour, statistic = table["colour"], table["bulge"]
            of_type = statistic >= 0, statistic < 0
            table |= {n: np.where(t, colour, np.nan) for n, t in zip(_TYPES, of_type, strict=True)}
        return np.stack([table[name] for name in self.plan.columns], axis=1)

    def between(self, reference: NDArray[np.int64], other: NDArray[np.int64]) -> dict[str, float]:
        """Every score of two sets of positions."""
        distances = self.columns.between(reference, other) / self.unit
        table = dict(zip(self.plan.columns, distances.tolist(), strict=True))
        found = {f"wasserstein_{name}": table[name] for name in self.plan.single}
        means = {
            group: _mean([table[name] for name in columns if name not in self.absent])
            for group, columns in self.plan.groups.items()
        }
        total = {"wasserstein": float(np.mean(list(means.values())))} if means else {}
        return {**found, **means, **total}


def _between(plan: _Plan, real: NDArray[Any], fake: NDArray[Any]) -> BetweenRows:
    pool = _Pool(plan, real, fake)
    if pool.nothing:
        raise ValueError(next(iter(pool.reasons.values())))
    return pool.between


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _measured(column: NDArray[Any]) -> int:
    return int(np.isfinite(column).sum())


def _bounds(column: NDArray[Any]) -> tuple[float, float]:
    """Values `_FAR` standard deviations below and above the median, by the middle 68 %."""
    values = column[np.isfinite(column)]
    if not len(values):
        return -math.inf, math.inf
    low, middle, high = np.quantile(values, (0.158655, 0.5, 0.841345))
    far = _FAR * (high - low) / 2
    return (middle - far, middle + far) if far > 0 else (-math.inf, math.inf)


def _spread(column: NDArray[Any]) -> float:
    """Standard deviation of what is measured; 0 where it is the rounding of equal numbers."""
    values = column[np.isfinite(column)]
    if len(values) < 2:
        return 0.0
    spread = float(values.std())
    return spread if spread > 1e-9 * float(np.abs(values).max()) else 0.0


class PropertyDistances(SetMetric):
    """Wasserstein distances of what is measured on images, over batches and ranks.

    Parameters
    ----------
    spec
        Facts about the images.
    method
        Photometry, see `galgen.measure.photometry.measure`.
    morphology, spectrum
        Whether these are measured too.
    reset_real_features
        False keeps the real rows over `reset`.
    """

    higher_is_better = False

    def __init__(
        self,
        spec: ImageSpec,
        *,
        method: Method = "kron",
        morphology: bool = True,
        spectrum: bool = True,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        names = property_names(spec, morphology, spectrum)
        rows = partial(
            measure_rows, spec=spec, method=method, morphology=morphology, spectrum=spectrum
        )
        kept = {"reset_real_features": reset_real_features}
        super().__init__(properties_family(names), rows, len(names), **kept, **kwargs)
        self.names = names

    def compute(self) -> dict[str, Tensor]:
        """Name to value of the whole sets, without those that do not exist."""
        return {k: v for k, v in super().compute().items() if bool(torch.isfinite(v))}

    def score(self, seed: int = 0) -> dict[str, Score]:
        """As `property_scores`. All replicas must call it."""
        with gathered(self):
            return property_scores(*self._sets(), self.names, seed=seed)


class SpectrumDistance(SetMetric):
    """Distance of the power spectra alone, ``spectrum`` in dex, over batches and ranks."""

    higher_is_better = False

    def __init__(self, spec: ImageSpec, *, reset_real_features: bool = True, **kwargs: Any) -> None:
        family = properties_family(ring_names(spec))
        rows = partial(spectrum_rows, spec=spec)
        kept = {"reset_real_features": reset_real_features}
        super().__init__(family, rows, n_rings(spec), **kept, **kwargs)

    def compute(self) -> dict[str, Tensor]:
        """``spectrum``."""
        return {"spectrum": super().compute()["spectrum"]}

    def score(self, seed: int = 0) -> dict[str, Score]:
        """``spectrum``."""
        return {"spectrum": super().score(seed)["spectrum"]}
