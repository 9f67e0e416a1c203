"""How many generated galaxies lie where real ones do in the colour-magnitude diagram.

The thesis' check (Concepcion 2023): a box of median ± 1.75 sigma of the real set in magnitude
and colour, and the fraction of the generated set inside it. For an uncorrelated Gaussian pair
a perfect generator scores 0.846, not 1, so the fraction means nothing without that of real
galaxies which did not define the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.bandorder import colour_pair
from galgen.measure.photometry import Method, measure
from galgen.metrics.scorecard import Family, Scale, single
from galgen.metrics.setmetric import SetMetric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

WIDTH = 1.75


@dataclass(frozen=True)
class Box:
    """Centre and half widths in (magnitude, colour)."""

    centre: tuple[float, float]
    half_width: tuple[float, float]

    def inside(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (N, 2) lie inside; not-a-number (undetected) is outside."""
        x = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        return np.asarray((np.abs(x - self.centre) <= self.half_width).all(axis=1))

    def fraction(self, points: ArrayLike) -> float:
        """Fraction of points (N, 2) inside, failures in the denominator."""
        return float(self.inside(points).mean())


def fit_box(
    points: ArrayLike, sigma: Literal["robust", "std"] = "robust", width: float = WIDTH
) -> Box:
    r"""Box of median ± `width` sigma around the real points (N, 2) of (magnitude, colour).

    Parameters
    ----------
    points
        Rows with not-a-number (undetected galaxies) do not define the box.
    sigma
        ``robust`` (default): half the distance from the 15.87 % to the 84.13 % quantile,
        which is sigma for a Gaussian and does not grow with a few stars or bad cutouts.
        ``std``: the plain standard deviation, as in the thesis.
    width
        In sigma; 1.75 in the thesis.

    Raises
    ------
    ValueError
        If fewer than two points are finite.
    """
    x = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    x = x[np.isfinite(x).all(axis=1)]
    if len(x) < 2:
        raise ValueError(f"only {len(x)} real galaxies have a magnitude and a colour")
    if sigma == "std":
        spread = x.std(axis=0, ddof=1)
    else:
        low, high = np.quantile(x, (0.158655, 0.841345), axis=0)
        spread = (high - low) / 2
    centre = np.median(x, axis=0)
    half = width * spread
    return Box((float(centre[0]), float(centre[1])), (float(half[0]), float(half[1])))


def fraction_inside(real: ArrayLike, other: ArrayLike) -> float:
    """Fraction of `other` (M, 2) in the box of `real` (N, 2); higher is better."""
    return fit_box(real).fraction(other)


def why_not(spec: ImageSpec) -> str | None:
    """Why a set has no colour-magnitude diagram, or None where it has one."""
    if colour_pair(spec.bands) is None:
        return f"one band ({spec.bands[0]}) has no colour"
    return None


def points_of(columns: dict[str, NDArray[Any]], absolute: bool = False) -> NDArray[np.float64]:
    """(N, 2) of magnitude and colour from `measure`; not-a-number rows are failures."""
    name = "absolute_magnitude" if absolute else "magnitude"
    return np.column_stack([columns[name], columns["colour"]]).astype(np.float64)


def _between(real: NDArray[Any], other: NDArray[Any]) -> dict[str, float]:
    return {"colour_magnitude": fraction_inside(real, other)}


#: Fraction of rows (magnitude, colour) in the box of the real ones.
COLOUR_MAGNITUDE = Family(
    {"colour_magnitude": Scale(higher_is_better=True, lowest=0.0, highest=1.0)}, _between
)
#: Fraction of galaxies that are found at all, of rows (N, 1) or (N,) of 0 and 1.
DETECTED = single(
    "detected",
    lambda real, other: float(np.mean(other)),
    Scale(higher_is_better=True, lowest=0.0, highest=1.0),
)


def magnitude_rows(flux: Tensor, spec: ImageSpec, method: Method = "aperture") -> Tensor:
    """Rows (N, 2) of magnitude and colour of images; not-a-number for failures and one band."""
    if why_not(spec) is not None:
        return torch.full((len(flux), 2), float("nan"))
    columns = measure(flux.detach().cpu(), spec, method=method)
    return torch.from_numpy(points_of(columns))


class ColourMagnitude(SetMetric):
    """The check over batches and ranks, fast enough for use inside training.

    `compute` gives a dict: ``fraction`` of the generated set in the box of the whole real
    set, ``real`` the fraction of real galaxies in a box that the other half of the real set
    defined (mean over both halves), and ``ratio`` of the two; NaN for a single band.

    Parameters
    ----------
    spec
        Bands and zero points.
    method
        Photometry, see `measure`.
    reset_real_features
        False keeps the real points over `reset`, so that they are measured once.
    """

    higher_is_better = True

    def __init__(
        self,
        spec: ImageSpec,
        *,
        method: Method = "aperture",
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        rows = partial(magnitude_rows, spec=spec, method=method)
        kept = {"reset_real_features": reset_real_features}
        super().__init__(COLOUR_MAGNITUDE, rows, 2, **kept, **kwargs)
        self.spec, self.method = spec, method

    def compute(self) -> dict[str, Tensor]:
        """Fractions and their ratio, float64 scalars."""
        real, fake = self._sets()
        values = dict.fromkeys(("fraction", "real", "ratio"), float("nan"))
        if np.isfinite(real).all(axis=1).sum() >= 4 and len(fake):
            halves = _halves(real)
            values["fraction"] = fraction_inside(real, fake)
            values["real"] = float(
                np.mean([fraction_inside(a, b) for a, b in (halves, halves[::-1])])
            )
            values["ratio"] = values["fraction"] / max(values["real"], 1 / len(real))
        return {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}


def _halves(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two halves that depend on the set alone, not on the order of batches and ranks.

    Failures are spread over both in the same proportion.
    """
    finite = np.isfinite(points).all(axis=1)
    good = points[finite]
    good = good[np.lexsort(good.T)]
    good = np.random.default_rng(0).permutation(good)
    failed = points[~finite]
    both = [np.concatenate([good[k::2], failed[k::2]]) for k in (0, 1)]
    return both[0], both[1]
