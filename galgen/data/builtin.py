"""Opening the built-in sets, which have no files: their images, classes and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec, band_indices
from galgen.data.classes import classify, label_of
from galgen.data.conditioned import condition_set
from galgen.data.draw import draw
from galgen.data.facts import per_band
from galgen.data.numbers import Source
from galgen.data.sets import SERSIC_COUNT, ArraySet
from galgen.data.table import pick, split_column
from galgen.data.wanted import CATALOGUE, Wanted
from galgen.errors import ConfigError


def open_built_in(
    source: str,
    *,
    size: int,
    bands: tuple[str, ...] | None,
    labels: str | None,
    condition: str | Sequence[str],
    count: int | None,
    seed: int,
    pixscale: float | None,
    psf_fwhm: float | Sequence[float] | None,
    bad_fraction: float,
) -> ArraySet:
    """``hubble`` or ``sersic``; see `galgen.data.sets.open_set` for the options.

    Raises
    ------
    ConfigError
        If classes or numbers are wanted that its catalogue has not.
    """
    opened = _hubble if source == "hubble" else _sersic
    cutouts = opened(size, bands, count, seed, pixscale, psf_fwhm)
    where = f"the catalogue of {source}"

    def own(wanted: Wanted) -> Source:
        if wanted.source != CATALOGUE:
            raise ConfigError(
                f"{wanted}: the set {source} has no files; take numbers that are measured "
                f"(measure:mag_{cutouts.spec.bands[0]}) or those of its own catalogue "
                f"({CATALOGUE}:NAME, of {', '.join(cutouts.catalogue)})."
            )
        return Source(where, cutouts.catalogue, np.arange(len(cutouts)))

    if labels is not None:
        file, column = split_column(labels, "--labels")
        if file != CATALOGUE:
            raise ConfigError(
                f"--labels {labels}: a table in data.labels is for folders; the set {source} has "
                f"its own, {CATALOGUE}:COLUMN, with {', '.join(cutouts.catalogue)}."
            )
        name = pick(cutouts.catalogue, column, where, "--labels")
        cutouts = classify(
            cutouts,
            _class_names(source, name, cutouts.catalogue[name]),
            labels,
            cutouts.names,
            bad_fraction,
            source,
        )
    return condition_set(cutouts, condition, own, cutouts.names, bad_fraction, source)


def _class_names(source: str, column: str, values: NDArray[np.generic]) -> list[str | None]:
    from galgen.data.sersic import KINDS

    if source == "sersic" and column == "kind":
        return [KINDS[int(kind)] for kind in values]
    return [label_of(str(value)) for value in values]


def _hubble(
    size: int,
    bands: tuple[str, ...] | None,
    count: int | None,
    seed: int,
    pixscale: float | None,
    psf_fwhm: float | Sequence[float] | None,
) -> ArraySet:
    from galgen.data.hubble import BANDS, hubble, overlap_groups

    pixels, names, table = hubble(size)
    spec = ImageSpec(size=size, bands=BANDS, pixel_scale=pixscale, display=True)
    if psf_fwhm is not None:
        spec = spec.replace(psf_fwhm=per_band(psf_fwhm, len(BANDS), "data.psf_fwhm"))
    if bands is not None:
        rows = band_indices(BANDS, bands)
        pixels, spec = pixels[:, rows], spec.select([BANDS[row] for row in rows])
    rows_kept = draw(len(names), count, seed)
    names = [names[row] for row in rows_kept]
    groups, reach = overlap_groups(names, size)
    notes = (
        ()
        if reach == size
        else (
            f"cutouts of {size} px overlap in long chains, so training and hold-out may share "
            f"pixels at the rims; their central {reach} px are apart.",
        )
    )
    return ArraySet(
        pixels=pixels[rows_kept],
        spec=spec,
        name="hubble",
        names=names,
        groups=groups,
        catalogue={key: column[rows_kept] for key, column in table.items()},
        notes=notes,
    )


def _sersic(
    size: int,
    bands: tuple[str, ...] | None,
    count: int | None,
    seed: int,
    pixscale: float | None,
    psf_fwhm: float | Sequence[float] | None,
) -> ArraySet:
    from galgen.data import sersic

    n = SERSIC_COUNT if count is None else count
    options: dict[str, Any] = {
        "size": size,
        "bands": sersic.DEFAULT_BANDS if bands is None else bands,
        "pixel_scale": pixscale,
        "psf_fwhm": psf_fwhm,
    }
    flux, catalogue = sersic.simulate(n, seed=seed, **options)
    return ArraySet(
        pixels=flux,
        spec=sersic.spec(**options),
        name="sersic",
        names=[f"sersic_{i:06d}" for i in range(n)],
        catalogue=catalogue,
    )
