"""Spaces in which a copy of an image lies near it whatever way up it is, and where.

Distances of raw pixels miss a copy that is turned or shifted: most other galaxies are nearer. A
space turns images into rows that are not changed by it, and smooths them so that a copy with
other noise stays near.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from galgen.metrics.frames import Framing, sample, turned

if TYPE_CHECKING:
    from galgen.metrics.features import FeatureExtractor

#: Radius around the centroid that is compared, as a share of the side: turned by 45 degrees and
#: shifted by a few pixels, it still lies inside the image.
_RADIUS = 0.4
_SMALL = 1e-6
#: Weight of the spread among images beside that of changes in one: directions that nothing
#: changes must not weigh without bound.
_BETWEEN = 0.01
_FEATURE_SAMPLE = 512


class Space(Protocol):
    """Turns flux images into rows whose Euclidean distance is small for copies.

    Attributes
    ----------
    name
        Short name, for results.
    width
        Numbers D in a row.
    """

    name: str
    width: int

    def __call__(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Flux (N, C, H, W) to rows (N, D), float32 and finite, and (N,) whether each counts.

        Images without light do not: they are all alike, and would match perfectly.
        """
        ...

    def variants(self, rows: Tensor) -> Tensor:
        """Rows (N, V, D) of the ways to lie that the space cannot tell apart."""
        ...


class AlignedSpace:
    r"""Smoothed pixels, centred and turned so that the first principal axis of light lies along x.

    The radio generator's best pairs (Griese et al. 2023) are aligned likewise. An axis has two
    ends and an image a mirror image, so that four variants of each image are tried. Asinh stretch,
    all bands, at most `pixels` a side: coarse pixels hold little noise.

    Parameters
    ----------
    framing
        Finds centroid and axis.
    pixels
        Side of the rows' image.
    """

    name = "aligned"

    def __init__(self, framing: Framing, pixels: int = 16) -> None:
        self.framing, self.pixels = framing, min(pixels, framing.size, 32)
        self.width = framing.stretch.n_bands * self.pixels**2
        radius = _RADIUS * framing.size
        step = 2 * radius / self.pixels
        axis = (torch.arange(self.pixels) - (self.pixels - 1) / 2) * step
        self._u, self._v = axis.expand(self.pixels, -1), axis[:, None].expand(-1, self.pixels)
        fade = (1.05 * radius - torch.hypot(self._u, self._v)) / (radius / 4)
        self._weight = fade.clamp(0, 1)
        self._blur = max(0.5, 0.6 * step)

    @classmethod
    def fit(cls, flux: Tensor, pixels: int = 16) -> AlignedSpace:
        """With the sky, noise and range of training images (N, C, H, W)."""
        return cls(Framing.fit(flux), pixels)

    def __call__(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, D) and whether each image has light (N,)."""
        x = self.framing.stretched(flux)
        frame = self.framing(x)
        cos, sin = frame.angle.cos()[:, None, None], frame.angle.sin()[:, None, None]
        u, v = self._u.to(x), self._v.to(x)
        columns = frame.x[:, None, None] + cos * u - sin * v
        rows = frame.y[:, None, None] + sin * u + cos * v
        turned = sample(self.framing.smooth(x, self._blur), columns, rows) * self._weight.to(x)
        return turned.flatten(1), frame.active

    def variants(self, rows: Tensor) -> Tensor:
        """The four mirror images (N, 4, D) along the axes."""
        x = rows.view(-1, self.framing.stretch.n_bands, self.pixels, self.pixels)
        return torch.stack([x, x.flip(-1), x.flip(-2), x.flip(-1, -2)], 1).flatten(2)


class PolarSpace:
    r"""Moduli of the angular Fourier modes on rings around the centroid of light.

    :math:`|F_m(r)| = |\frac{1}{A} \sum_a I(r, \theta_a) e^{-2 \pi i m a / A}|`, which no turn
    and no flip changes. Only modes m below `modes` are kept: noise lies mostly above. Each is
    weighted by :math:`\sqrt{r}`, as the ring's pixels would be.

    Parameters
    ----------
    framing
        Finds the centroid.
    rings, modes
        Numbers of radii and of modes.
    """

    name = "polar"

    def __init__(self, framing: Framing, rings: int = 10, modes: int = 9) -> None:
        self.framing, self.modes = framing, modes
        self.width = framing.stretch.n_bands * rings * modes
        radius = ((torch.arange(rings) + 0.5) * _RADIUS * framing.size / rings)[:, None]
        angle = torch.arange(64) * (2 * math.pi / 64)
        self._u, self._v = radius * angle.cos(), radius * angle.sin()
        # A mode above 0 stands for two, m and -m.
        double = torch.full((modes,), math.sqrt(2))
        double[0] = 1
        self._weight = (radius / radius.mean()).sqrt() * double
        self._blur = max(0.7, 0.025 * framing.size)

    @classmethod
    def fit(cls, flux: Tensor) -> PolarSpace:
        """With the sky, noise and range of training images (N, C, H, W)."""
        return cls(Framing.fit(flux))

    def __call__(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, D) and whether each image has light (N,)."""
        x = self.framing.stretched(flux)
        frame = self.framing(x)
        columns = frame.x[:, None, None] + self._u.to(x)
        rows = frame.y[:, None, None] + self._v.to(x)
        rings = sample(self.framing.smooth(x, self._blur), columns, rows)
        size = torch.fft.rfft(rings, dim=-1, norm="forward").abs()[..., : self.modes]
        return (size * self._weight.to(x)).flatten(1), frame.active

    def variants(self, rows: Tensor) -> Tensor:
        """The rows as they are, (N, 1, D)."""
        return rows[:, None]


class FeatureSpace:
    """Features of an extractor, each direction in units of what turns, shifts and noise do to it.

    Differences that a copy may have must weigh little, so the training images' features are taken
    again after a turn by any angle, a shift by up to 3 pixels and noise of the sky's strength.
    With the covariance W of these changes and B of the features themselves, distances are those
    of rows whitened by ``W + 0.01 B``.

    Parameters
    ----------
    extractor
        Turns flux into features (N, F).
    centre, whitening
        (F,) and (F, F): rows are ``(features - centre) @ whitening``.
    framing
        Tells images with light from those without.
    """

    def __init__(
        self, extractor: FeatureExtractor, centre: Tensor, whitening: Tensor, framing: Framing
    ) -> None:
        self.extractor, self.name, self.width = extractor, extractor.name, extractor.n_features
        self.centre, self.whitening, self.framing = centre, whitening, framing

    @classmethod
    def fit(
        cls,
        extractor: FeatureExtractor,
        flux: Tensor,
        framing: Framing | None = None,
        seed: int = 0,
    ) -> FeatureSpace:
        """With what turns, shifts and noise do to training images (N, C, H, W).

        At most 512 of them are looked at.
        """
        flux = torch.nan_to_num(flux.float())
        framing = framing or Framing.fit(flux)
        flux = flux[:: -(-len(flux) // _FEATURE_SAMPLE)]
        before = _features(extractor, flux)
        change = _features(extractor, _disturbed(flux, framing.sky_noise, seed)) - before
        # One unit for all features, or those of small numbers would vanish in the rounding.
        unit = before.std(0, correction=0).double()
        unit = torch.where(unit > _SMALL, unit, 1.0)
        within = (change / unit).double()
        between = (before - before.mean(0)) / unit
        covariance = (within.T @ within + _BETWEEN * between.T @ between) / len(flux)
        values, vectors = torch.linalg.eigh(covariance)
        root = values.clamp_min(_SMALL * max(_SMALL, float(values[-1]))).rsqrt()
        whitening = (vectors * root) @ vectors.T / unit[:, None]
        return cls(extractor, before.mean(0), whitening.float(), framing)

    def __call__(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, D) and whether each image has light (N,)."""
        active = self.framing(self.framing.stretched(flux)).active
        rows = _features(self.extractor, flux)
        return (rows - self.centre.to(rows)) @ self.whitening.to(rows), active

    def variants(self, rows: Tensor) -> Tensor:
        """The rows as they are, (N, 1, D)."""
        return rows[:, None]


def _disturbed(flux: Tensor, noise: Tensor, seed: int) -> Tensor:
    """Images turned by any angle, shifted by up to 3 pixels, with noise of the sky's strength."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(len(flux), generator=generator)
    shift = torch.randint(-3, 4, (len(flux), 2), generator=generator)
    added = torch.randn(flux.shape, generator=generator).to(flux)
    return turned(flux, angle, shift) + noise.to(flux).view(-1, 1, 1) * added


def fit_spaces(flux: Tensor, extractors: Sequence[FeatureExtractor] = ()) -> list[Space]:
    """Aligned and polar space, and those of `extractors`, fitted on training images."""
    framing = Framing.fit(flux)
    spaces: list[Space] = [AlignedSpace(framing), PolarSpace(framing)]
    return [*spaces, *(FeatureSpace.fit(extractor, flux, framing) for extractor in extractors)]


def _features(extractor: FeatureExtractor, flux: Tensor) -> Tensor:
    with torch.no_grad():
        parts = [extractor(block) for block in flux.split(256)]
    return torch.nan_to_num(torch.cat(parts).float())
