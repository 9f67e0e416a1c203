"""Fluxes per pixel and surface brightness, when pixels change."""

from __future__ import annotations

import math

from galgen.bands import ImageSpec

#: Ends of units of brightness, per solid angle or per beam, whose pixels say nothing of its size.
_PER_AREA = tuple(
    form.format(area)
    for area, forms in (
        ("sr", ("/{}", "{}-1", "{}^-1", "{}**-1")),
        ("beam", ("/{}", "{}-1", "{}^-1", "{}**-1")),
        ("arcsec", ("/{}2", "/{}^2", "/{}**2", "{}-2", "{}^-2", "{}**-2")),
    )
    for form in forms
)


def rescaled(spec: ImageSpec, ratio: float) -> tuple[float, tuple[float | None, ...]]:
    """What values are multiplied by once the light is shared out anew, and their zero points.

    A flux is that of its pixel. A surface brightness such as MJy/sr or Jy/beam stays where the
    light is spread evenly, so that the zero point of a pixel changes: see
    `galgen.bands.zero_point_of_unit`.

    Parameters
    ----------
    ratio
        Side of a new pixel in old ones.
    """
    unit = spec.unit.replace(" ", "").lower()
    if ratio == 1 or not unit.endswith(_PER_AREA):
        return 1.0, spec.zero_points
    shift = 5 * math.log10(ratio)
    return ratio**-2, tuple(None if zero is None else zero - shift for zero in spec.zero_points)
