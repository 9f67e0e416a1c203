"""What is measured on each galaxy of a set, in one pass over its images.

Only numbers stay, a row a galaxy, so that memory does not grow with the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.photometry import measure
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.images import BLOCK, Images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.measure.photometry import Columns

#: Shapes that the batched torch measurement gives.
SHAPES = ("gini", "m20", "concentration", "asymmetry", "smoothness", "r_petro", "orientation",
          "bulge")  # fmt: skip


class Measure(Protocol):
    """Flux (N, C, H, W) of a block to columns (N,) by name."""

    def __call__(self, flux: Tensor, spec: ImageSpec) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Instruments:
    """What is measured.

    Attributes
    ----------
    spec
        Facts of the images.
    photometry
        Method of `galgen.measure.photometry.measure`.
    extractors
        Name to what gives features.
    shapes
        Measures morphology; None leaves it out.
    spectrum
        Flux to the rows of the power spectrum; None leaves it out.
    counts
        Flux to counts of histograms (radio images); None leaves them out.
    device
        Where extractors, shapes and spectra are computed.
    """

    spec: ImageSpec
    photometry: str = "kron"
    extractors: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    shapes: Measure | None = None
    spectrum: Callable[[Tensor], Tensor] | None = None
    counts: Callable[[Tensor], Tensor] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass
class Survey:
    """Rows of one set, a galaxy each.

    Attributes
    ----------
    columns
        Photometry and shapes, (N,) each.
    features
        Extractor to (N, F).
    spectra
        (N, rings), or None.
    counts
        (N, bins), or None.
    """

    columns: Columns
    features: dict[str, NDArray[Any]]
    spectra: NDArray[Any] | None = None
    counts: NDArray[Any] | None = None


def survey(
    images: Images,
    instruments: Instruments,
    redshift: NDArray[np.float64] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Survey:
    """Measure every image of a set.

    Parameters
    ----------
    images
        The set, read once.
    instruments
        What is measured.
    redshift
        (N,), for absolute magnitudes.
    progress
        Called with the number of images of each block.
    """
    spec = instruments.spec
    columns: list[dict[str, NDArray[Any]]] = []
    features: dict[str, list[NDArray[Any]]] = {name: [] for name in instruments.extractors}
    spectra: list[NDArray[Any]] = []
    counts: list[NDArray[Any]] = []
    start = 0
    for flux in images.blocks(BLOCK):
        z = None if redshift is None else redshift[start : start + len(flux)]
        start += len(flux)
        found = dict(measure(flux, spec, method=instruments.photometry, redshift=z))  # type: ignore[arg-type]
        there = flux.to(instruments.device)
        if instruments.shapes is not None:
            shapes = instruments.shapes(there, spec)
            found |= {name: _array(shapes[name]) for name in SHAPES}
        columns.append(found)
        with torch.no_grad():
            for name, extractor in instruments.extractors.items():
                features[name].append(_array(extractor(there)))
            if instruments.spectrum is not None:
                spectra.append(_array(instruments.spectrum(there)))
            if instruments.counts is not None:
                counts.append(_array(instruments.counts(flux)))
        if progress is not None:
            progress(len(flux))
    return Survey(
        {name: np.concatenate([part[name] for part in columns]) for name in columns[0]},
        {name: np.concatenate(parts) for name, parts in features.items()},
        np.concatenate(spectra) if spectra else None,
        np.concatenate(counts) if counts else None,
    )


def _array(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
