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
from galgen.measure.photometry import Method, measure
from galgen.metrics.features import FeatureExtractor
from galgen.metrics.images import BLOCK, Images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from galgen.measure.photometry import Columns


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
    block
        Images in memory at a time.
    """

    spec: ImageSpec
    photometry: Method = "kron"
    extractors: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    shapes: Measure | None = None
    spectrum: Callable[[Tensor], Tensor] | None = None
    counts: Callable[[Tensor], Tensor] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    block: int = BLOCK


@dataclass
class Survey:
    """Rows of one set, a galaxy each.

    Attributes
    ----------
    columns
        Photometry and morphology, (N,) each; what both have is photometry's.
    features
        Extractor to (N, F).
    shapes
        Morphology alone, (N,) each, or None.
    spectra
        (N, rings), or None.
    counts
        (N, bins), or None.
    """

    columns: Columns
    features: dict[str, NDArray[Any]]
    shapes: Columns | None = None
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
    shapes: list[dict[str, NDArray[Any]]] = []
    features: dict[str, list[NDArray[Any]]] = {name: [] for name in instruments.extractors}
    spectra: list[NDArray[Any]] = []
    counts: list[NDArray[Any]] = []
    start = 0
    for flux in images.blocks(instruments.block):
        z = None if redshift is None else redshift[start : start + len(flux)]
        start += len(flux)
        columns.append(measure(flux, spec, method=instruments.photometry, redshift=z))
        there = flux.to(instruments.device)
        with torch.no_grad():
            if instruments.shapes is not None:
                found = instruments.shapes(there, spec)
                shapes.append({name: _array(column) for name, column in found.items()})
            for name, extractor in instruments.extractors.items():
                features[name].append(_array(extractor(there)))
            if instruments.spectrum is not None:
                spectra.append(_array(instruments.spectrum(there)))
            if instruments.counts is not None:
                counts.append(_array(instruments.counts(flux)))
        if progress is not None:
            progress(len(flux))
    shape = _joined(shapes) if shapes else None
    return Survey(
        {**(shape or {}), **_joined(columns)},
        {name: np.concatenate(parts) for name, parts in features.items()},
        shape,
        np.concatenate(spectra) if spectra else None,
        np.concatenate(counts) if counts else None,
    )


def _joined(parts: list[dict[str, NDArray[Any]]]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _array(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
