"""What an image is: bands, unit, zero points, pixel scale and point spread function.

An `ImageSpec` travels with the data, the checkpoint and every file that galgen writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from galgen.errors import ConfigError

#: AB magnitude of one unit of flux, for units that fix it by themselves.
UNIT_ZERO_POINTS: dict[str, float] = {
    "maggy": 0.0,
    "nanomaggy": 22.5,
    "nmgy": 22.5,
    "jy": 8.9,
    "mjy": 16.4,
    "ujy": 23.9,
    "njy": 31.4,
}
DISPLAY_UNIT = "display"
_ARCSEC_PER_RADIAN = 180.0 * 3600.0 / math.pi


def zero_point_of_unit(unit: str | None, pixel_scale: float | None = None) -> float | None:
    """AB zero point that a unit implies, or None where it implies none.

    Parameters
    ----------
    unit
        ``nanomaggy``, ``uJy``, ``MJy/sr``, ... Case matters only between mJy and MJy; an
        upper-case MJY may be either, and implies nothing.
    pixel_scale
        Arcsec per pixel; needed for surface brightness in MJy/sr, where
        ``zp = -2.5 log10(1e6 * solid_angle_of_a_pixel / 3631)``.
    """
    if unit is None:
        return None
    text = unit.strip().replace(" ", "")
    if text in ("MJy/sr", "MJysr-1"):
        if pixel_scale is None:
            return None
        solid_angle = (pixel_scale / _ARCSEC_PER_RADIAN) ** 2
        return -2.5 * math.log10(1e6 * solid_angle / 3631.0)
    if text == "MJy":
        return 8.9 - 2.5 * 6
    if text.startswith("M") and text.lower() == "mjy":
        return None
    key = text.lower()
    if key not in UNIT_ZERO_POINTS and key.endswith("ies"):
        key = key[:-3] + "y"
    return UNIT_ZERO_POINTS.get(key)


@dataclass(frozen=True)
class ImageSpec:
    """Facts about every image of a set.

    Attributes
    ----------
    size
        Side length in pixels; images are square.
    bands
        Band names in channel order, 1 to 7 of them as a rule.
    unit
        Flux unit of the files (``nanomaggy``, ``count``, ``MJy/sr``), or ``display`` for
        8- and 16-bit pictures, whose values run from 0 to 255.
    zero_points
        AB magnitude of one unit of flux per band; None where it is not known, and then
        magnitudes are instrumental (zero point 0).
    pixel_scale
        Arcsec per pixel, or None.
    psf_fwhm
        Full width at half maximum of the point spread function in arcsec per band, or None.
    display
        True for pictures whose brightness is a display stretch and not a flux.
    """

    size: int
    bands: tuple[str, ...]
    unit: str = DISPLAY_UNIT
    zero_points: tuple[float | None, ...] = ()
    pixel_scale: float | None = None
    psf_fwhm: tuple[float, ...] | None = None
    display: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size must be a positive number of pixels, not {self.size}.")
        if not self.bands:
            raise ConfigError("an image needs at least one band.")
        if len(set(self.bands)) != len(self.bands):
            raise ConfigError(f"band names must differ, got {', '.join(self.bands)}.")
        if not self.zero_points:
            object.__setattr__(self, "zero_points", (None,) * len(self.bands))
        if len(self.zero_points) != len(self.bands):
            raise ConfigError(
                f"{len(self.zero_points)} zero points for {len(self.bands)} bands: give one a band."
            )
        if self.pixel_scale is not None and not 0 < self.pixel_scale < math.inf:
            raise ConfigError(
                f"the pixel scale must be above 0 arcsec, not {self.pixel_scale} (data.pixscale)."
            )
        if self.psf_fwhm is not None and len(self.psf_fwhm) != len(self.bands):
            raise ConfigError(
                f"{len(self.psf_fwhm)} PSF widths for {len(self.bands)} bands: give one a band."
            )

    @property
    def n_bands(self) -> int:
        """Number of bands, which is the number of channels."""
        return len(self.bands)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (bands, size, size)."""
        return (self.n_bands, self.size, self.size)

    @property
    def photometric(self) -> bool:
        """True where pixel values are fluxes."""
        return not self.display

    def replace(self, **changes: Any) -> ImageSpec:
        """A copy with some facts changed."""
        return replace(self, **changes)

    def select(self, bands: Sequence[str]) -> ImageSpec:
        """The same facts for some of the bands, in the order asked for."""
        rows = band_indices(self.bands, bands)
        return replace(
            self,
            bands=tuple(bands),
            zero_points=tuple(self.zero_points[i] for i in rows),
            psf_fwhm=None if self.psf_fwhm is None else tuple(self.psf_fwhm[i] for i in rows),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON types only, for checkpoints, cards and headers."""
        state = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in state.items()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> ImageSpec:
        """Inverse of `to_dict`."""
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in state.items()
        }
        return cls(**known)


def band_indices(have: Sequence[str], want: Sequence[str]) -> list[int]:
    """Positions in `have` of the bands in `want`; case counts only where it must.

    Raises
    ------
    ConfigError
        If a wanted band does not exist.
    """
    have = list(have)
    folded = [b.lower() for b in have]
    rows = []
    for band in want:
        if band in have:
            rows.append(have.index(band))
        elif folded.count(band.lower()) == 1:
            rows.append(folded.index(band.lower()))
        else:
            raise ConfigError(
                f"there is no band {band!r}; the bands are {', '.join(have)} (option --bands)."
            )
    return rows


def parse_bands(text: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """``"g,r,i"`` or a sequence of names to a tuple of names; None stays None."""
    if text is None:
        return None
    parts = text.split(",") if isinstance(text, str) else [str(b) for b in text]
    names = tuple(p.strip() for p in parts if p.strip())
    if not names:
        raise ConfigError("--bands is empty: give names separated by commas, for example g,r,i.")
    return names
