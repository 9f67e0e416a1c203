"""What a telescope is asked to be; `galgen.telescope.view` says what it does to galaxies."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from galgen.errors import ConfigError, DataError
from galgen.io.header import CARDS
from galgen.telescope.noise import Noise

#: Field of a `Telescope` -> key of the provenance, which `galgen.io.header.CARDS` has a card for.
CARD_KEYS = {
    "name": "telescope",
    "psf": "telescope_psf",
    "pixel_scale": "telescope_scale",
    "size": "telescope_size",
    "noise": "telescope_noise",
    "own_psf": "own_psf",
    "noise_seed": "noise_seed",
}
#: Text for no noise at all.
NOISELESS = "none"
#: Types of those fields that are no text.
_CARD_TYPES: dict[str, Any] = {"pixel_scale": int | float, "size": int, "noise_seed": int}
#: Smallest stamp that shows a galaxy.
_SMALLEST = 4


@dataclass(frozen=True)
class Telescope:
    """A telescope, its camera and the night.

    Attributes
    ----------
    name
        Short, for file names; that of the instrument, or empty.
    psf
        As in `galgen.io.psf.read_psf`; None leaves the PSF as the model has it.
    pixel_scale
        Arcsec per pixel; None for the model's own.
    size
        Pixels along a side; None for the same field of view.
    noise
        As in `galgen.telescope.noise`; None for that of the instrument, else none but the model's
        own; ``none`` for none at all.
    own_psf
        The PSF that a model's galaxies carry, where it has no layer for one; None for the width
        that its data say.
    noise_seed
        Of the noise; None for the seed of the samples.
    instrument
        A preset of `galgen.telescope.instruments`, for what the others leave open.
    """

    name: str = ""
    psf: str | None = None
    pixel_scale: float | None = None
    size: int | None = None
    noise: str | None = None
    own_psf: str | None = None
    noise_seed: int | None = None
    instrument: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> Telescope:
        """From what was typed, checked as far as it can be without a model.

        Raises
        ------
        ConfigError
            If there is no such thing, or a value makes no sense.
        """
        known = [entry.name for entry in fields(cls)]
        for name in asked:
            if name not in known:
                near = difflib.get_close_matches(name, known)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ConfigError(
                    f"{name} is nothing that a telescope has: {hint}choose of {', '.join(known)}."
                )
        made = cls(**asked)
        scale, size = made.pixel_scale, made.size
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            raise ConfigError(f"--pixel-scale {scale:g}: give arcsec per pixel, above 0.")
        if size is not None and size < _SMALLEST:
            raise ConfigError(f"--stamp {size}: give {_SMALLEST} pixels or more.")
        if made.noise is not None and made.noise != NOISELESS:
            Noise.read_text(made.noise)
        if made.instrument is not None:
            from galgen.telescope.instruments import preset

            found = preset(made.instrument)
            made = cls(
                **{**asdict(made), "instrument": found.name, "name": made.name or found.name}
            )
        return made

    def state(self) -> dict[str, Any]:
        """JSON types only, without what is None."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Telescope:
        """Inverse of `state`."""
        return cls.of(**state)

    @classmethod
    def from_cards(cls, provenance: Mapping[str, Any]) -> Telescope | None:
        """The telescope of a file, from what `galgen.io.header.read_provenance` gives.

        A preset has become the numbers that it stood for, so that a later change of the preset
        changes no file. None for a file that was seen through none.

        Raises
        ------
        DataError
            If a card holds something else than it is written with.
        """
        if CARD_KEYS["size"] not in provenance:
            return None
        found: dict[str, Any] = {}
        for name, key in CARD_KEYS.items():
            value = provenance.get(key)
            if value is None:
                continue
            types = _CARD_TYPES.get(name, str)
            if not isinstance(value, types) or isinstance(value, bool):
                raise DataError(f"its card {CARDS[key][0]} holds {value!r}.")
            found[name] = value
            try:
                cls.of(**{name: value})
            except ConfigError as error:
                raise DataError(f"its card {CARDS[key][0]} holds {value!r} ({error}).") from None
        return cls.of(**found)
