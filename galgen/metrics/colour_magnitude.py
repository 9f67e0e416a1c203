"""How many generated galaxies lie where real ones do in the colour-magnitude diagram.

The thesis' check (Concepcion 2023): a box of median ± 1.75 sigma of the real set in magnitude
and colour, and the fraction of the generated set inside it. For an uncorrelated Gaussian pair
a perfect generator scores 0.846, not 1, so the fraction means nothing without that of real
galaxies which did not define the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from galgen.bands import ImageSpec
from galgen.measure.bandorder import colour_pair
from galgen.measure.photometry import measure

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


class ColourMagnitude(Metric):
    """The check over batches and ranks, fast enough for use inside training.

    `compute` gives a dict: ``fraction`` of the generated set in the box of the whole real
    set, ``real`` the fraction of real galaxies in a box that the other half of the real set
    defined (mean over both halves), and ``ratio`` of the two; NaN for a single band.

    Parameters
    ----------
    spec
        Bands and zero points.
    method
        Photometry, see `measure`; ``aperture`` is ten times faster than ``kron``.
    reset_real_features
        False keeps the real points over `reset`, so that they are measured once.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    real_points: list[Tensor]
    fake_points: list[Tensor]

    def __init__(
        self,
        spec: ImageSpec,
        *,
        method: Literal["kron", "aperture"] = "aperture",
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.method: Literal["kron", "aperture"] = method
        self.reset_real_features = reset_real_features
        self.add_state("real_points", [], dist_reduce_fx="cat")
        self.add_state("fake_points", [], dist_reduce_fx="cat")
        self._start()

    def _start(self) -> None:
        # An empty block, so that a rank without an image still takes part in the gathering.
        for state in (self.real_points, self.fake_points):
            if not state:
                state.append(torch.zeros(0, 2, device=self.device))

    def update(self, images: Tensor, real: bool) -> None:
        """Measure flux images (N, C, H, W), or add points (N, 2) as they are."""
        if images.ndim == 2:
            points = images
        elif why_not(self.spec) is None:
            columns = measure(images.detach().cpu(), self.spec, method=self.method)
            points = torch.from_numpy(points_of(columns))
        else:
            return
        state = self.real_points if real else self.fake_points
        state.append(points.detach().to(self.device, torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """Fractions and their ratio, float32 scalars."""
        real, fake = (_rows(state) for state in (self.real_points, self.fake_points))
        values = dict.fromkeys(("fraction", "real", "ratio"), float("nan"))
        if np.isfinite(real).all(axis=1).sum() >= 4 and len(fake):
            halves = _halves(real)
            values["fraction"] = fraction_inside(real, fake)
            values["real"] = float(
                np.mean([fraction_inside(a, b) for a, b in (halves, halves[::-1])])
            )
            values["ratio"] = values["fraction"] / max(values["real"], 1 / len(real))
        return {k: torch.tensor(v, dtype=torch.float32) for k, v in values.items()}

    def reset(self) -> None:
        """Forget the generated points, and the real ones unless they are kept."""
        kept = None if self.reset_real_features else list(self.real_points)
        super().reset()
        if kept is not None:
            self.real_points = kept
        self._start()


def _rows(state: list[Tensor] | Tensor) -> NDArray[np.float64]:
    blocks = torch.cat(state) if isinstance(state, list) else state
    return blocks.cpu().double().numpy().reshape(-1, 2)


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
