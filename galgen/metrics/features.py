"""Feature vectors of images, for distances between sets.

A distance between sets of images is a distance between sets of vectors; what the vectors
hold decides what it can see. `PhysicsFeatures` holds what an astronomer measures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.bandorder import blue_to_red
from galgen.stretch import Stretch


@runtime_checkable
class FeatureExtractor(Protocol):
    """Anything that turns flux images into vectors.

    Attributes
    ----------
    name
        Short name, for results.
    n_features
        Length F of the vector.
    """

    name: str
    n_features: int

    def __call__(self, flux: Tensor) -> Tensor:
        """Flux (N, C, H, W) to features (N, F), float32 and finite."""
        ...


#: Rows of the vector that profile and spectrum may take together over all bands, so that a
#: set of 150 galaxies still determines the covariance.
_PROFILE_ROWS = 28
_SPECTRUM_ROWS = 21
_SHAPE_NAMES = ("size", "ellipticity", "half_light", "concentration", "gini", "asymmetry", "peak")
#: Threshold of the shape measurements in units of the smoothed reference's noise.
_THRESHOLD = 2.0
_SMALL = 1e-6


class PhysicsFeatures:
    r"""Photometry, shape, concentration, radial profile and power spectrum, in pure torch.

    Fluxes are first brought to units of the set's sky noise, :math:`x = (f - b)/\sigma` with
    one level and one noise per band for *all* images: nothing is scaled per image. Everything
    is then logarithmic or an asinh, so that one bright star cannot rule the covariance. All
    features are unchanged by quarter turns and flips.

    ============= ======= =======================================================================
    group         rows    what
    ============= ======= =======================================================================
    photometry    1       asinh of the reference image's flux in the inscribed circle
    colour        C - 1   differences of neighbouring bands' asinh fluxes, within a quarter side
    shape         7       log second-moment size, ellipticity modulus \|e\|, log half-light
                          radius, concentration 5 log(r80/r20), Gini (Lotz et al. 2004),
                          180-degree asymmetry (Conselice 2003, fixed centre), asinh peak
    profile       C K     asinh of the mean in K rings around the centre
    spectrum      C B     log10 of the mean of ``|fft2| / n`` in B rings of frequency
    coherence     1       mean correlation of neighbouring bands' pixels (two bands or more)
    ============= ======= =======================================================================

    K and B shrink with the number of bands, so that the vector has at most 64 numbers for up
    to 7 bands. White sky noise has a spectrum near 0 (SCIENCE H2 divides by n squared
    instead of n: a constant offset). Ring edges grow geometrically, from whole pixels.

    Parameters
    ----------
    spec
        Size and bands.
    level, noise
        Sky level and noise per band, in flux units; by default 0 and 1, which suits display
        images. `fit` takes them from the real set, the same for real and generated images.

    Examples
    --------
    >>> import torch
    >>> from galgen.bands import ImageSpec
    >>> images = torch.randn(8, 3, 32, 32)
    >>> features = PhysicsFeatures.fit(images, ImageSpec(32, ("g", "r", "i")))
    >>> tuple(features(images).shape) == (8, features.n_features)
    True
    """

    name = "physics"

    def __init__(
        self,
        spec: ImageSpec,
        level: Sequence[float] | None = None,
        noise: Sequence[float] | None = None,
    ) -> None:
        self.spec = spec
        bands, size = spec.n_bands, spec.size
        self.level = torch.tensor(level or [0.0] * bands, dtype=torch.float32)
        self.noise = torch.tensor(noise or [1.0] * bands, dtype=torch.float32)
        if self.level.numel() != bands or self.noise.numel() != bands:
            raise ValueError(f"level and noise need {bands} numbers, one a band")
        if not bool((self.noise > 0).all()):
            raise ValueError("noise must be positive in every band")
        self._order = list(blue_to_red(spec.bands))
        axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        self._x, self._y = axis.expand(size, size), axis[:, None].expand(size, size)
        self._radius = torch.hypot(self._x, self._y)
        inside = self._radius.floor().long()
        frequency = torch.fft.fftfreq(size, d=1 / size)
        rings = torch.hypot(frequency.expand(size, size), frequency[:, None].expand(size, size))
        half = size // 2
        self._profile = _grouping(inside, half, _rows_per_band(_PROFILE_ROWS, bands, 4))
        self._spectrum = _grouping(
            rings.round().long() - 1, half, _rows_per_band(_SPECTRUM_ROWS, bands, 3)
        )
        self.names = self._names()
        self.n_features = len(self.names)

    @classmethod
    def fit(cls, real: Tensor, spec: ImageSpec) -> PhysicsFeatures:
        """Take the sky level and noise of the real set, (N, C, H, W) in flux.

        They are those of an asinh `Stretch`; noise-free pictures get one grey level.
        """
        stretch = Stretch.fit(torch.nan_to_num(real.float()), "asinh")
        noise = stretch.scale.clamp_min(1.0) if spec.display else stretch.scale
        return cls(spec, stretch.low.tolist(), noise.tolist())

    def _names(self) -> list[str]:
        ordered = [self.spec.bands[c] for c in self._order]
        names = ["flux", *(f"{a}-{b}" for a, b in pairwise(ordered))]
        names += _SHAPE_NAMES
        names += [f"profile_{b}_{k}" for b in self.spec.bands for k in range(len(self._profile))]
        names += [f"spectrum_{b}_{k}" for b in self.spec.bands for k in range(len(self._spectrum))]
        return names + (["coherence"] if self.spec.n_bands > 1 else [])

    def __call__(self, flux: Tensor) -> Tensor:
        """Features (N, F), float32, finite for any input; on the device of `flux`."""
        if flux.ndim != 4 or tuple(flux.shape[1:]) != self.spec.shape:
            raise ValueError(f"expected (N, {', '.join(map(str, self.spec.shape))}), got "
                             f"{tuple(flux.shape)}")  # fmt: skip
        x = (flux.detach().float() - self._like(self.level, flux)) / self._like(self.noise, flux)
        # The bound keeps squares and sums of absurd images inside float32.
        x = torch.nan_to_num(x, nan=0.0, posinf=1e8, neginf=-1e8).clamp(-1e8, 1e8)
        reference = x.sum(1) / math.sqrt(self.spec.n_bands)
        parts = [
            self._photometry(x, reference),
            self._shape(reference),
            torch.asinh(_ring_means(x, self._profile)).flatten(1),
            self._power(x),
        ]
        if self.spec.n_bands > 1:
            parts.append(self._coherence(x))
        return torch.nan_to_num(torch.cat(parts, 1))

    def _like(self, values: Tensor, flux: Tensor) -> Tensor:
        return values.to(flux.device).view(-1, 1, 1)

    def _circle(self, x: Tensor, radius: float) -> Tensor:
        mask = (self._radius <= radius).to(x)
        # In units of the noise of such a sum.
        return (x * mask).sum((-2, -1)) / mask.sum().sqrt()

    def _photometry(self, x: Tensor, reference: Tensor) -> Tensor:
        flux = torch.asinh(self._circle(reference, self.spec.size / 2))
        bands = torch.asinh(self._circle(x, max(1.0, self.spec.size / 4)))[:, self._order]
        return torch.cat([flux[:, None], bands[:, :-1] - bands[:, 1:]], 1)

    def _shape(self, reference: Tensor) -> Tensor:
        padded = F.pad(reference[:, None], (1, 1, 1, 1), mode="reflect")
        # 3x3 mean: noise sigma of 1/3, and the same under quarter turns.
        smooth = F.avg_pool2d(padded, 3, stride=1)[:, 0]
        segment = (smooth > _THRESHOLD / 3).to(reference)
        light = reference.clamp_min(0) * segment
        total = light.sum((1, 2)).clamp_min(_SMALL)
        xs, ys = self._x.to(reference), self._y.to(reference)
        cx, cy = ((light * a).sum((1, 2)) / total for a in (xs, ys))
        dx, dy = xs - cx[:, None, None], ys - cy[:, None, None]
        xx, yy, xy = ((light * a).sum((1, 2)) / total for a in (dx * dx, dy * dy, dx * dy))
        trace = (xx + yy).clamp_min(1 / 6)
        ellipticity = torch.hypot(xx - yy, 2 * xy) / trace
        r20, r50, r80 = self._growth_radii(light, torch.hypot(dx, dy), (0.2, 0.5, 0.8))
        turned = reference.rot90(2, (1, 2))
        difference = (reference - turned).abs() * torch.maximum(segment, segment.rot90(2, (1, 2)))
        asymmetry = difference.sum((1, 2)) / (2 * total)
        features = [
            0.5 * trace.log(),
            ellipticity,
            (r50 + 0.5).log(),
            5 * ((r80 + 0.5) / (r20 + 0.5)).log10(),
            _gini(light, segment),
            asymmetry.clamp_max(2.0),
            torch.asinh(smooth.amax((1, 2))),
        ]
        found = (segment.sum((1, 2)) > 0)[:, None]
        return torch.stack(features, 1) * found

    def _growth_radii(
        self, light: Tensor, radius: Tensor, fractions: Sequence[float]
    ) -> list[Tensor]:
        """Radii around the centroid that hold the given fractions of the light, each (N,).

        From a histogram in half-pixel rings with linear interpolation, which needs no sort
        and gives every orientation the same sums.
        """
        n, bins = len(light), 2 * self.spec.size
        ring = (radius * 2).floor().long().clamp_max(bins - 1).view(n, -1)
        growth = torch.zeros(n, bins, device=light.device)
        growth = growth.scatter_add(1, ring, light.reshape(n, -1)).cumsum(1)
        growth = growth / growth[:, -1:].clamp_min(_SMALL)
        radii = []
        for fraction in fractions:
            row = (growth < fraction).sum(1).clamp_max(bins - 1)
            below = growth.gather(1, (row - 1).clamp_min(0)[:, None])[:, 0] * (row > 0)
            above = growth.gather(1, row[:, None])[:, 0]
            part = ((fraction - below) / (above - below).clamp_min(_SMALL)).clamp(0, 1)
            radii.append((row + part) / 2)
        return radii

    def _power(self, x: Tensor) -> Tensor:
        amplitude = torch.fft.fft2(x).abs() / self.spec.size
        return (_ring_means(amplitude, self._spectrum) + 1e-2).log10().flatten(1)

    def _coherence(self, x: Tensor) -> Tensor:
        bands = torch.asinh(x)[:, self._order].flatten(2)
        bands = bands - bands.mean(2, keepdim=True)
        norm = bands.norm(dim=2).clamp_min(_SMALL)
        product = (bands[:, :-1] * bands[:, 1:]).sum(2) / (norm[:, :-1] * norm[:, 1:])
        coherence: Tensor = product.mean(1, keepdim=True)
        return coherence


def _rows_per_band(rows: int, bands: int, least: int) -> int:
    return max(least, min(8, rows // bands))


def _grouping(ring: Tensor, count: int, groups: int) -> Tensor:
    """Weights (groups, H W) that average rings 0..count-1 in geometrically growing groups.

    Small images have fewer rings than groups asked for, and then fewer groups.
    """
    steps = [round((count + 1) ** (k / groups)) for k in range(groups + 1)]
    edges = sorted(set(steps))
    masks = [((ring >= a - 1) & (ring < b - 1)).flatten() for a, b in pairwise(edges)]
    return torch.stack([m.float() / m.sum() for m in masks if bool(m.any())])


def _ring_means(x: Tensor, weights: Tensor) -> Tensor:
    """Means (N, C, groups) of images (N, C, H, W)."""
    return x.flatten(2) @ weights.to(x).T


def _gini(light: Tensor, segment: Tensor) -> Tensor:
    r"""Gini coefficient of the pixels in the segment: 0 for equal ones, 1 for a single bright one.

    :math:`G = \sum_i (2 i - n - 1) |f_i| / (\bar f n (n - 1))` over sorted fluxes (Lotz et
    al. 2004, eq. 6). Pixels outside the segment are zero and sort first; the ranks skip them.
    """
    n = segment.sum((1, 2))
    flat = light.flatten(1).sort(dim=1).values
    length = flat.shape[1]
    rank = torch.arange(1, length + 1, device=light.device) - (length - n)[:, None]
    weighted = ((2 * rank - n[:, None] - 1) * flat * (rank > 0)).sum(1)
    return weighted / (flat.sum(1) * (n - 1)).clamp_min(_SMALL)
