"""How bright a galaxy is asked to be, in one band or in each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from galgen.bands import ImageSpec
from galgen.errors import ConfigError

#: A number, or numbers by band.
PerBand = float | Mapping[str, float]


def factors(
    spec: ImageSpec,
    totals: NDArray[np.float64],
    flux: PerBand | None,
    magnitude: PerBand | None,
    zero_point: PerBand | None,
    name: str,
) -> NDArray[np.float64]:
    """What each band of a galaxy is multiplied by, (bands,).

    Parameters
    ----------
    spec
        Names and zero points of the bands.
    totals
        Flux per band (bands,) in the model's unit.
    flux, magnitude
        What it should have: one number for one band, and the others keep their colours, or all.
    zero_point
        AB magnitude of one unit of the flux that comes out; None for the model's own.
    name
        What messages call the galaxy.

    Raises
    ------
    ConfigError
        If that does not say how bright it is, or there is nothing to be scaled.
    """
    own = np.array([np.nan if zero is None else zero for zero in spec.zero_points])
    new = own if zero_point is None else _all(spec.bands, "zero_point", zero_point)
    unit = np.ones(len(own)) if zero_point is None else 10 ** (0.4 * (new - own))
    if flux is not None and magnitude is not None:
        raise ConfigError("flux and magnitude both say how bright a galaxy is: give one of them.")
    given = magnitude if flux is None else flux
    if given is None:
        if spec.display:
            raise ConfigError(
                "this model makes pictures, whose values are no fluxes: say how bright its "
                "galaxies are, by flux or magnitude."
            )
        return _known(unit, "zero_point: this model does not know its own, so say flux instead.")
    option = "magnitude" if flux is None else "flux"
    wanted = _numbers(spec.bands, option, given)
    asked = np.flatnonzero(np.isfinite(wanted)).tolist()
    if flux is None:
        wanted = 10 ** (-0.4 * (wanted - new))
        _known(wanted[asked], "magnitude: this model has no zero points, so give zero_point.")
    for row in asked:
        if totals[row] <= 0 or wanted[row] <= 0:
            why = "no light in it" if totals[row] <= 0 else "it must be above 0"
            raise ConfigError(f"{option} of {name} in {spec.bands[row]}: {why}.")
    if len(asked) == len(totals):
        return wanted / totals
    # Colours of instrumental magnitudes are those of the fluxes as they are.
    unit = np.where(np.isfinite(unit), unit, 1.0)
    row = asked[0]
    return unit * wanted[row] / (unit[row] * totals[row])


def _numbers(bands: tuple[str, ...], option: str, given: PerBand) -> NDArray[np.float64]:
    """Numbers (bands,) as they were given, NaN where none was."""
    if not isinstance(given, Mapping):
        if len(bands) > 1:
            raise ConfigError(
                f"{option}={given:g}: say in which band, as in "
                f"{option}={{{bands[0]!r}: {given:g}}}."
            )
        given = {bands[0]: given}
    for name in given:
        if name not in bands:
            raise ConfigError(f"{option} of {name}: this model has {', '.join(bands)}.")
    if len(given) not in (1, len(bands)):
        raise ConfigError(f"{option}: give it of one band or of all, {', '.join(bands)}.")
    found = np.array([float(given.get(band, np.nan)) for band in bands])
    if np.isfinite(found).sum() != len(given):
        raise ConfigError(f"{option}: give finite numbers.")
    return found


def _all(bands: tuple[str, ...], option: str, given: PerBand) -> NDArray[np.float64]:
    """Numbers (bands,), one for all or one of each."""
    if not isinstance(given, Mapping):
        return np.full(len(bands), float(given))
    if set(given) != set(bands):
        raise ConfigError(f"{option}: give one for all bands, or one of each, {', '.join(bands)}.")
    return np.array([float(given[band]) for band in bands])


def _known(values: NDArray[np.float64], otherwise: str) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise ConfigError(otherwise)
    return values
