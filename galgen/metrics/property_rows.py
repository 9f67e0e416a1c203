"""One row of named numbers a galaxy: photometry, morphology and spectrum, as measured."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from galgen.bands import ImageSpec
from galgen.measure.bandorder import blue_to_red, colour_pair
from galgen.measure.morphology import measure_morphology
from galgen.measure.photometry import Method, measure
from galgen.metrics.spectrum import ring_names, spectrum_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Properties of group H1; its Sersic index is left out, which takes a fit.
MORPHOLOGY = (
    "r_half",
    "ellipticity",
    "orientation",
    "gini",
    "m20",
    "concentration",
    "asymmetry",
    "smoothness",
)


def property_names(
    spec: ImageSpec, morphology: bool = True, spectrum: bool = True
) -> tuple[str, ...]:
    """Columns of a set's rows.

    ``magnitude``; ``colour`` of `colour_pair`, and the other colours of neighbouring bands, such as
    ``r-i``; the properties of `MORPHOLOGY` and ``bulge``, without `morphology` only ``r_half`` and
    ``ellipticity``; and with `spectrum` its rings.
    """
    names = ["magnitude", *_colours(spec)]
    names += [*MORPHOLOGY, "bulge"] if morphology else ["r_half", "ellipticity"]
    return (*names, *ring_names(spec)) if spectrum else tuple(names)


def _colours(spec: ImageSpec) -> dict[str, tuple[str, str]]:
    """Colour to its two bands; none for one band."""
    pair = colour_pair(spec.bands)
    if pair is None:
        return {}
    found = {"colour": (spec.bands[pair[0]], spec.bands[pair[1]])}
    ordered = (spec.bands[c] for c in blue_to_red(spec.bands))
    return found | {f"{a}-{b}": (a, b) for a, b in pairwise(ordered) if (a, b) != found["colour"]}


def property_rows(
    photometry: Mapping[str, NDArray[Any]],
    spec: ImageSpec,
    morphology: Mapping[str, Tensor] | None = None,
    spectrum: Tensor | None = None,
) -> NDArray[np.float64]:
    """Rows (N, F) of `property_names` from what was measured.

    Parameters
    ----------
    photometry
        Columns of `galgen.measure.photometry.measure`.
    spec
        Facts about the images.
    morphology
        Those of `galgen.measure.morphology.measure_morphology`, whose ``r_half`` and
        ``ellipticity`` go before those of photometry.
    spectrum
        `galgen.metrics.spectrum.spectrum_rows`.

    Returns
    -------
    array
        Not-a-number where a galaxy could not be measured.
    """
    columns = dict(photometry)
    for name, (blue, red) in _colours(spec).items():
        columns[name] = photometry[f"mag_{blue}"] - photometry[f"mag_{red}"]
    columns |= {k: v.detach().cpu().double().numpy() for k, v in (morphology or {}).items()}
    if spectrum is not None:
        rings = spectrum.detach().cpu().double().numpy()
        columns |= {f"spectrum_{k}": ring for k, ring in enumerate(rings.T)}
    names = property_names(spec, morphology is not None, spectrum is not None)
    return np.column_stack([columns[name] for name in names]).astype(np.float64)


def measure_rows(
    flux: Tensor,
    spec: ImageSpec,
    method: Method = "kron",
    morphology: bool = True,
    spectrum: bool = True,
) -> Tensor:
    """Rows (N, F) of `property_names`, float32, of flux images (N, C, H, W) on any device."""
    with torch.no_grad():
        rows = property_rows(
            measure(flux.detach().cpu(), spec, method=method),
            spec,
            measure_morphology(flux, spec) if morphology else None,
            spectrum_rows(flux, spec) if spectrum else None,
        )
    return torch.from_numpy(rows).float()
